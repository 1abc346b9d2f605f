"""Harmonic-plus-noise vocoder with an inverse-STFT head: log-mel frames to a waveform.

A voice is a periodic source and a hiss, both coloured by the vocal tract. The network reads pitch, voicing and two
spectral envelopes off the mel frames; a pulse train at that pitch and white noise, both taken to the STFT domain,
are multiplied by the envelopes and brought back by one inverse STFT. A neural source-filter model (Wang et al.,
2019) with the output stage of iSTFTNet (Kaneko et al., 2022) and Vocos (Siuzdak, 2023); HiFT, the vocoder of
the decoder that VITA-Audio uses, joins the same two ideas.

Because phase comes from a running pulse train, spectral losses alone train it, and a stream carries one number (the
source's phase) across a chunk boundary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from labkit.audio.causal import CausalStack
from labkit.audio.config import NetworkConfig
from labkit.audio.features import FrameSettings, istft, mel_to_linear, stft

LOWEST_PITCH, HIGHEST_PITCH = 60.0, 600.0  # Hz


@dataclass(frozen=True, kw_only=True)
class VocoderConfig(NetworkConfig):
    """Shape of a `HarmonicVocoder`; log-mels reach it normalised by `mel_mean` and `mel_scale`."""

    mel_mean: float
    mel_scale: float
    width: int = 192
    kernels: tuple[int, ...] = (7, 7, 7, 7, 7)
    look_ahead_frames: int = 2


@dataclass(frozen=True)
class FrameControls:
    """What the network reads off each mel frame.

    Attributes:
        pitch: fundamental frequency in Hz, `(batch, frames)`.
        voicing_logit: log-odds that the frame is voiced, `(batch, frames)`.
        harmonic: log-gain of the pulse train per bin, `(batch, frames, bins)`.
        phase: phase shift of the pulse train per bin in radians, `(batch, frames, bins)`.
        noise: log-gain of the noise per bin, `(batch, frames, bins)`.
    """

    pitch: torch.Tensor
    voicing_logit: torch.Tensor
    harmonic: torch.Tensor
    phase: torch.Tensor
    noise: torch.Tensor


class HarmonicVocoder(nn.Module):
    """Normalised log-mels `(batch, frames, mel_bins)` to a waveform `(batch, frames * hop)`."""

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__()
        self.config = config
        bins = config.frames.window // 2 + 1
        self.enter = nn.Linear(config.frames.mel_bins, config.width)
        self.stack = CausalStack(config.width, config.kernels, look_ahead=config.look_ahead_frames)
        self.norm = nn.LayerNorm(config.width)
        self.to_pitch = nn.Linear(config.width, 2)
        self.to_spectrum = nn.Linear(config.width, 3 * bins)
        nn.init.zeros_(self.to_spectrum.weight)
        nn.init.zeros_(self.to_spectrum.bias)
        matrix, offset = mel_to_linear(config.frames)
        self.register_buffer("envelope", matrix, persistent=False)
        # Hann-windowed unit-power noise has this magnitude per bin; a gain of one is relative to it.
        loudness = 0.5 * math.log(0.375 * config.frames.window)
        self.register_buffer("offset", offset - loudness, persistent=False)

    def controls(self, mel: torch.Tensor) -> FrameControls:
        """Pitch, voicing and envelopes of every frame."""
        return self.read(self.stack(self.enter(mel)), mel)

    def read(self, x: torch.Tensor, mel: torch.Tensor) -> FrameControls:
        """Controls from the stack's outputs `(batch, frames, width)` and the frames `(batch, frames, mel_bins)`.

        Both envelopes start from the one that the mels themselves draw; the network corrects it and decides how much
        of it is voice and how much is hiss.
        """
        x = self.norm(x)
        pitch, voicing = self.to_pitch(x).unbind(-1)
        low, high = math.log(LOWEST_PITCH), math.log(HIGHEST_PITCH)
        harmonic, phase, noise = self.to_spectrum(x).chunk(3, dim=-1)
        drawn = (mel * self.config.mel_scale + self.config.mel_mean) @ self.envelope + self.offset
        return FrameControls(
            pitch=torch.exp(low + (high - low) * torch.sigmoid(pitch)),
            voicing_logit=voicing,
            harmonic=(drawn + harmonic).clamp(max=6.0),
            phase=phase,
            noise=(drawn + noise).clamp(max=6.0),
        )

    def spectrum(self, controls: FrameControls, source: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Colour the STFTs of the pulse train and of the noise, both `(batch, frames, bins)` complex."""
        voiced = torch.sigmoid(controls.voicing_logit).unsqueeze(-1)
        return (
            source * torch.polar(voiced * controls.harmonic.exp(), controls.phase)
            + noise * controls.noise.exp()
        )

    def synthesize(
        self, controls: FrameControls, generator: torch.Generator, pitch: torch.Tensor
    ) -> torch.Tensor:
        """Waveform `(batch, frames * hop)` of whole utterances at `pitch` `(batch, frames)` in Hz."""
        settings = self.config.frames
        source, _ = pulse_train(pitch_curve(pitch, settings), settings.sample_rate)
        noise = torch.randn(source.shape, generator=generator).to(source)
        return istft(self.spectrum(controls, stft(source, settings), stft(noise, settings)), settings)

    def forward(self, mel: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Waveform `(batch, frames * hop)` of whole utterances."""
        controls = self.controls(mel)
        return self.synthesize(controls, generator, controls.pitch)


def pitch_curve(pitch: torch.Tensor, settings: FrameSettings) -> torch.Tensor:
    """Pitch of every sample from the pitch of every frame: `(batch, frames) -> (batch, frames * hop)`, in Hz.

    Held for a hop: a step, never a glide, so that a sample's pitch needs no later frame.
    """
    return pitch.repeat_interleave(settings.hop, dim=-1)


def pulse_train(
    curve: torch.Tensor, sample_rate: int, phase: torch.Tensor | float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Band-limited pulse train of pitch `curve` `(batch, samples)` in Hz, starting at `phase` in cycles.

    All harmonics below the Nyquist frequency in one closed form (the Dirichlet kernel), scaled to unit power, so that
    source and noise start out equally loud. Returns the train and the phase after its last sample.
    """
    # Cycles in double precision: a float would drift audibly within a minute.
    cycles = (torch.cumsum(curve.double() / sample_rate, dim=-1) + phase) % 1.0
    harmonics = torch.floor(0.5 * sample_rate / curve.double())
    half = math.pi * cycles
    near_pulse = half.sin().abs() < 1e-6
    safe = torch.where(near_pulse, torch.ones_like(half), half.sin())
    kernel = ((2 * harmonics + 1) * half).sin() / safe
    total = 0.5 * (torch.where(near_pulse, 2 * harmonics + 1, kernel) - 1)
    return (total / (0.5 * harmonics).sqrt()).to(curve.dtype), cycles[:, -1:]
