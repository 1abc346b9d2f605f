"""Where within a word attention follows it: at the audio token with which the word begins, at the second, and so on.

Once a word has begun, its own sound tells how it goes on, and the model need not look at the text any more. So the
question of Fig. 1a (does the audio look at its word?) is asked for each place in the word by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.statistics import Estimate, ratio
from labkit.study.alignment import Follow
from labkit.study.alignment_weights import WordAttention
from labkit.study.script import Script

PLACES = 5
"""Places told apart: the first four audio tokens of a word, and all later ones together."""


def places_in_words(script: Script) -> list[int | None]:
    """For each audio token, which one of its word's it is, counted from 0; None in silence."""
    places: list[int | None] = []
    for token, word in enumerate(script.sounding):
        begun = token > 0 and script.sounding[token - 1] == word
        places.append(None if word is None else places[-1] + 1 if begun else 0)
    return places


def accuracy_by_place(attentions: Sequence[WordAttention], way: Follow) -> list[Estimate]:
    """Share of audio tokens that attend to the word that sounds, by their place in it, with 95% intervals.

    Returns:
        An estimate for each of the `PLACES`, as far as two utterances have words that long.

    Raises:
        ValueError: fewer than two utterances.
    """
    right, tokens = _counts(attentions, way)
    estimates = []
    for place in range(PLACES):
        long = tokens[:, place] > 0
        if place and long.sum() < 2:
            break
        estimates.append(ratio(right[long, place], tokens[long, place]))
    return estimates


def gain_at_beginnings(attentions: Sequence[WordAttention], way: Follow, baseline: Follow) -> Estimate:
    """How much more often than a baseline a way finds the word at its first audio token: the paired difference.

    Raises:
        ValueError: fewer than two utterances.
    """
    (ours, tokens), (theirs, _) = _counts(attentions, way), _counts(attentions, baseline)
    return ratio(ours[:, 0] - theirs[:, 0], tokens[:, 0])


def _counts(attentions: Sequence[WordAttention], way: Follow) -> tuple[np.ndarray, np.ndarray]:
    """Audio tokens that find their word, and all of them, each ``(utterances, PLACES)``."""
    counts = np.zeros((2, len(attentions), PLACES))
    for row, attention in enumerate(attentions):
        found, sounding = way(attention), attention.script.sounding
        for token, place in enumerate(places_in_words(attention.script)):
            if place is not None:
                counts[:, row, min(place, PLACES - 1)] += found[token] == sounding[token], 1
    return counts[0], counts[1]
