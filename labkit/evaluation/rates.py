"""Error rates with intervals: words, characters and phonemes, through jiwer."""

from __future__ import annotations

from collections.abc import Sequence

import jiwer

from labkit.statistics import Estimate, ratio


def error_rate(meant: Sequence[Sequence[str]], heard: Sequence[Sequence[str]], *, seed: int = 0) -> Estimate:
    """Edits needed to turn what was heard into what was meant, over the length of what was meant.

    Both are lists of utterances, each a sequence of units: words, characters or phonemes. The 95% interval is a
    bootstrap over utterances: errors come in clusters, and utterances, not words, are independent.

    Raises:
        ValueError: if their numbers differ, there are fewer than two, or one that was meant is empty.
    """
    if len(meant) != len(heard):
        raise ValueError(f"{len(meant)} utterances were meant, {len(heard)} heard; they must pair up")
    return ratio([edits(a, b) for a, b in zip(meant, heard, strict=True)], [len(a) for a in meant], seed)


def edits(meant: Sequence[str], heard: Sequence[str]) -> int:
    """Substitutions, insertions and deletions between two sequences (Levenshtein distance of units)."""
    if not heard:
        return len(meant)
    result = jiwer.process_words(_joined(meant), _joined(heard))
    return result.substitutions + result.insertions + result.deletions


def _joined(units: Sequence[str]) -> str:
    spaced = [unit for unit in units if not unit or any(character.isspace() for character in unit)]
    if spaced:
        raise ValueError(f"units may not be empty or hold spaces: {spaced[0]!r}")
    return " ".join(units)
