"""HiFT: mel frames to a waveform, the decoder's second half (HiFTNet; Li et al. 2023, arXiv:2309.09493).

A convolutional pitch tracker reads f0 off the mels; nine harmonics of it, and noise where the voice rests, make a
*source*. The network upsamples the mels 64 times, is fed the source's short-time spectrum on the way, and puts out the
magnitudes and phases of one last inverse STFT of 16 samples.

The module's keys are those of the released `hift.pt`, weight norm included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

LAST_SLOPE = 0.01  # of the leaky ReLU before the last convolution, unlike the others
LOUDEST = 100.0  # magnitudes are cut here


@dataclass(frozen=True)
class HiFTConfig:
    """Shape of a `HiFT`; the defaults are the release's. Amplitudes are those of the source's parts."""

    mel_bins: int = 80
    channels: int = 512
    harmonics: int = 8
    sample_rate: int = 22050
    sine: float = 0.1
    noise: float = 0.003
    voiced_above: float = 10.0
    rates: tuple[int, ...] = (8, 8)
    kernels: tuple[int, ...] = (16, 16)
    window: int = 16
    hop: int = 4
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 3
    source_kernels: tuple[int, ...] = (7, 11)
    source_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5),) * 2
    slope: float = 0.1
    limit: float = 0.99
    pitch_channels: int = 512

    @property
    def samples_per_frame(self) -> int:
        """Samples of sound per mel frame."""
        return math.prod(self.rates) * self.hop

    @property
    def pitch_reach(self) -> int:
        """Mel frames to either side that a frame's pitch depends on."""
        return PITCH_CONVOLUTIONS * (PITCH_KERNEL // 2)

    @property
    def reach(self) -> int:
        """Mel frames to either side whose mel or source a sample depends on, rounded up at every layer."""
        own = max(map(_reach, self.resblock_kernels, self.resblock_dilations))
        reaches = []
        steps = self.window // self.hop + 3  # inverse STFT and last convolution, at the last stage's rate
        for stage in reversed(range(len(self.rates))):
            steps += own
            below = math.prod(self.rates[: stage + 1])  # steps of this stage in a mel frame
            fed = _reach(self.source_kernels[stage], self.source_dilations[stage]) + 2
            reaches.append(-(-(steps + fed) // below) + 1)
            steps = -(-steps // self.rates[stage]) + self.kernels[stage] // self.rates[stage]
        return max(*reaches, steps + 3)

    @property
    def look_ahead(self) -> int:
        """Mel frames after a sample's own that it depends on: those within reach, and what their pitch needs."""
        return self.reach + self.pitch_reach


PITCH_CONVOLUTIONS, PITCH_KERNEL = 5, 3


def _reach(kernel: int, dilations: tuple[int, ...]) -> int:
    return (kernel // 2) * (sum(dilations) + len(dilations))


class HiFT(nn.Module):
    """Log-mels `(1, mel_bins, frames)` and a source `(1, 1, samples)` to a waveform `(1, samples)`."""

    def __init__(self, config: HiFTConfig) -> None:
        super().__init__()
        self.config = config
        widths = [config.channels // 2**stage for stage in range(len(config.rates) + 1)]
        bins = config.window + 2
        self.m_source = nn.Module()
        self.m_source.l_linear = nn.Linear(config.harmonics + 1, 1)
        self.f0_predictor = PitchTracker(config)
        self.conv_pre = NormedConv(config.mel_bins, widths[0], 7, padding=3)
        self.ups, self.source_downs = nn.ModuleList(), nn.ModuleList()
        self.source_resblocks, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for stage, (rate, kernel) in enumerate(zip(config.rates, config.kernels, strict=True)):
            wide, narrow = widths[stage], widths[stage + 1]
            self.ups.append(NormedTransposedConv(wide, narrow, kernel, rate, padding=(kernel - rate) // 2))
            down = math.prod(config.rates[stage + 1 :])
            # From the rate of the source's spectrum to that of this stage.
            self.source_downs.append(
                nn.Conv1d(bins, narrow, 1)
                if down == 1
                else nn.Conv1d(bins, narrow, 2 * down, stride=down, padding=down // 2)
            )
            self.source_resblocks.append(
                ResBlock(narrow, config.source_kernels[stage], config.source_dilations[stage])
            )
            self.resblocks.extend(
                ResBlock(narrow, *each)
                for each in zip(config.resblock_kernels, config.resblock_dilations, strict=True)
            )
        self.conv_post = NormedConv(widths[-1], bins, 7, padding=3)

    def pitch(self, mel: torch.Tensor) -> torch.Tensor:
        """Fundamental frequency of every frame in Hz, `(1, frames)`."""
        return self.f0_predictor(mel)

    def source(
        self,
        pitch: torch.Tensor,
        phase: torch.Tensor,
        noise: torch.Tensor,
        cycles: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Harmonics of the pitch, with a little noise where there is voice and more where there is none.

        Args:
            pitch: `(1, frames)` in Hz, held for a frame each.
            phase: `(1, harmonics + 1, 1)` at which each harmonic starts, in radians.
            noise: `(1, harmonics + 1, samples)`, standard normal.
            cycles: `(1, harmonics + 1, 1)` that each harmonic has run before; none unless given.

        Returns:
            The source `(1, 1, samples)`, and the cycles after each frame `(1, harmonics + 1, frames)`.
        """
        config, hop = self.config, self.config.samples_per_frame
        multiples = torch.arange(1, config.harmonics + 2, device=pitch.device).to(pitch)
        step = pitch[:, None].repeat_interleave(hop, dim=-1) * multiples[:, None] / config.sample_rate
        # In double precision: a running sum of floats would drift audibly within a minute.
        run = torch.cumsum(step.double(), dim=-1)
        run = (run if cycles is None else run + cycles) % 1
        voiced = (pitch > config.voiced_above).to(pitch)[:, None].repeat_interleave(hop, dim=-1)
        sines = config.sine * torch.sin(2 * math.pi * run.to(pitch) + phase)
        loudness = config.noise * voiced + config.sine / 3 * (1 - voiced)
        mixed = self.m_source.l_linear((sines * voiced + loudness * noise).transpose(1, 2))
        return torch.tanh(mixed).transpose(1, 2), run[..., hop - 1 :: hop]

    def forward(self, mel: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        spectrum = self.spectrum(mel, source)
        bins = self.config.window // 2 + 1
        magnitude = spectrum[:, :bins].exp().clamp(max=LOUDEST)
        # The network puts out the sine of something, and that is the phase.
        phase = spectrum[:, bins:].sin()
        window = self._window(mel)
        sound = torch.istft(torch.polar(magnitude, phase), self.config.window, self.config.hop, window=window)
        return sound.clamp(-self.config.limit, self.config.limit)

    def spectrum(self, mel: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """Log-magnitudes and phases before their last functions: `(1, window + 2, 64 * frames + 1)`."""
        config = self.config
        fed = torch.stft(
            source[:, 0], config.window, config.hop, window=self._window(mel), return_complex=True
        )
        fed = torch.cat([fed.real, fed.imag], dim=1)
        blocks = len(config.resblock_kernels)
        x = self.conv_pre(mel)
        for stage, up in enumerate(self.ups):
            x = up(functional.leaky_relu(x, config.slope))
            if stage == len(self.ups) - 1:
                x = functional.pad(x, (1, 0), mode="reflect")  # a centred STFT has one frame more
            x = x + self.source_resblocks[stage](self.source_downs[stage](fed))
            own = self.resblocks[stage * blocks : (stage + 1) * blocks]
            x = sum(block(x) for block in own) / blocks
        return self.conv_post(functional.leaky_relu(x, LAST_SLOPE))

    def _window(self, like: torch.Tensor) -> torch.Tensor:
        return torch.hann_window(self.config.window, device=like.device, dtype=like.dtype)


class NormedConv(nn.Module):
    """A convolution whose weight is a direction times a length (weight norm, Salimans and Kingma, 2016)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, padding: int, dilation: int = 1) -> None:
        super().__init__()
        self.padding, self.dilation = padding, dilation
        self.weight_g = nn.Parameter(torch.ones(outputs, 1, 1))
        self.weight_v = nn.Parameter(torch.zeros(outputs, inputs, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = normed(self.weight_g, self.weight_v)
        return functional.conv1d(x, weight, self.bias, padding=self.padding, dilation=self.dilation)


class NormedTransposedConv(nn.Module):
    """A transposed convolution with weight norm; the lengths are per *input* channel."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, *, padding: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight_g = nn.Parameter(torch.ones(inputs, 1, 1))
        self.weight_v = nn.Parameter(torch.zeros(inputs, outputs, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = normed(self.weight_g, self.weight_v)
        return functional.conv_transpose1d(x, weight, self.bias, stride=self.stride, padding=self.padding)


def normed(length: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """A weight from its direction and its length, over all dimensions but the first."""
    return length * direction / direction.norm(dim=(1, 2), keepdim=True)


class Snake(nn.Module):
    """`x + sin^2(a x) / a` with one a per channel (Ziyin et al., 2020): an activation that can be periodic."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        alpha = self.alpha[:, None]
        return x + torch.sin(alpha * x) ** 2 / (alpha + 1e-9)


class ResBlock(nn.Module):
    """Pairs of dilated and plain convolutions, each pair beside a residual: `(batch, channels, time)`."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()

        def conv(dilation: int) -> NormedConv:
            return NormedConv(channels, channels, kernel, padding=kernel // 2 * dilation, dilation=dilation)

        self.convs1 = nn.ModuleList(map(conv, dilations))
        self.convs2 = nn.ModuleList(conv(1) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for snake1, conv1, snake2, conv2 in zip(
            self.activations1, self.convs1, self.activations2, self.convs2, strict=True
        ):
            x = x + conv2(snake2(conv1(snake1(x))))
        return x


class PitchTracker(nn.Module):
    """Mel frames `(1, mel_bins, frames)` to their pitch in Hz `(1, frames)`."""

    def __init__(self, config: HiFTConfig) -> None:
        super().__init__()
        widths = [config.mel_bins, *[config.pitch_channels] * PITCH_CONVOLUTIONS]
        self.condnet = nn.Sequential(
            *(
                part
                for inputs, outputs in pairwise(widths)
                for part in (NormedConv(inputs, outputs, PITCH_KERNEL, padding=PITCH_KERNEL // 2), nn.ELU())
            )
        )
        self.classifier = nn.Linear(config.pitch_channels, 1)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.condnet(mel).transpose(1, 2))[..., 0].abs()
