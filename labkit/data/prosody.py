"""Speaking rates and pauses drawn at random, within a sentence too.

Without them the share of time gone by tells which word is sounding (a straight line through the sentence is right for
some 70% of Mandarin and half of English), and attention that follows the words could not be told from a clock.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

BASE_RATES = {"en": (115, 150), "cmn": (150, 200)}
"""Range of a sentence's overall rate, in espeak's words a minute."""


@dataclass(frozen=True)
class Prosody:
    """How a sentence is said: overall rate, each word's rate relative to it, seconds of pause after each word."""

    rate: int
    word_rates: tuple[float, ...]
    pauses: tuple[float, ...]
    lead: float
    tail: float


def draw_prosody(words: int, language: str, rng: random.Random) -> Prosody:
    """Runs of 1 to 4 words share a rate between 0.7 and 1.4; up to three pauses of 0.08 to 0.5 seconds."""
    rates: list[float] = []
    while len(rates) < words:
        rates += [round(0.7 * 2 ** rng.random(), 2)] * rng.randint(1, 4)
    pauses = [0.0] * words
    for place in rng.sample(range(words - 1), min(words - 1, rng.choice((0, 1, 1, 2, 2, 3)))):
        pauses[place] = round(rng.uniform(0.08, 0.5), 2)
    return Prosody(
        rate=rng.randint(*BASE_RATES[language]),
        word_rates=tuple(rates[:words]),
        pauses=tuple(pauses),
        lead=round(rng.uniform(0.05, 0.3), 3),
        tail=round(rng.uniform(0.1, 0.25), 3),
    )
