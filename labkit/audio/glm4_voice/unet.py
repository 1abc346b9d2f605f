"""The flow's velocity: a one-dimensional U-Net over mel frames (Matcha-TTS; Mehta et al. 2024, arXiv:2309.03199).

One level down and one up, each of a residual convolution block and Transformer blocks, with a long middle at half the
frame rate. Attention is over the whole window, so every frame of a window depends on every other: that is why a stream
can approach whole decoding, but not equal it (see `labkit.audio.glm4_voice.streaming`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

GROUPS = 8


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a `VelocityUNet`; the defaults are the release's. `inputs` are x, mu, speaker and condition in a row."""

    inputs: int = 320
    outputs: int = 80
    channels: tuple[int, int] = (256, 256)
    head_dim: int = 64
    heads: int = 8
    blocks: int = 4
    mid_blocks: int = 12


class VelocityUNet(nn.Module):
    """Stacked inputs `(batch, inputs, frames)` and times `(batch,)` to a velocity `(batch, outputs, frames)`."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.channels
        time = 4 * first

        def level(inputs: int, channels: int, after: nn.Module | None = None) -> nn.ModuleList:
            attention = nn.ModuleList(TransformerBlock(channels, config) for _ in range(config.blocks))
            parts = [ResidualBlock(inputs, channels, time), attention]
            return nn.ModuleList(parts if after is None else [*parts, after])

        self.time_mlp = nn.Module()
        self.time_mlp.linear_1 = nn.Linear(config.inputs, time)
        self.time_mlp.linear_2 = nn.Linear(time, time)
        self.down_blocks = nn.ModuleList(
            [
                level(config.inputs, first, Resized(nn.Conv1d(first, first, 3, stride=2, padding=1))),
                level(first, second, nn.Conv1d(second, second, 3, padding=1)),
            ]
        )
        self.mid_blocks = nn.ModuleList(level(second, second) for _ in range(config.mid_blocks))
        self.up_blocks = nn.ModuleList(
            [
                level(2 * second, first, Resized(nn.ConvTranspose1d(first, first, 4, stride=2, padding=1))),
                level(2 * first, first, nn.Conv1d(first, first, 3, padding=1)),
            ]
        )
        self.final_block = ConvBlock(first, first)
        self.final_proj = nn.Conv1d(first, config.outputs, 1)

    def forward(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        time = self.time_mlp.linear_1(time_embedding(t, self.config.inputs).to(x))
        time = self.time_mlp.linear_2(functional.silu(time))
        skips = []
        for *level, resize in self.down_blocks:
            x = run_level(level, x, time)
            skips.append(x)
            x = resize(x)
        for level in self.mid_blocks:
            x = run_level(level, x, time)
        for *level, resize in self.up_blocks:
            skip = skips.pop()
            # Going down an odd number of frames is rounded up, so coming back there may be one too many.
            x = resize(run_level(level, torch.cat([x[..., : skip.shape[-1]], skip], dim=1), time))
        return self.final_proj(self.final_block(x))


def run_level(level: list[nn.Module] | nn.ModuleList, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """A residual block, then Transformer blocks over the frames: `(batch, channels, frames)`."""
    residual, attention = level
    x = residual(x, time).transpose(1, 2)
    for block in attention:
        x = block(x)
    return x.transpose(1, 2)


class Resized(nn.Module):
    """A convolution that halves or doubles the frame rate; only its key has a level of its own."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class ConvBlock(nn.Module):
    """Convolution, group norm and Mish: `(batch, inputs, frames) -> (batch, outputs, frames)`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        conv = nn.Conv1d(inputs, outputs, 3, padding=1)
        self.block = nn.Sequential(conv, nn.GroupNorm(GROUPS, outputs), nn.Mish())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x)


class ResidualBlock(nn.Module):
    """Two `ConvBlock`s beside a 1x1 residual, the time added between them."""

    def __init__(self, inputs: int, outputs: int, time: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time, outputs))
        self.block1 = ConvBlock(inputs, outputs)
        self.block2 = ConvBlock(outputs, outputs)
        self.res_conv = nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return self.block2(self.block1(x) + self.mlp(time)[..., None]) + self.res_conv(x)


class TransformerBlock(nn.Module):
    """Attention over all frames and a GELU perceptron, pre-norm: `(batch, frames, channels)`.

    Heads times their size need not be the number of channels.
    """

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = nn.Module()
        self.attn1.to_q = nn.Linear(channels, inner, bias=False)
        self.attn1.to_k = nn.Linear(channels, inner, bias=False)
        self.attn1.to_v = nn.Linear(channels, inner, bias=False)
        self.attn1.to_out = nn.ModuleList([nn.Linear(inner, channels)])
        self.norm3 = nn.LayerNorm(channels)
        enter = nn.Module()
        enter.proj = nn.Linear(channels, 4 * channels)
        self.ff = nn.Module()
        self.ff.net = nn.ModuleList([enter, nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attention, normed = self.attn1, self.norm1(x)
        q, k, v = (
            linear(normed).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear in (attention.to_q, attention.to_k, attention.to_v)
        )
        attended = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + attention.to_out[0](attended)
        return x + self.ff.net[2](functional.gelu(self.ff.net[0].proj(self.norm3(x))))


def time_embedding(t: torch.Tensor, width: int) -> torch.Tensor:
    """Sines, then cosines, of a thousand times t: `(batch,) -> (batch, width)`."""
    half = width // 2
    frequencies = torch.exp(torch.arange(half, device=t.device).float() * -(math.log(10000) / (half - 1)))
    angles = 1000 * t[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
