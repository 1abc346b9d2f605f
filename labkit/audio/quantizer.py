"""Vector quantisation: the step at which sound becomes a token.

A codebook of vectors learned by exponential moving averages (van den Oord et al., 2017, "Neural Discrete
Representation Learning", appendix A). Entries that fall out of use are restarted on live inputs, since a dead entry
is a token that the language model would have to learn for nothing.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


class Codebook(nn.Module):
    """Nearest-neighbour codebook of `size` unit vectors.

    Inputs are normalised to unit length first (Yu et al., 2022, "Vector-quantized image modeling with improved
    VQGAN"), so distance is angle and no entry can win by being long.
    """

    def __init__(self, size: int, width: int, *, decay: float = 0.98, restart_below: float = 0.05) -> None:
        super().__init__()
        self.decay = decay
        self.restart_below = restart_below
        self.register_buffer("vectors", functional.normalize(torch.randn(size, width), dim=-1))
        self.register_buffer("usage", torch.ones(size), persistent=False)
        self.register_buffer("sums", self.vectors.clone(), persistent=False)

    def __len__(self) -> int:
        return self.vectors.shape[0]

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Index of the nearest entry: `(..., width) -> (...)`."""
        return (functional.normalize(x, dim=-1) @ self.vectors.T).argmax(dim=-1)

    def decode(self, tokens: torch.Tensor) -> torch.Tensor:
        """Entries of `tokens`: `(...) -> (..., width)`."""
        return self.vectors[tokens]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Quantise with a straight-through gradient: `(quantised, tokens, commitment loss)`."""
        unit = functional.normalize(x, dim=-1)
        tokens = (unit @ self.vectors.T).argmax(dim=-1)
        chosen = self.vectors[tokens]
        commitment = (unit - chosen).pow(2).sum(-1).mean()
        return unit + (chosen - unit).detach(), tokens, commitment

    @torch.no_grad()
    def update(self, x: torch.Tensor, tokens: torch.Tensor, generator: torch.Generator) -> int:
        """Move entries towards the inputs that chose them; returns how many dead entries were restarted."""
        unit = functional.normalize(x, dim=-1).reshape(-1, x.shape[-1])
        tokens = tokens.reshape(-1)
        count = torch.bincount(tokens, minlength=len(self)).to(unit)
        self.usage.lerp_(count, 1 - self.decay)
        self.sums.lerp_(torch.zeros_like(self.sums).index_add_(0, tokens, unit), 1 - self.decay)
        dead = (self.usage < self.restart_below).nonzero().squeeze(-1)
        if len(dead):
            pick = torch.randint(len(unit), (len(dead),), generator=generator)
            self.sums[dead] = unit[pick]
            self.usage[dead] = 1.0
        self.vectors.copy_(functional.normalize(self.sums, dim=-1))
        return len(dead)

    @torch.no_grad()
    def initialize(self, x: torch.Tensor, generator: torch.Generator, *, iterations: int = 12) -> None:
        """Start from spherical k-means over inputs `(n, width)`.

        Raises:
            ValueError: fewer inputs than entries.
        """
        unit = functional.normalize(x, dim=-1)
        if len(unit) < len(self):
            raise ValueError(f"{len(unit)} inputs cannot start a codebook of {len(self)}; pass more of them")
        centers = unit[torch.randperm(len(unit), generator=generator)[: len(self)]]
        for _ in range(iterations):
            nearest = (unit @ centers.T).argmax(dim=-1)
            sums = torch.zeros_like(centers).index_add_(0, nearest, unit)
            empty = torch.bincount(nearest, minlength=len(self)) == 0
            pick = torch.randint(len(unit), (int(empty.sum()),), generator=generator)
            sums[empty] = unit[pick]
            centers = functional.normalize(sums, dim=-1)
        self.vectors.copy_(centers)
        self.sums.copy_(centers)
        self.usage.fill_(1.0)
