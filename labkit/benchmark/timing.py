"""Timing contenders side by side: in turns, after warming up, summed up by medians, their spread and the quietest."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tqdm.auto import tqdm


class Timing(NamedTuple):
    """Repeated measurements of one thing.

    Attributes:
        median: the middle one.
        least: the smallest.
        most: the largest.
        repeats: how many there are.
    """

    median: float
    least: float
    most: float
    repeats: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Timing":
        """Sum up measurements.

        Raises:
            ValueError: there are none.
        """
        if not values:
            raise ValueError("nothing was measured; ask for at least one repeat")
        return cls(statistics.median(values), min(values), max(values), len(values))


def take_turns(
    runs: Mapping[str, Callable[[], object]], repeats: int = 5, warm_up: int = 1, progress: bool = True
) -> dict[str, list[float]]:
    """Seconds of every run in every round.

    The runs take turns within a round, so that a machine busy with other things is busy for all of them alike, and
    ratios within a round can be trusted where times cannot.

    Args:
        runs: by name; each returns once its work is done, on whatever device.
        repeats: rounds that count.
        warm_up: rounds before them that do not.
        progress: show a bar.

    Raises:
        ValueError: no round that counts.
    """
    if repeats < 1:
        raise ValueError(f"at least one round must count, got {repeats}")
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    with tqdm(total=(warm_up + repeats) * len(runs), desc="timing", disable=not progress) as bar:
        for turn in range(warm_up + repeats):
            for name, run in runs.items():
                begun = time.perf_counter()
                run()
                if turn >= warm_up:
                    seconds[name].append(time.perf_counter() - begun)
                bar.update()
    return seconds


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Timing:
    """Ratios within rounds."""
    return Timing.of([a / b for a, b in zip(numerators, denominators, strict=True)])


def quiet_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The quietest of one over the quietest of the other: what a busy machine may be held to.

    Whatever else runs only ever adds time, to one contender in this round and to another in the next; a median of few
    rounds takes that for the contender's own. Lies between the least and the greatest of :func:`ratios`.

    Raises:
        ValueError: nothing was measured.
    """
    return Timing.of(numerators).least / Timing.of(denominators).least
