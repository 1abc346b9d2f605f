"""What any alignment must beat: ways to tell the word that sounds without a head chosen for it.

The strongest is the *proportional line*: speech goes through its text at an even pace, so the share of time that has
passed says how much of the text has. Whoever writes about a "diagonal" has this to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from labkit.study.alignment import Follow, Look, follow, score_all
from labkit.study.alignment_choice import LAGS, WINDOWS, ChosenLooks
from labkit.study.alignment_weights import COPIES, ROWS, WordAttention

UNITS = ("words", "characters")
LARGEST_EDGE = 4


def any_word(seed: int = 0) -> Follow:
    """A word at random for each audio token."""
    generator = np.random.default_rng(seed)
    return lambda attention: generator.integers(len(attention.script.words), size=len(attention.script.audio))


def previous_word(attention: WordAttention) -> np.ndarray:
    """The word whose token was written last before each audio token; the first until one is."""
    script = attention.script
    written = [word for word, span in enumerate(script.written) for _ in span]
    positions = [position for span in script.written for position in span]
    count = np.searchsorted(positions, script.audio)
    return np.array(written)[np.maximum(count - 1, 0)]


def truth_late(tokens: int = 1) -> Follow:
    """The sounding word itself, told so many audio tokens late (early, if negative), and held through silence.

    No baseline but a yardstick: what a head would score that follows perfectly and turns at the wrong moment.
    """

    def tell(attention: WordAttention) -> np.ndarray:
        sounding = [-1 if word is None else word for word in attention.script.sounding]
        held = np.maximum.accumulate(np.maximum(sounding, 0))
        return held[np.clip(np.arange(len(held)) - tokens, 0, len(held) - 1)]

    return tell


@dataclass(frozen=True)
class Line:
    """The proportional line.

    Attributes:
        unit: of text that take equal times, one of `UNITS`.
        lead: audio tokens of silence taken to stand before the first word.
        tail: the same after the last.
    """

    unit: str = "words"
    lead: int = 0
    tail: int = 0

    def __post_init__(self) -> None:
        if self.unit not in UNITS or min(self.lead, self.tail) < 0:
            raise ValueError(
                f"a line goes by {' or '.join(UNITS)}, between edges of 0 tokens or more, not {self}"
            )

    def __call__(self, attention: WordAttention) -> np.ndarray:
        """The word ``(audio,)`` that the line passes at each audio token."""
        words, audio = attention.script.words, len(attention.script.audio)
        size = np.array([len(word) if self.unit == "characters" else 1 for word in words])
        spoken = max(1, audio - self.lead - self.tail)
        share = np.clip((np.arange(audio) + 0.5 - self.lead) / spoken, 0, 1)
        return np.searchsorted(size.cumsum()[:-1] / size.sum(), share, side="right")


def choose_line(attentions: Sequence[WordAttention]) -> Line:
    """The line that finds the most sounding words: units and edges are chosen, as a head's offset is."""
    edges = range(LARGEST_EDGE + 1)
    lines = [Line(unit, lead, tail) for unit, lead, tail in product(UNITS, edges, edges)]
    return max(lines, key=lambda line: _right(attentions, line))


def choose_mean_of_all(attentions: Sequence[WordAttention]) -> ChosenLooks:
    """All heads together, read from the row, at the copy, with the lag and in the window that suit them best."""
    ways = [
        ChosenLooks(tuple(Look(head, row, copy, lag=lag) for head in attentions[0].heads), window)
        for row, copy, lag, window in product(ROWS, COPIES, LAGS, WINDOWS)
    ]
    return max(ways, key=lambda way: _right(attentions, follow(*way)))


def _right(attentions: Sequence[WordAttention], way: Follow) -> int:
    return sum(row.right for row in score_all(attentions, way))
