"""SenseVoice's encoder: self-attention with a memory, seventy layers of it (An et al. 2024, arXiv:2407.04051).

Each layer's attention is helped by an FSMN, a depthwise convolution over the values that reaches five rows to either
side (SAN-M; Gao et al. 2020, arXiv:2006.01713). Four learned rows stand in front of the speech: language, event,
emotion, and whether numbers are to be written out. The module's keys are those below `model.audio_model.model.` in
VITA-Audio-Plus.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn
from torch.nn import functional

from labkit.audio.sensevoice.features import WIDTH
from labkit.checkpoints import CheckpointError

PREFIX = (0, 1, 2, 15)  # any language, event, emotion, numbers as they are spoken
EMBEDDINGS = 16
UNUSED = ("ctc.ctc_lo.weight", "ctc.ctc_lo.bias")  # the recogniser's output layer, which Plus has no use for


@dataclass(frozen=True)
class EncoderConfig:
    """Shape of a `SenseVoiceEncoder`; the defaults are the release's. `kernel` is the memory's, in rows."""

    width: int = 512
    heads: int = 4
    feed_forward: int = 2048
    layers: int = 50
    second_layers: int = 20
    kernel: int = 11

    @classmethod
    def from_shapes(cls, shapes: Mapping[str, tuple[int, ...]]) -> Self:
        """Read the shape off the tensors, as VITA-Audio-Plus does not write it down; the heads are always four.

        Raises:
            CheckpointError: a tensor is missing that tells.
        """
        try:
            return cls(
                width=shapes["encoder.after_norm.weight"][0],
                feed_forward=shapes["encoder.encoders0.0.feed_forward.w_1.weight"][0],
                layers=1 + _depth(shapes, "encoder.encoders."),
                second_layers=_depth(shapes, "encoder.tp_encoders."),
                kernel=shapes["encoder.encoders0.0.self_attn.fsmn_block.weight"][-1],
            )
        except KeyError as error:
            raise CheckpointError(f"no SenseVoice encoder: {error} is missing") from error


def _depth(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> int:
    return len({name.removeprefix(prefix).partition(".")[0] for name in shapes if name.startswith(prefix)})


class SenseVoiceEncoder(nn.Module):
    """Normalised rows `(batch, rows, 560)` to `(batch, rows + 4, width)`."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(EMBEDDINGS, WIDTH)
        self.encoder = nn.Module()
        self.encoder.encoders0 = nn.ModuleList([MemoryLayer(WIDTH, config)])
        self.encoder.encoders = nn.ModuleList(
            MemoryLayer(config.width, config) for _ in range(config.layers - 1)
        )
        self.encoder.after_norm = FloatNorm(config.width)
        self.encoder.tp_encoders = nn.ModuleList(
            MemoryLayer(config.width, config) for _ in range(config.second_layers)
        )
        self.encoder.tp_norm = FloatNorm(config.width)

    def forward(self, rows: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Encode rows; those beyond their `lengths` `(batch,)` mean nothing afterwards."""
        x, mask = self.enter(rows, lengths)
        return self.second(self.first(x, mask), mask)

    def enter(
        self, rows: torch.Tensor, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Prefix, scale and positions: `(batch, rows + 4, 560)`; and which of them are real, `(batch, rows + 4)`."""
        prefix = self.embed(torch.tensor(PREFIX, device=rows.device)).expand(len(rows), -1, -1)
        x = torch.cat([prefix, rows.to(prefix)], dim=1) * math.sqrt(self.config.width)
        x = x + positions(x.shape[1], WIDTH, x.dtype, x.device)
        place = torch.arange(x.shape[1], device=rows.device)
        real = x.shape[1] if lengths is None else lengths[:, None].to(place) + len(PREFIX)
        return x, (place < real).expand(len(rows), -1)

    def first(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The first fifty layers and their norm."""
        for layer in (*self.encoder.encoders0, *self.encoder.encoders):
            x = layer(x, mask)
        return self.encoder.after_norm(x)

    def second(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The last twenty layers and their norm."""
        for layer in self.encoder.tp_encoders:
            x = layer(x, mask)
        return self.encoder.tp_norm(x)


class FloatNorm(nn.LayerNorm):
    """Layer norm in single precision, whatever its input and its weights are in."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight.float(), self.bias.float()
        return functional.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)


class MemoryLayer(nn.Module):
    """Attention with memory and a ReLU perceptron, pre-norm: `(batch, rows, inputs) -> (batch, rows, width)`.

    A layer that changes the width has no residual around its attention.
    """

    def __init__(self, inputs: int, config: EncoderConfig) -> None:
        super().__init__()
        self.self_attn = MemoryAttention(inputs, config)
        self.feed_forward = nn.Module()
        self.feed_forward.w_1 = nn.Linear(config.width, config.feed_forward)
        self.feed_forward.w_2 = nn.Linear(config.feed_forward, config.width)
        self.norm1 = FloatNorm(inputs)
        self.norm2 = FloatNorm(config.width)
        self.residual = inputs == config.width

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        attended = self.self_attn(self.norm1(x), mask)
        x = x + attended if self.residual else attended
        return x + self.feed_forward.w_2(functional.relu(self.feed_forward.w_1(self.norm2(x))))


class MemoryAttention(nn.Module):
    """Self-attention plus a memory of the values around: `(batch, rows, inputs) -> (batch, rows, width)`."""

    def __init__(self, inputs: int, config: EncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.linear_q_k_v = nn.Linear(inputs, 3 * config.width)
        self.linear_out = nn.Linear(config.width, config.width)
        self.fsmn_block = nn.Conv1d(
            config.width,
            config.width,
            config.kernel,
            padding=config.kernel // 2,
            groups=config.width,
            bias=False,
        )

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = self.linear_q_k_v(x).chunk(3, dim=-1)
        real = mask[..., None].to(x)
        spoken = v * real
        memory = (self.fsmn_block(spoken.transpose(1, 2)).transpose(1, 2) + spoken) * real
        split = [each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in (q, k, v)]
        q, k, v = split
        # In these very steps, for the rounding of bfloat16: scaled first, weights rounded before they are used.
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        weights = scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1)
        attended = weights @ v
        return self.linear_out(attended.transpose(1, 2).flatten(2)) + memory


def positions(rows: int, width: int, dtype: torch.dtype, device: torch.device | None = None) -> torch.Tensor:
    """Sines, then cosines, of the places from 1 on: `(rows, width)`, computed in `dtype`.

    In bfloat16, as released, places are rounded to eight bits before their sines are taken: from row 257 on, some rows
    share one place. What was trained with that table needs that table.
    """
    half = width // 2
    step = torch.log(torch.tensor([10000.0], dtype=dtype, device=device)) / (half - 1)
    frequencies = torch.exp(torch.arange(half, device=device).to(dtype) * -step)
    angles = torch.arange(1, rows + 1, device=device).to(dtype)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def encoder_keys(config: EncoderConfig) -> list[str]:
    """Every key of a released encoder of this depth, written out from the layout alone."""
    layer = [
        *(f"self_attn.{p}.{kind}" for p in ("linear_q_k_v", "linear_out") for kind in ("weight", "bias")),
        "self_attn.fsmn_block.weight",
        *(f"feed_forward.{p}.{kind}" for p in ("w_1", "w_2") for kind in ("weight", "bias")),
        *(f"{p}.{kind}" for p in ("norm1", "norm2") for kind in ("weight", "bias")),
    ]
    stacks = (("encoders0", 1), ("encoders", config.layers - 1), ("tp_encoders", config.second_layers))
    return [
        *("embed.weight", *UNUSED),
        *(f"encoder.{p}.{kind}" for p in ("after_norm", "tp_norm") for kind in ("weight", "bias")),
        *(f"encoder.{stack}.{i}.{name}" for stack, depth in stacks for i in range(depth) for name in layer),
    ]
