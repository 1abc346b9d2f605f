"""Speech word by word, on a beat: each word is said on its own, lasts whole audio tokens, and always sounds the same.

Where in its 80 ms a token catches a word changes the token, and so does all that a voice does across words: melody,
pace, sounds that run into each other. Free speech seldom says a word in the same tokens twice. Said like this, a word
between the same neighbors has the same tokens nearly always (`tests/test_data_beat.py` compares them), and a small
model has words to learn in place of their infinite variety. It is how one reads out a list; English loses its weak
endings, Mandarin its changes of tone between syllables.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from labkit.data.espeak import Phoneme, Speech, SpokenWord, Synthesizer, Word
from labkit.data.phonemes import SILENCE

SLOWEST, FASTEST = 0.7, 1.4
"""Range of the factor by which a word's rate may be changed to fill its beats."""

TRIES = 4
"""How often a word is said again, each time at a better rate: espeak's lengths follow its rate in steps."""

FADE = 0.004
"""Seconds at both ends of a word over which it swells and fades, so that joints do not click."""


def speak_on_beat(
    synthesizer: Synthesizer, words: Sequence[SpokenWord], *, lead: float, tail: float, beat: float
) -> Speech:
    """Speak so that every word begins a whole number of beats after the beginning, and the end comes after one too.

    Args:
        words: as for `Synthesizer.speak`; pauses are rounded to beats.
        lead, tail: seconds of silence around them, rounded to beats.
        beat: in seconds, above 0.

    Raises:
        ValueError: as `Synthesizer.speak`; a word's rate must lie in its range after the change too, which is by a
            factor of at most `FASTEST` and at least `SLOWEST`.
        SynthesisError: as `Synthesizer.speak`.
    """
    if lead < 0 or tail < 0 or any(word.pause < 0 for word in words):
        raise ValueError("lead, tail and pauses are seconds of silence and cannot be negative")
    voice = (
        synthesizer.language,
        synthesizer.voice,
        synthesizer.rate,
        synthesizer.pitch,
        synthesizer.pitch_range,
        synthesizer.volume,
    )
    waveforms: list[np.ndarray] = []
    said: list[Word] = []
    phonemes: list[Phoneme] = []
    samples, rate = 0, 0

    def rest(seconds: float) -> None:
        nonlocal samples
        if beats := round(seconds / beat):
            start, length = samples, round(beats * beat * rate)
            waveforms.append(np.zeros(length, np.float32))
            samples += length
            phonemes.append(Phoneme(SILENCE, start / rate, samples / rate))

    for number, word in enumerate(words):
        alone = _say_alone(voice, replace(word, pause=0.0), beat)
        if not number:
            rate = alone.sample_rate
            rest(max(lead, beat))
        start = samples / rate
        phonemes += [
            replace(each, start=start + each.start, end=start + each.end, word=number)
            for each in alone.phonemes
        ]
        waveforms.append(alone.waveform)
        samples += len(alone.waveform)
        said.append(Word(word.text, start, samples / rate))
        rest(word.pause if number + 1 < len(words) else max(tail, beat))
    if not said:
        raise ValueError("nothing to say: there are no words")
    return Speech(np.concatenate(waveforms), rate, tuple(said), tuple(phonemes))


@functools.lru_cache(maxsize=50_000)
def _say_alone(voice: tuple, word: SpokenWord, beat: float) -> Speech:
    """One word, from its beginning to its end, in whole beats.

    What its rate leaves over, about a percent, is made up for by playing it faster or slower, as a tape is.
    """
    language, name, *settings = voice
    speak = Synthesizer(
        language, name, **dict(zip(("rate", "pitch", "pitch_range", "volume"), settings, strict=True))
    ).speak
    speech = speak([word], lead=beat, tail=beat)
    beats = max(1, round(_length(speech) / beat))
    tried = [speech]
    factor = 1.0
    for _ in range(TRIES):
        factor = min(FASTEST, max(SLOWEST, factor * _length(tried[-1]) / (beats * beat)))
        tried.append(speak([replace(word, rate=round(word.rate * factor, 2))], lead=beat, tail=beat))
    nearest = min(tried, key=lambda each: abs(_length(each) / (beats * beat) - 1))
    return _play(nearest, beats * beat)


def _length(speech: Speech) -> float:
    return speech.words[0].end - speech.words[0].start


def _play(speech: Speech, seconds: float) -> Speech:
    """The word in `speech`, played so fast that it lasts that long."""
    rate, (word,) = speech.sample_rate, speech.words
    places = np.linspace(word.start * rate, word.end * rate, round(seconds * rate), endpoint=False)
    waveform = np.interp(places, np.arange(len(speech.waveform)), speech.waveform)
    fade = np.minimum(1.0, (np.arange(len(waveform)) + 0.5) / (FADE * rate))
    waveform = (np.round(waveform * fade * fade[::-1] * 32768) / 32768).astype(np.float32)
    pace = seconds / (word.end - word.start)
    sounding = [each for each in speech.phonemes if word.start <= each.start < word.end]
    phonemes = tuple(
        replace(
            each, start=(each.start - word.start) * pace, end=(min(each.end, word.end) - word.start) * pace
        )
        for each in sounding
    )
    return Speech(waveform, rate, (Word(word.text, 0.0, seconds),), phonemes)
