"""Speech on a beat: every word begins where an audio token does.

Where in its 80 ms a token catches a word changes the token, so free speech seldom says a word in the same tokens twice.
On the beat, and at an even rate, a word between the same neighbors has mostly the same ones, if not always
(`tests/test_data_beat.py` compares them). That is meant to leave a small model less to learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import soxr

from labkit.data.espeak import Phoneme, Speech, SpokenWord, Synthesizer, Word

FINER = 4
"""How much finer than its samples a waveform is known before it is read at other places, by linear interpolation."""

SLOWEST, FASTEST = 0.7, 1.4


def speak_on_beat(
    synthesizer: Synthesizer, words: Sequence[SpokenWord], *, lead: float, tail: float, beat: float
) -> Speech:
    """Speak so that every word begins a whole number of beats after the beginning, and the end comes after one too.

    The words are said once to learn how long they take, then again a little faster or slower each. What is still
    missing, a few percent, is made up for by playing them faster or slower, as a tape is.

    Args:
        words: as for `Synthesizer.speak`.
        lead, tail: seconds of silence around them.
        beat: in seconds, above 0.

    Raises:
        ValueError: as `Synthesizer.speak`; a word's rate must lie in its range after the change too, which is by a
            factor of at most `FASTEST` and at least `SLOWEST`.
        SynthesisError: as `Synthesizer.speak`.
    """
    lengths = _lengths(synthesizer.speak(words, lead=lead, tail=tail))[1:]
    rates = [
        word.rate * min(FASTEST, max(SLOWEST, length / (_beats(length, beat) * beat)))
        for word, length in zip(words, lengths, strict=True)
    ]
    words = [replace(word, rate=round(rate, 2)) for word, rate in zip(words, rates, strict=True)]
    speech = synthesizer.speak(words, lead=lead, tail=tail)
    lengths = _lengths(speech)
    wanted = [max(1, round(lengths[0] / beat)) * beat, *(_beats(each, beat) * beat for each in lengths[1:])]
    return _play(speech, np.cumsum([0.0, *lengths]), np.cumsum([0.0, *wanted]))


def _lengths(speech: Speech) -> list[float]:
    """Seconds from the beginning to the first word, from each word's beginning to the next, and to the end."""
    return np.diff([0.0, *(word.start for word in speech.words), speech.seconds]).tolist()


def _beats(seconds: float, beat: float) -> int:
    return max(1, round(seconds / beat))


def _play(speech: Speech, places: np.ndarray, times: np.ndarray) -> Speech:
    """Play speech at such speeds that each of these places in it, in seconds, comes at its time."""
    rate = speech.sample_rate
    fine = soxr.resample(speech.waveform, rate, FINER * rate, quality="HQ")
    read = np.interp(np.arange(round(times[-1] * rate)) / rate, times, places)
    waveform = np.interp(read * FINER * rate, np.arange(len(fine)), fine)
    waveform = (np.clip(np.round(waveform * 32768), -32768, 32767) / 32768).astype(np.float32)

    def moved(seconds: float) -> float:
        return float(np.interp(seconds, places, times))

    return Speech(
        waveform,
        rate,
        tuple(Word(word.text, moved(word.start), moved(word.end)) for word in speech.words),
        tuple(
            Phoneme(each.symbol, moved(each.start), moved(each.end), each.stress, each.word)
            for each in speech.phonemes
        ),
    )
