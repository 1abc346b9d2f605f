"""Griffin-Lim: the classical way back from magnitudes to sound, kept as the baseline that a vocoder has to beat."""

from __future__ import annotations

import torch

from labkit.audio.features import FrameSettings, istft, mel_filters, stft


def griffin_lim(
    log_mel: torch.Tensor, settings: FrameSettings, generator: torch.Generator, *, iterations: int = 60
) -> torch.Tensor:
    """Waveform `(batch, frames * hop)` of log-mels `(batch, frames, mel_bins)` (natural log, not normalised).

    Magnitudes come from the pseudo-inverse of the mel filters; phases start random and are made consistent by going
    back and forth between spectrum and waveform (Griffin and Lim, 1984), with momentum 0.99 (Perraudin et al., 2013).
    """
    inverse = torch.linalg.pinv(mel_filters(settings).to(log_mel))
    magnitude = (log_mel.exp() @ inverse).clamp_min(1e-8)
    angle = torch.rand(magnitude.shape, generator=generator).to(magnitude) * (2 * torch.pi)
    estimate = torch.polar(magnitude, angle)
    previous = torch.zeros_like(estimate)
    for _ in range(iterations):
        consistent = stft(istft(estimate, settings), settings)
        accelerated = consistent + 0.99 * (consistent - previous)
        previous = consistent
        estimate = magnitude * accelerated / accelerated.abs().clamp_min(1e-8)
    return istft(estimate, settings)
