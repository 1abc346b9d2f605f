"""The decoder's encoder: audio tokens read in blocks of ten, with relative positions.

A pre-norm Transformer whose attention scores content and distance apart (Transformer-XL; Dai et al., 2019): with q, k
from the tokens and p from sinusoids of their distance, `(q + u) k + (q + v) p`. A token sees the past and its own block
of ten, so what it becomes is settled when its block is complete.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional


@dataclass(frozen=True)
class ConformerConfig:
    """Shape of a `BlockConformer`; the defaults are the release's. `block` tokens see each other."""

    inputs: int = 512
    width: int = 512
    heads: int = 8
    feed_forward: int = 2048
    layers: int = 6
    block: int = 10


class BlockConformer(nn.Module):
    """Token embeddings `(batch, tokens, inputs)` to `(batch, tokens, width)`."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Module()
        self.embed.out = nn.Sequential(nn.Linear(config.inputs, config.width), nn.LayerNorm(config.width))
        self.encoders = nn.ModuleList(ConformerLayer(config) for _ in range(config.layers))
        self.after_norm = nn.LayerNorm(config.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed.out(x) * math.sqrt(self.config.width)
        distances = relative_sinusoids(x.shape[1], self.config.width).to(x)
        mask = block_causal(x.shape[1], self.config.block, x.device)
        for layer in self.encoders:
            x = layer(x, distances, mask)
        return self.after_norm(x)


class ConformerLayer(nn.Module):
    """Attention and a two-layer perceptron, each behind a norm and beside a residual: `(batch, tokens, width)`."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.self_attn = RelativeAttention(config.width, config.heads)
        self.feed_forward = nn.Module()
        self.feed_forward.w_1 = nn.Linear(config.width, config.feed_forward)
        self.feed_forward.w_2 = nn.Linear(config.feed_forward, config.width)
        self.norm_mha = nn.LayerNorm(config.width)
        self.norm_ff = nn.LayerNorm(config.width)

    def forward(self, x: torch.Tensor, distances: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = x + self.self_attn(self.norm_mha(x), distances, mask)
        return x + self.feed_forward.w_2(functional.silu(self.feed_forward.w_1(self.norm_ff(x))))


class RelativeAttention(nn.Module):
    """Self-attention with relative positions: `(batch, tokens, width)`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(heads, width // heads))
        self.pos_bias_v = nn.Parameter(torch.zeros(heads, width // heads))

    def forward(self, x: torch.Tensor, distances: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Attend where `mask` `(tokens, tokens)` is true; `distances` as of `relative_sinusoids`."""
        linears = (self.linear_q, self.linear_k, self.linear_v)
        q, k, v = (linear(x).unflatten(-1, (self.heads, -1)) for linear in linears)
        p = self.linear_pos(distances).unflatten(-1, (self.heads, -1))
        content = torch.einsum("bqhd,bkhd->bhqk", q + self.pos_bias_u, k)
        by_distance = torch.einsum("bqhd,rhd->bhqr", q + self.pos_bias_v, p)
        scores = (content + _by_key(by_distance)) / math.sqrt(q.shape[-1])
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
        return self.linear_out(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))


def relative_sinusoids(length: int, width: int) -> torch.Tensor:
    """Sines and cosines, alternating, of the distances `length - 1` down to `-(length - 1)`.

    `(2 * length - 1, width)`.
    """
    distances = torch.arange(length - 1, -length, -1, dtype=torch.float32)
    frequencies = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * -(math.log(10000.0) / width))
    angles = distances[:, None] * frequencies
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def block_causal(length: int, block: int, device: torch.device) -> torch.Tensor:
    """Whether query i `(length, length)` sees key j: it lies in the past, or in the same block."""
    place = torch.arange(length, device=device)
    return (place[None] <= place[:, None]) | (place[None] // block == place[:, None] // block)


def _by_key(scores: torch.Tensor) -> torch.Tensor:
    """Scores by distance `(..., queries, 2 * length - 1)` as scores by key `(..., queries, length)`."""
    length = scores.shape[-2]
    place = torch.arange(length, device=scores.device)
    distance = place[:, None] - place[None]  # query minus key
    return scores.gather(-1, (length - 1 - distance).expand(*scores.shape[:-2], length, length))
