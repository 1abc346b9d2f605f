"""Choosing the heads that follow the text, and how to read them, on utterances on which they are not scored.

Every head is ranked by itself, with the offset and the lag that suit it best; then as many of the best are taken
together, and their weights smoothed over as many audio tokens, as together find the most words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from labkit.study.alignment import Look, as_shares, moved, shares, smoothed, sounding_words
from labkit.study.alignment_weights import COPIES, ROWS, WordAttention, common_heads

OFFSETS = (-2, -1, 0, 1, 2)
LAGS = (0, 1, 2, 3)
WINDOWS = (1, 3, 5)


@dataclass(frozen=True)
class RankedLook:
    """A look, and the share of audio tokens whose sounding word it finds."""

    look: Look
    accuracy: float


class ChosenLooks(NamedTuple):
    """Looks that are read together, as ``follow(*chosen)``."""

    looks: tuple[Look, ...]
    window: int


def rank_looks(
    attentions: Sequence[WordAttention],
    *,
    rows: Sequence[str] = ROWS,
    copies: Sequence[str] = COPIES,
    offsets: Sequence[int] = OFFSETS,
    lags: Sequence[int] = LAGS,
) -> list[RankedLook]:
    """Every head's every row and copy, each with the offset and lag that suit it best, the most accurate first.

    Raises:
        ValueError: no utterances, or none in which a word sounds.
    """
    heads, tokens = common_heads(attentions), 0
    right = np.zeros((len(rows), len(copies), len(offsets), len(lags), len(heads)))
    for attention in attentions:
        sounding, place = sounding_words(attention.script)
        tokens += len(place)
        for (r, row), (c, copy) in product(enumerate(rows), enumerate(copies)):
            weights = as_shares(attention.of(row, copy))
            for o, offset in enumerate(offsets):
                found = moved(weights, offset).argmax(-1)
                for g, lag in enumerate(lags):
                    right[r, c, o, g] += (found[:, np.maximum(place - lag, 0)] == sounding).sum(-1)
    # Of ways of reading that do equally well, the one that changes the least.
    ways = sorted(
        product(range(len(offsets)), range(len(lags))), key=lambda w: (abs(offsets[w[0]]), lags[w[1]])
    )
    ranked = []
    for (r, row), (c, copy), (h, head) in product(enumerate(rows), enumerate(copies), enumerate(heads)):
        o, g = max(ways, key=lambda way: right[r, c, *way, h])
        look = Look(head, row, copy, offsets[o], lags[g])
        ranked.append(RankedLook(look, float(right[r, c, o, g, h] / tokens)))
    return sorted(ranked, key=lambda each: -each.accuracy)


def choose_looks(
    attentions: Sequence[WordAttention],
    ranked: Sequence[RankedLook],
    *,
    most: int = 16,
    windows: Sequence[int] = WINDOWS,
) -> ChosenLooks:
    """As many of the best looks, smoothed over as many audio tokens, as together find the most sounding words.

    Use the same utterances as for the ranking, and score on others.

    Args:
        most: looks to take; at least one is taken.
        windows: audio tokens to average over, odd numbers.
    """
    looks = [each.look for each in ranked[:most]]
    right = np.zeros((len(windows), len(looks)), dtype=int)
    for attention in attentions:
        sounding, place = sounding_words(attention.script)
        votes = np.cumsum([shares(attention, look) for look in looks], axis=0)
        for w, window in enumerate(windows):
            right[w] += (smoothed(votes, window).argmax(-1)[:, place] == sounding).sum(-1)
    window, last = np.unravel_index(right.argmax(), right.shape)
    return ChosenLooks(tuple(looks[: int(last) + 1]), windows[int(window)])
