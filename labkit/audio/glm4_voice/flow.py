"""Audio tokens to mel frames by flow matching: the decoder's first half.

Tokens are embedded and read in blocks (`conformer`), stretched from 12.5 to 86.1 frames a second, and what they say of
each frame, *mu*, guides Euler steps from noise to speech along the velocity of `unet`. Classifier-free guidance pushes
each step away from the velocity that knows nothing of the tokens. The frames of a prompt (what was said just before)
can be given as a condition; that is how a stream goes on where it stopped. As in CosyVoice (Du et al. 2024,
arXiv:2407.05407).

The module's keys are those of the released `flow.pt`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional

from labkit.audio.flow import time_grid
from labkit.audio.glm4_voice.conformer import BlockConformer, ConformerConfig
from labkit.audio.glm4_voice.unet import UNetConfig, VelocityUNet

SAMPLE_RATE = 22050
HOP = 256  # samples per mel frame
FRAMES, TOKENS = 441, 64  # so many frames for so many tokens: 22050 / 256 / 12.5
REGULATOR_CONVOLUTIONS = 4


@dataclass(frozen=True)
class FlowConfig:
    """Shape of a `Flow`; the defaults are the release's. `guidance` is the weight of classifier-free guidance."""

    codes: int = 16384
    width: int = 512
    mel_bins: int = 80
    speaker: int = 192
    guidance: float = 0.7
    encoder: ConformerConfig = field(default_factory=ConformerConfig)
    estimator: UNetConfig = field(default_factory=UNetConfig)


def frame_count(tokens: int) -> int:
    """Mel frames of so many tokens from the start: 441/64 of them each, rounded down as a whole."""
    return tokens * FRAMES // TOKENS


class Flow(nn.Module):
    """Audio tokens to log-mel frames `(1, mel_bins, frames)`."""

    def __init__(self, config: FlowConfig) -> None:
        super().__init__()
        self.config = config
        bins = config.mel_bins
        self.input_embedding = nn.Embedding(config.codes, config.width)
        self.spk_embed_affine_layer = nn.Linear(config.speaker, bins)
        self.encoder = BlockConformer(config.encoder)
        self.encoder_proj = nn.Linear(config.encoder.width, bins)
        self.length_regulator = LengthRegulator(bins)
        self.decoder = nn.Module()
        self.decoder.estimator = VelocityUNet(config.estimator)

    def mu(self, tokens: torch.Tensor, frames: int) -> torch.Tensor:
        """What `tokens` `(1, tokens)` say of each of their frames: `(1, mel_bins, frames)`."""
        encoded = self.encoder(self.input_embedding(tokens.clamp(min=0)))
        return self.length_regulator(self.encoder_proj(encoded), frames)

    def speaker(self, embedding: torch.Tensor | None = None) -> torch.Tensor:
        """The speaker `(1, mel_bins)` of an embedding `(1, speaker)`.

        The release speaks with a zero embedding, and so with the layer's bias as its voice.
        """
        if embedding is None:
            embedding = self.spk_embed_affine_layer.weight.new_zeros(1, self.config.speaker)
        return self.spk_embed_affine_layer(functional.normalize(embedding, dim=1))

    def velocity(
        self,
        x: torch.Tensor,
        t: torch.Tensor,
        mu: torch.Tensor,
        speaker: torch.Tensor,
        condition: torch.Tensor,
    ) -> torch.Tensor:
        """Velocity at `x` `(batch, mel_bins, frames)` and times `t` `(batch,)`, without guidance."""
        speaker = speaker[:, :, None].expand(-1, -1, x.shape[-1])
        return self.decoder.estimator(torch.cat([x, mu, speaker, condition], dim=1), t)

    def forward(
        self,
        tokens: torch.Tensor,
        noise: torch.Tensor,
        steps: int = 10,
        *,
        prompt: torch.Tensor | None = None,
        embedding: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mel frames of `tokens`, those of the prompt cut off.

        Args:
            tokens: `(1, tokens)`, those of the prompt first.
            noise: `(1, mel_bins, frames)` to start from; its length says how many frames to make.
            steps: Euler steps.
            prompt: `(1, mel_bins, prompt frames)`, the first frames, known already.
            embedding: of the speaker, `(1, speaker)`; zeros, as released, unless given.
        """
        mu, speaker = self.mu(tokens, noise.shape[-1]), self.speaker(embedding)
        known = 0 if prompt is None else prompt.shape[-1]
        condition = torch.zeros_like(noise)
        if known:
            condition[..., :known] = prompt
        return self.integrate(noise, mu, speaker, condition, steps)[..., known:]

    def integrate(
        self,
        noise: torch.Tensor,
        mu: torch.Tensor,
        speaker: torch.Tensor,
        condition: torch.Tensor,
        steps: int,
    ) -> torch.Tensor:
        """Euler steps from `noise` to speech, both `(1, mel_bins, frames)`, with classifier-free guidance."""
        times, x = time_grid(steps).to(noise), noise
        # With and without what the tokens say, in one batch of two.
        guides = [torch.cat([each, torch.zeros_like(each)]) for each in (mu, speaker, condition)]
        weight = self.config.guidance
        for step in range(steps):
            with_tokens, without = self.velocity(x.expand(2, -1, -1), times[step].expand(2), *guides).chunk(2)
            x = x + (times[step + 1] - times[step]) * ((1 + weight) * with_tokens - weight * without)
        return x


class LengthRegulator(nn.Module):
    """From one vector per token `(1, tokens, bins)` to one per frame `(1, bins, frames)`.

    Each frame takes the token under it, then convolutions smooth the steps. Their norms are over all frames at once.
    """

    def __init__(self, bins: int) -> None:
        super().__init__()
        smooth = [
            part
            for _ in range(REGULATOR_CONVOLUTIONS)
            for part in (nn.Conv1d(bins, bins, 3, padding=1), nn.GroupNorm(1, bins), nn.Mish())
        ]
        self.model = nn.Sequential(*smooth, nn.Conv1d(bins, bins, 1))

    def forward(self, x: torch.Tensor, frames: int) -> torch.Tensor:
        return self.model(functional.interpolate(x.transpose(1, 2), size=frames, mode="nearest"))
