"""Causal convolution blocks with a stated look-ahead: what lets the whole codec stream.

Every network of the toy codec is a stack of these. Each output depends on a bounded past and on a bounded, declared
future, so a stream that keeps just that much context computes the very same numbers as one whole pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class CausalConv(nn.Conv1d):
    """Convolution over time that sees only the present and the past: `(batch, channels, time)`, length kept."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, groups=groups)
        self.past = kernel - 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(functional.pad(x, (self.past, 0)))


class CausalBlock(nn.Module):
    """ConvNeXt block: depthwise causal convolution, then a two-layer perceptron on every frame, with a residual.

    Input and output `(batch, time, channels)`. With `conditioning` a vector (say, of the flow's time) shifts and
    scales the normalised activations (FiLM).
    """

    def __init__(self, channels: int, *, kernel: int = 7, expansion: int = 3, conditioning: int = 0):
        super().__init__()
        self.mix = CausalConv(channels, channels, kernel, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, channels * expansion)
        self.narrow = nn.Linear(channels * expansion, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))
        self.film = nn.Linear(conditioning, 2 * channels) if conditioning else None
        if self.film is not None:
            nn.init.zeros_(self.film.weight)
            nn.init.zeros_(self.film.bias)

    def forward(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        y = self.norm(self.mix(x.transpose(1, 2)).transpose(1, 2))
        if self.film is not None:
            shift, gain = self.film(condition).unsqueeze(1).chunk(2, dim=-1)
            y = y * (1 + gain) + shift
        return x + self.scale * self.narrow(functional.gelu(self.widen(y)))


class CausalStack(nn.Module):
    """Causal blocks in a row, looking `look_ahead` steps into the future: `(batch, time, channels)`, length kept.

    The future beyond the end is zeros. `stream()` gives the same outputs piece by piece.
    """

    def __init__(self, channels: int, kernels: Sequence[int], *, look_ahead: int = 0, **block: int) -> None:
        super().__init__()
        self.look_ahead = look_ahead
        self.blocks = nn.ModuleList(CausalBlock(channels, kernel=kernel, **block) for kernel in kernels)

    @property
    def past(self) -> int:
        """Steps of the past that one output sees, its own look-ahead taken off."""
        return max(0, sum(block.mix.past for block in self.blocks) - self.look_ahead)

    def forward(
        self, x: torch.Tensor, condition: torch.Tensor | None = None, *, final: bool = True
    ) -> torch.Tensor:
        """All outputs when x is `final`; otherwise those whose look-ahead lies in x (`look_ahead` fewer)."""
        if final:
            x = functional.pad(x, (0, 0, 0, self.look_ahead))
        for block in self.blocks:
            x = block(x, condition)
        # The output that has just seen step t + look_ahead is the one for step t.
        return x[:, self.look_ahead :]

    def stream(self) -> StackStream:
        return StackStream(self)


class StackStream:
    """A `CausalStack` fed piece by piece; every output comes exactly once and equals that of one whole pass."""

    def __init__(self, stack: CausalStack) -> None:
        self._stack = stack
        self._inputs: torch.Tensor | None = None  # the last inputs that outputs to come still need
        self._returned = 0  # how many outputs, counted from the first kept input, have been handed out

    def push(self, x: torch.Tensor, *, final: bool = False) -> torch.Tensor:
        """Outputs that `x` `(batch, time, channels)` completes; with `final` also those that waited for more."""
        x = x if self._inputs is None else torch.cat([self._inputs, x], dim=1)
        if x.shape[1] == 0:
            return x
        y = self._stack(x, final=final)
        fresh = y[:, self._returned :]
        keep_from = max(0, y.shape[1] - self._stack.past)
        self._inputs = x[:, keep_from:]
        self._returned = max(self._returned, y.shape[1]) - keep_from
        return fresh
