"""Numbers with their uncertainty: an estimate, its 95% interval, and how many cases it rests on.

Every function returns an :class:`Estimate`, which unpacks straight into a claim::

    findings.claim("the right reading is heard", *proportion(492, 500), goal=">= 0.98", source="Fig. 1b")

The bootstrap (Efron and Tibshirani 1993) sees only the spread in the cases it is given: where they all agree
its interval has no width, and :func:`proportion` is the honest choice.

Cases must be independent for these intervals to mean what they say. Where they come in groups (twenty
sentences for each of thirteen homographs), say so with :func:`clustered_proportion` or
:func:`clustered_mean`, or give :func:`ratio` one row per group: :func:`proportion` of the pooled count would
be too sure of itself.
"""

import math
from collections.abc import Callable, Hashable, Sequence
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


def clustered_proportion(successes: Sequence[bool], groups: Sequence[Hashable]) -> Estimate:
    """The share of successes among cases that come in groups, such as sentences by their homograph.

    Cases of a group tend to succeed or fail together, so that they tell less than as many independent ones:
    Wilson's interval is taken at the effective sample size, ``n`` over the design effect, the ratio of the
    variance between groups to that of independent cases (Kish 1965; Franco et al. 2019, "Comparative study
    of confidence intervals for proportions in complex sample surveys"). Where all cases agree, no such effect
    can be seen and the interval is that of :func:`proportion`.

    Args:
        successes: (cases,), whether each succeeded.
        groups: (cases,), what each belongs to.

    Raises:
        ValueError: the two differ in length or are empty.
    """
    if len(successes) != len(groups):
        raise ValueError(f"got {len(successes)} successes but {len(groups)} groups")
    names = {name: place for place, name in enumerate(dict.fromkeys(groups))}
    index = [names[group] for group in groups]
    right = np.bincount(index, weights=np.asarray(successes, dtype=bool)) if index else np.zeros(0)
    plain = proportion(int(right.sum()), len(groups))
    spread, count = plain.value * (1 - plain.value), len(names)
    if not spread or count == 1:
        return plain
    residuals = right - plain.value * np.bincount(index)
    between = count / (count - 1) * float((residuals**2).sum()) / plain.n**2
    effect = max(1.0, between / (spread / plain.n))
    return Estimate(plain.value, *_wilson(plain.value, plain.n / effect), plain.n)


def _wilson(share: float, n: float) -> tuple[float, float]:
    """Wilson's score interval; ``n`` need not be whole."""
    z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * math.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2) / (1 + z**2 / n)
    return middle - half, middle + half


def mean(values: ArrayLike, seed: int = 0) -> Estimate:
    """The mean of ``values`` (cases,), with a bootstrap interval over the cases.

    For a paired comparison (the same sentence decoded in two ways), give the differences.

    Raises:
        ValueError: ``values`` has fewer than two cases, more than one dimension, a NaN or an infinity.
    """
    cases = _cases(values, "values")
    return _bootstrap((cases,), lambda sample, axis: np.mean(sample, axis=axis), seed)


def clustered_mean(values: Sequence[float], groups: Sequence[Hashable]) -> Estimate:
    """The mean of values that come in groups, with a bootstrap interval over the groups; ``n`` counts values.

    Args:
        values: (cases,), such as the gains of each sentence.
        groups: (cases,), what each belongs to, such as its homograph.

    Raises:
        ValueError: the two differ in length, or there are fewer than two groups.
    """
    values, groups = list(values), list(groups)
    if len(values) != len(groups):
        raise ValueError(f"got {len(values)} values but {len(groups)} groups")
    sums: dict[Hashable, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        total = sums.setdefault(group, [0.0, 0])
        total[0] += value
        total[1] += 1
    return ratio([total for total, _ in sums.values()], [count for _, count in sums.values()])._replace(
        n=len(values)
    )


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


def relative(values: ArrayLike, baseline: ArrayLike, seed: int = 0) -> Estimate:
    """The total of ``values`` over the total of ``baseline`` on the same cases, with a bootstrap interval.

    Such as one model's right answers as a share of another's. Unlike in :func:`ratio`, single cases of the
    baseline may be zero. A resample whose baseline adds up to zero counts as infinite: an upper end of
    infinity says that the baseline is too small to compare with.

    Args:
        values: (cases,), none negative.
        baseline: (cases,), none negative, at least one positive.
        seed: of the resampling.

    Raises:
        ValueError: the two differ in length, have fewer than two cases or a negative one, or the baseline is
            zero everywhere.
    """
    above, below = _cases(values, "values"), _cases(baseline, "baseline")
    if above.shape != below.shape:
        raise ValueError(f"got {len(above)} values but a baseline of {len(below)}")
    if (above < 0).any() or (below < 0).any() or not below.any():
        raise ValueError("values and baseline must not be negative, and the baseline not zero everywhere")

    def quotient(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        top, bottom = np.sum(a, axis=axis), np.sum(b, axis=axis)
        return np.divide(top, bottom, out=np.full(np.shape(top), np.inf), where=bottom > 0)

    with np.errstate(invalid="ignore"):  # where infinities meet
        estimate = _bootstrap((above, below), quotient, seed)
    return estimate._replace(high=math.inf) if math.isnan(estimate.high) else estimate


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
