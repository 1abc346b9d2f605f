"""Which reading of a homograph was said: a verdict with its margin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.evaluation.recogniser import Heard


@dataclass(frozen=True)
class ReadingVerdict:
    """The judge's verdict on one homograph.

    Attributes:
        reading: name of the likeliest reading.
        margin: log-probability by which it beats the runner-up, in nats.
    """

    reading: str
    margin: float


def judge_reading(heard: Heard, candidates: Mapping[str, Sequence[str]]) -> ReadingVerdict:
    """Which of the `candidates` was said.

    Args:
        heard: by the judge.
        candidates: for each reading its phonemes; either the whole utterance as it would sound with that reading, or
            just the homograph if the judge heard nothing else.

    Raises:
        ValueError: with fewer than two candidates, or two that sound alike.
    """
    if len(candidates) < 2:
        raise ValueError("a verdict needs at least two readings to choose from")
    if len({tuple(phonemes) for phonemes in candidates.values()}) < len(candidates):
        raise ValueError(
            f"some of the readings {', '.join(candidates)} sound alike; no judge could tell them apart"
        )
    scores = [heard.log_probability(phonemes) for phonemes in candidates.values()]
    ranked = sorted(zip(scores, candidates, strict=True), reverse=True)
    return ReadingVerdict(reading=ranked[0][1], margin=ranked[0][0] - ranked[1][0])
