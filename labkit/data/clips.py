"""Short clips of an utterance, a few words each: what a model learns to recognise before it follows whole sentences.

In a sentence two things have to be learned at once, which sounds make which word and how far the writing has come. With
a word or two there is no more than the first (curriculum learning, Bengio et al. 2009).
"""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from labkit.data.corpus import Utterance
from labkit.data.espeak import Word
from labkit.data.sentences import join_words

MOST_WORDS = 4

MARGIN = 0.08
"""Seconds kept before and after: one audio token, without which the codec hears the outer sounds as others."""


class Clip(NamedTuple):
    """A part of an utterance.

    Attributes:
        text: the words in it.
        pcm: (samples,) int16.
    """

    text: str
    pcm: np.ndarray


def cut_clip(utterance: Utterance, rng: random.Random) -> Clip:
    """One to four words of an utterance, next to each other, drawn by chance."""
    words = utterance.words
    count = min(rng.randint(1, MOST_WORDS), len(words))
    first = rng.randint(0, len(words) - count)
    inside = words[first : first + count]
    before = _middle(words[first - 1]) if first else 0.0
    after = _middle(words[first + count]) if first + count < len(words) else utterance.seconds
    start = max(inside[0].start - MARGIN, before)
    stop = min(inside[-1].end + MARGIN, after)
    text = join_words([word.text for word in inside], utterance.language)
    return Clip(
        text, utterance.pcm[round(start * utterance.sample_rate) : round(stop * utterance.sample_rate)]
    )


def _middle(word: Word) -> float:
    """Seconds; a clip ends before it, lest one hear a word that is not in its text."""
    return (word.start + word.end) / 2
