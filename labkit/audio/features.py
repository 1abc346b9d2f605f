"""Log-mel features: the picture of speech that the toy codec is trained to read and to draw.

16 kHz speech becomes 62.5 frames a second of 80 log-mel values, so that one audio token (12.5 per second, the rate of
the tokenizer that VITA-Audio uses, section 3.1) stands for exactly five frames, or 1280 samples.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import torch
from transformers.audio_utils import mel_filter_bank


@dataclass(frozen=True)
class FrameSettings:
    """How samples, frames and tokens line up. Lengths in samples unless the name says otherwise."""

    sample_rate: int = 16_000
    window: int = 1024
    hop: int = 256
    mel_bins: int = 80
    frames_per_token: int = 5
    floor: float = 1e-5

    @property
    def samples_per_token(self) -> int:
        return self.hop * self.frames_per_token

    @property
    def token_rate(self) -> float:
        """Audio tokens per second."""
        return self.sample_rate / self.samples_per_token

    @property
    def margin(self) -> int:
        """Samples of a frame's window that lie outside its own hop, on either side."""
        return (self.window - self.hop) // 2

    def to_dict(self) -> dict:
        return asdict(self)


@lru_cache(maxsize=8)
def mel_filters(settings: FrameSettings) -> torch.Tensor:
    bank = mel_filter_bank(
        num_frequency_bins=settings.window // 2 + 1,
        num_mel_filters=settings.mel_bins,
        min_frequency=0.0,
        max_frequency=settings.sample_rate / 2,
        sampling_rate=settings.sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank).float()


def stft(waveform: torch.Tensor, settings: FrameSettings) -> torch.Tensor:
    """Complex spectrum with frame t centred on its own hop: `(batch, samples) -> (batch, frames, window // 2 + 1)`.

    The usual centring puts frame t around the *start* of hop t and adds a frame at the end; here `frames` is exactly
    `samples / hop`, so frames, tokens and samples count each other.
    """
    padded = torch.nn.functional.pad(waveform, (settings.margin, settings.margin))
    window = torch.hann_window(settings.window, device=waveform.device, dtype=waveform.dtype)
    spectrum = torch.stft(
        padded, settings.window, settings.hop, window=window, center=False, return_complex=True
    )
    return spectrum.transpose(1, 2)


def log_mel(waveform: torch.Tensor, settings: FrameSettings) -> torch.Tensor:
    """Natural-log mel magnitudes: `(batch, samples) -> (batch, samples // hop, mel_bins)`; floor at `log(1e-5)`."""
    magnitude = stft(waveform, settings).abs()
    mel = magnitude @ mel_filters(settings).to(magnitude)
    return mel.clamp_min(settings.floor).log()


def mel_to_linear(settings: FrameSettings) -> tuple[torch.Tensor, torch.Tensor]:
    """A smooth spectral envelope from log-mels: matrix `(mel_bins, bins)` and offset `(bins,)` to apply to them.

    Interpolates over frequency between the mel filters' centres and takes off each filter's gain, all in the log
    domain, so `log_mel @ matrix + offset` is about the log-magnitude spectrum without its fine structure.
    """
    filters = mel_filters(settings)
    bins = torch.arange(filters.shape[0], dtype=torch.float32)
    gain = filters.sum(dim=0)
    centers = (bins[:, None] * filters).sum(dim=0) / gain
    right = torch.searchsorted(centers, bins).clamp(1, settings.mel_bins - 1)
    weight = ((bins - centers[right - 1]) / (centers[right] - centers[right - 1])).clamp(0, 1)
    matrix = torch.zeros(settings.mel_bins, len(bins))
    columns = torch.arange(len(bins))
    matrix[right - 1, columns] = 1 - weight
    matrix[right, columns] += weight
    return matrix, -(gain.log() @ matrix)


def overlap_add_window(settings: FrameSettings, like: torch.Tensor) -> torch.Tensor:
    """Synthesis window whose squared sum over overlapping frames is one: Hann, scaled for this hop."""
    window = torch.hann_window(settings.window, device=like.device, dtype=like.dtype)
    overlap = settings.window // settings.hop
    # A squared periodic Hann sums to 3/8 of the number of overlapping frames (hop at most a quarter window).
    return window / (0.375 * overlap)


def overlap_add(spectrum: torch.Tensor, settings: FrameSettings) -> torch.Tensor:
    """Inverse of `stft` without its edges cut: `(batch, frames, bins) -> (batch, (frames - 1) * hop + window)`.

    The result starts `margin` samples before the first frame's hop. Streaming adds the tail of one call to the head
    of the next; `istft` cuts both ends.
    """
    frames = torch.fft.irfft(spectrum, n=settings.window, dim=-1) * overlap_add_window(
        settings, spectrum.real
    )
    length = (spectrum.shape[1] - 1) * settings.hop + settings.window
    return torch.nn.functional.fold(
        frames.transpose(1, 2), (1, length), kernel_size=(1, settings.window), stride=(1, settings.hop)
    )[:, 0, 0]


def istft(spectrum: torch.Tensor, settings: FrameSettings) -> torch.Tensor:
    """Waveform of a spectrum in `stft`'s framing: `(batch, frames, bins) -> (batch, frames * hop)`.

    Within `margin` samples of either end fewer frames overlap, so the outermost 24 ms fade: the same fade that the
    zero padding of `stft` has at analysis.
    """
    full = overlap_add(spectrum, settings)
    return full[:, settings.margin : full.shape[1] - settings.margin]
