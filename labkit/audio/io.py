"""Audio from anywhere, as one float32 channel at one sample rate, or a clear word on why not."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch


class AudioInputError(ValueError):
    """Something given as audio that cannot be heard as speech; the message says what to do."""


def load_audio(path: str | PathLike, sample_rate: int) -> torch.Tensor:
    """Mono waveform `(samples,)`, float32, of an audio file, resampled to `sample_rate` Hz.

    Reads what libsndfile reads: WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF, ... A truncated file gives what is there.

    Raises:
        AudioInputError: if the file is missing, is not audio, or holds no sound.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioInputError(f"there is no audio file at {path}")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioInputError(
            f"{path} is not audio that libsndfile can read ({error.error_string}); "
            "convert it to WAV, FLAC, Ogg or MP3 first"
        ) from error
    if len(samples) == 0:
        raise AudioInputError(f"{path} holds no samples; it may have been cut off right after its header")
    return as_mono(samples, rate, sample_rate)


def as_mono(waveform: object, sample_rate: int, target_rate: int) -> torch.Tensor:
    """Mono float32 `(samples,)` at `target_rate` Hz of an array at `sample_rate` Hz.

    Args:
        waveform: tensor, array or list; `(samples,)`, `(samples, channels)` or `(channels, samples)` with at most
            eight channels, which are averaged. Integers are scaled by their type's range, so int16 means 16-bit PCM.

    Raises:
        AudioInputError: if it is empty, not numbers, of another shape, or holds NaN or infinity, or if the sample
            rate is not a plausible one (1 kHz to 384 kHz).
    """
    samples = as_channels(waveform, sample_rate).numpy().mean(axis=0)
    if sample_rate != target_rate:
        resampled = soxr.resample(samples, sample_rate, target_rate)
        if len(resampled) == 0:
            raise AudioInputError(f"{len(samples)} samples at {sample_rate} Hz are too short to resample")
        samples = resampled
    return torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))


def as_channels(waveform: object, sample_rate: int) -> torch.Tensor:
    """Float32 `(channels, samples)` of an array, as `as_mono` takes it, neither mixed down nor resampled.

    Raises:
        AudioInputError: as `as_mono`.
    """
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, int | float | np.number):
        raise AudioInputError(f"the sample rate must be a number in Hz, not {sample_rate!r}")
    if not 1_000 <= sample_rate <= 384_000:
        raise AudioInputError(
            f"a sample rate of {sample_rate} Hz is not one of speech; pass it in Hz, e.g. 16000"
        )
    array = waveform.detach().cpu().numpy() if isinstance(waveform, torch.Tensor) else np.asarray(waveform)
    if array.dtype.kind not in "iuf":
        raise AudioInputError(f"a waveform is an array of numbers, not of {array.dtype}")
    if array.size == 0:
        raise AudioInputError("the waveform is empty; there is nothing to listen to")
    samples = _to_float(array)
    if samples.ndim not in (1, 2):
        raise AudioInputError(f"a waveform has one axis, or two with channels, not the shape {array.shape}")
    if samples.ndim == 1:
        samples = samples[None]
    elif not (samples.shape[0] <= 8 and samples.shape[0] < samples.shape[1]):
        samples = samples.T
    broken = ~np.isfinite(samples).all(axis=0)
    if broken.any():
        place = int(np.flatnonzero(broken)[0])
        value = samples[:, place][~np.isfinite(samples[:, place])][0]
        raise AudioInputError(
            f"the waveform holds {value} at sample {place}; repair or cut it before encoding"
        )
    return torch.from_numpy(np.ascontiguousarray(samples, dtype=np.float32))


def _to_float(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    info = np.iinfo(array.dtype)
    if array.dtype.kind == "u":  # unsigned PCM is centred on half its range
        half = (info.max + 1) / 2
        return ((array.astype(np.float64) - half) / half).astype(np.float32)
    return (array.astype(np.float64) / -float(info.min)).astype(np.float32)
