"""Numbers with their uncertainty: an estimate, its 95% interval, and how many cases it rests on.

Every function returns an :class:`Estimate`, which unpacks straight into a claim::

    findings.claim("the right reading is heard", *proportion(492, 500), goal=">= 0.98", source="Fig. 1b")

The bootstrap (Efron and Tibshirani 1993) sees only the spread in the cases it is given: where they all agree
its interval has no width, and :func:`proportion` is the honest choice.

Cases must be independent for these intervals to mean what they say. Where they come in groups (twenty
sentences for each of thirteen homographs), give :func:`ratio` one row per group rather than
:func:`proportion` the pooled count: resampling whole groups keeps the interval honest.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 4999


class Estimate(NamedTuple):
    """A number, its 95% interval ``[low, high]``, and the count ``n`` of independent cases behind it."""

    value: float
    low: float
    high: float
    n: int


def proportion(successes: int, n: int) -> Estimate:
    """The share of ``successes`` among ``n`` cases, with Wilson's score interval.

    Wilson's interval stays inside [0, 1] and keeps its coverage near 0 and 1, which is where accuracies live
    (Wilson 1927; Brown, Cai and DasGupta 2001, "Interval estimation for a binomial proportion").

    Raises:
        ValueError: ``n`` is not positive, or ``successes`` does not lie in 0..n.
    """
    if n < 1:
        raise ValueError(f"a proportion needs at least one case, got n={n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie between 0 and n={n}, got {successes}")
    interval = stats.binomtest(int(successes), int(n)).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), int(n))


def mean(values: ArrayLike, seed: int = 0) -> Estimate:
    """The mean of ``values`` (cases,), with a bootstrap interval over the cases.

    For a paired comparison (the same sentence decoded in two ways), give the differences.

    Raises:
        ValueError: ``values`` has fewer than two cases, more than one dimension, a NaN or an infinity.
    """
    cases = _cases(values, "values")
    return _bootstrap((cases,), lambda sample, axis: np.mean(sample, axis=axis), seed)


def ratio(numerators: ArrayLike, denominators: ArrayLike, seed: int = 0) -> Estimate:
    """A ratio of sums over paired cases, with a bootstrap interval over the cases.

    This is the corpus-level word error rate (errors and reference words, one row per utterance; Bisani and
    Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation"), and equally an
    accuracy over groups (right answers and questions, one row per homograph).

    Args:
        numerators: (cases,), such as the errors in each utterance.
        denominators: (cases,), such as the words in each reference; all positive.
        seed: of the resampling.

    Raises:
        ValueError: the two differ in length, have fewer than two cases or one that is not finite, or a
            denominator is not positive.
    """
    above, below = _cases(numerators, "numerators"), _cases(denominators, "denominators")
    if above.shape != below.shape:
        raise ValueError(f"got {len(above)} numerators but {len(below)} denominators")
    if (below <= 0).any():
        raise ValueError("every denominator must be positive; leave out the cases that have nothing to count")
    return _bootstrap((above, below), lambda a, b, axis: np.sum(a, axis=axis) / np.sum(b, axis=axis), seed)


def _cases(values: ArrayLike, name: str) -> np.ndarray:
    cases = np.asarray(values, dtype=float)
    if cases.ndim != 1 or cases.size == 0:
        raise ValueError(f"{name} must be a non-empty list of numbers, got shape {cases.shape}")
    if not np.isfinite(cases).all():
        raise ValueError(f"{name} holds a NaN or an infinity")
    return cases


def _bootstrap(samples: tuple[np.ndarray, ...], statistic: Callable[..., np.ndarray], seed: int) -> Estimate:
    value, n = float(statistic(*samples, axis=-1)), len(samples[0])
    if n == 1:
        raise ValueError("one case says nothing about its own spread; an interval needs two or more")
    interval = stats.bootstrap(
        samples,
        statistic,
        paired=True,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",  # unlike BCa, defined when all cases agree
        batch=max(1, 2_000_000 // n),  # bounds the memory: resamples are (batch, cases)
        rng=np.random.default_rng(seed),
    ).confidence_interval
    # Where all cases agree, rounding may put the value a hair outside its own interval.
    return Estimate(value, min(float(interval.low), value), max(float(interval.high), value), n)
