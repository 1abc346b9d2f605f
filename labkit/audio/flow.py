"""Flow-matching decoder: audio tokens to log-mel frames by integrating a learned velocity from noise to speech.

Conditional flow matching on straight paths (Lipman et al., 2023; the decoder of CosyVoice and GLM-4-Voice, which
VITA-Audio uses): with noise `x0` and speech `x1` the path is `x_t = (1 - t) x0 + t x1`, its velocity `x1 - x0`. A
network learns the expected velocity given `x_t`, t and the tokens; decoding takes Euler steps along it. One step is
already intelligible, more steps are crisper: in streaming the first chunk takes one, later chunks more (section 4.4).

Causal but for one token of look-ahead, so that streaming is exact: see `labkit.audio.streaming`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from labkit.audio.causal import CausalStack
from labkit.audio.codec import step_schedule
from labkit.audio.config import NetworkConfig
from labkit.audio.features import FrameSettings


@dataclass(frozen=True, kw_only=True)
class FlowConfig(NetworkConfig):
    """Shape of a `FlowDecoder`. `temperature` scales the starting noise at decoding."""

    codebook_size: int
    code_width: int = 64
    width: int = 192
    token_kernels: tuple[int, ...] = (5, 5, 5)
    frame_kernels: tuple[int, ...] = (5, 5)
    flow_kernels: tuple[int, ...] = (5, 5, 5, 5, 5)
    time_width: int = 128
    look_ahead_tokens: int = 1
    temperature: float = 0.5


class FlowDecoder(nn.Module):
    """Tokens `(batch, tokens)` to normalised log-mels `(batch, 5 * tokens, mel_bins)`."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        width, mel_bins = config.width, config.frames.mel_bins
        self.codes = nn.Embedding(config.codebook_size, config.code_width)
        self.from_code = nn.Linear(config.code_width, width)
        self.token_stack = CausalStack(width, config.token_kernels, look_ahead=config.look_ahead_tokens)
        self.upsample = nn.Linear(width, width * config.frames.frames_per_token)
        self.frame_stack = CausalStack(width, config.frame_kernels)
        self.to_mean = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, mel_bins))
        self.time = nn.Sequential(nn.Linear(64, config.time_width), nn.SiLU())
        self.enter = nn.Linear(2 * mel_bins + width, width)
        self.flow_stack = CausalStack(width, config.flow_kernels, conditioning=config.time_width)
        self.leave = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, mel_bins))

    def condition(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the tokens say about each frame.

        Returns hidden `(batch, frames, width)` and the mean mel `(batch, frames, mel_bins)`.
        """
        hidden = self.frame_stack(self.spread(self.token_stack(self.embed(tokens))))
        return hidden, self.to_mean(hidden)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """What stands for each token: `(batch, tokens) -> (batch, tokens, width)`."""
        return self.from_code(self.codes(tokens))

    @torch.no_grad()
    def start_from(self, codebook: torch.Tensor) -> None:
        """Let training start from the tokenizer's `codebook` `(size, code_width)` of unit vectors.

        Tokens that sound alike then start out alike, and a rare one learns from its neighbours.
        """
        self.codes.weight.copy_(codebook * codebook.shape[1] ** 0.5)

    def spread(self, x: torch.Tensor) -> torch.Tensor:
        """Five frames from each token: `(batch, tokens, width) -> (batch, frames, width)`."""
        batch, count, width = x.shape
        return self.upsample(x).reshape(batch, count * self.config.frames.frames_per_token, width)

    def velocity(
        self, x: torch.Tensor, t: torch.Tensor, hidden: torch.Tensor, mean: torch.Tensor
    ) -> torch.Tensor:
        """Expected `x1 - x0` at `x` `(batch, frames, mel_bins)` and time `t` `(batch,)` in [0, 1]."""
        frequencies = torch.exp(torch.linspace(0, math.log(1000), 32, device=x.device, dtype=x.dtype))
        angles = t[:, None] * frequencies
        time = self.time(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return self.leave(self.flow_stack(self.enter(torch.cat([x, mean, hidden], dim=-1)), time))

    def losses(
        self, tokens: torch.Tensor, mel: torch.Tensor, generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """Flow-matching loss and the regression loss of the mean, on `mel` `(batch, frames, mel_bins)`."""
        hidden, mean = self.condition(tokens)
        t = torch.rand(len(mel), generator=generator).to(mel)
        noise = torch.randn(mel.shape, generator=generator).to(mel)
        x = torch.lerp(noise, mel, t[:, None, None])
        velocity = self.velocity(x, t, hidden, mean.detach())
        return {"flow": (velocity - (mel - noise)).pow(2).mean(), "mean": (mean - mel).abs().mean()}


def time_grid(steps: int) -> torch.Tensor:
    """Times of `steps` Euler steps from 0 to 1, `(steps + 1,)`, on the cosine schedule of CosyVoice.

    Short steps first, where the path bends most: the end of the path is nearly straight.
    """
    (steps,) = step_schedule((steps,))
    return 1 - torch.cos(torch.linspace(0, 1, steps + 1, dtype=torch.float64) * math.pi / 2)


def token_noise(tokens: int, settings: FrameSettings, generator: torch.Generator) -> torch.Tensor:
    """Starting noise of `tokens` tokens, `(1, frames, mel_bins)`, drawn token by token.

    So the noise of a token depends on its place in the stream and never on how the stream was cut into chunks.
    """
    per_token = (settings.frames_per_token, settings.mel_bins)
    drawn = [torch.randn(per_token, generator=generator) for _ in range(tokens)]
    return torch.cat(drawn).unsqueeze(0) if drawn else torch.zeros(1, 0, settings.mel_bins)
