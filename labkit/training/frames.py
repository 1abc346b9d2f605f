"""Frame-level truth about speech: which phoneme sounds in each frame, and at what pitch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import parselmouth
import torch

from labkit.audio.features import FrameSettings
from labkit.audio.vocoder import HIGHEST_PITCH, LOWEST_PITCH
from labkit.data.corpus import Utterance
from labkit.data.espeak import Phoneme
from labkit.data.phonemes import LANGUAGES, SILENCE, phoneme_inventory


def phoneme_symbols() -> tuple[str, ...]:
    """Every label a frame can have: `SILENCE` first, then `language/phoneme` for each language."""
    inventories = ((language, phoneme_inventory(language)) for language in LANGUAGES)
    return (
        SILENCE,
        *(f"{language}/{each}" for language, all_ in inventories for each in all_ if each != SILENCE),
    )


def symbol_ids(phonemes: Sequence[Phoneme], language: str) -> list[int]:
    """Place of each phoneme in `phoneme_symbols`."""
    index = {symbol: place for place, symbol in enumerate(phoneme_symbols())}
    return [0 if each.symbol == SILENCE else index[f"{language}/{each.symbol}"] for each in phonemes]


def frame_labels(utterance: Utterance, frames: int, seconds: float) -> torch.Tensor:
    """Label `(frames,)` of each frame of `seconds` length: the phoneme that sounds at its middle.

    Frames after the end of the utterance are silence.
    """
    starts = np.array([phoneme.start for phoneme in utterance.phonemes])
    middles = (np.arange(frames) + 0.5) * seconds
    place = np.clip(np.searchsorted(starts, middles, side="right") - 1, 0, None)
    labels = np.array(symbol_ids(utterance.phonemes, utterance.language))[place]
    return torch.from_numpy(np.where(middles < utterance.seconds, labels, 0))


def pitch_track(waveform: np.ndarray, settings: FrameSettings) -> torch.Tensor:
    """Fundamental frequency in Hz of each frame, 0 where unvoiced: `(samples,) -> (samples // hop,)`.

    Praat's autocorrelation method (Boersma, 1993), read every half frame.
    """
    step = settings.hop / settings.sample_rate / 2
    sound = parselmouth.Sound(waveform.astype(np.float64), settings.sample_rate)
    track = sound.to_pitch_ac(time_step=step, pitch_floor=LOWEST_PITCH, pitch_ceiling=HIGHEST_PITCH)
    middles = (np.arange(len(waveform) // settings.hop) + 0.5) * settings.hop / settings.sample_rate
    values, times = track.selected_array["frequency"], track.xs()
    nearest = np.clip(np.round((middles - times[0]) / step).astype(int), 0, len(values) - 1)
    return torch.from_numpy(values[nearest]).float()
