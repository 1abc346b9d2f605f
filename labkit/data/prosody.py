"""Speaking rates and pauses drawn at random.

Varied, as the codec and its judge learn it, speech flows, and rates change within a sentence too. Even, as the toy
language model learns it, words are said one by one on the beat of the audio tokens (see `labkit.data.beat`), so that a
word comes back in the same tokens.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

BASE_RATES = {"en": (115, 150), "cmn": (150, 200)}
"""Range of a sentence's overall rate, in espeak's words a minute."""

PROSODIES = ("varied", "even")
"""How freely it is spoken: `varied` in rates and pauses, or `even`, word by word and on a beat."""

EVEN_RATES = {"en": 150, "cmn": 175}
TOKEN_SECONDS = 0.08


@dataclass(frozen=True)
class Prosody:
    """How a sentence is said: overall rate, each word's rate relative to it, seconds of pause after each word.

    beat: seconds between the places at which words may begin; None for anywhere.
    """

    rate: int
    word_rates: tuple[float, ...]
    pauses: tuple[float, ...]
    lead: float
    tail: float
    beat: float | None = None


def draw_prosody(words: int, language: str, rng: random.Random, style: str = "varied") -> Prosody:
    """A way to say a sentence of that many words.

    Varied: runs of 1 to 4 words share a rate between 0.7 and 1.4; up to three pauses of 0.08 to 0.5 seconds.
    Even: what is left to chance are the silence before the first word and up to two pauses, of whole audio tokens.

    Args:
        words: at least 1.
        language: one of those in `BASE_RATES`.
        rng: all chance comes from it.
        style: one of `PROSODIES`, which `CorpusSpec` checks.

    Raises:
        ValueError: less than one word.
        KeyError: no such language.
    """
    if style == "even":
        return _even(words, language, rng)
    rates: list[float] = []
    while len(rates) < words:
        rates += [round(0.7 * 2 ** rng.random(), 2)] * rng.randint(1, 4)
    pauses = [0.0] * words
    for place in _places(words, rng.choice((0, 1, 1, 2, 2, 3)), rng):
        pauses[place] = round(rng.uniform(0.08, 0.5), 2)
    return Prosody(
        rate=rng.randint(*BASE_RATES[language]),
        word_rates=tuple(rates[:words]),
        pauses=tuple(pauses),
        lead=round(rng.uniform(0.05, 0.3), 3),
        tail=round(rng.uniform(0.1, 0.25), 3),
    )


def _even(words: int, language: str, rng: random.Random) -> Prosody:
    pauses = [0.0] * words
    for place in _places(words, rng.choice((0, 0, 1, 1, 2)), rng):
        pauses[place] = round(rng.randint(2, 5) * TOKEN_SECONDS, 2)
    return Prosody(
        rate=EVEN_RATES[language],
        word_rates=(1.0,) * words,
        pauses=tuple(pauses),
        lead=round(rng.randint(1, 3) * TOKEN_SECONDS, 2),
        tail=2 * TOKEN_SECONDS,
        beat=TOKEN_SECONDS,
    )


def _places(words: int, pauses: int, rng: random.Random) -> list[int]:
    """After which words to pause; never after the last."""
    return rng.sample(range(words - 1), min(words - 1, pauses))
