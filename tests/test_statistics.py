"""Intervals cover what they should, repeat by their seed, and refuse what has no interval."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.statistics import Estimate, mean, proportion, ratio


def test_wilson_agrees_with_the_formula():
    # Wilson (1927): (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), here for 492 of 500.
    z, n, p = 1.959963984540054, 500, 492 / 500
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    assert proportion(492, 500) == pytest.approx((p, (middle - half) / scale, (middle + half) / scale, n))


@given(st.integers(1, 10_000), st.data())
def test_a_proportion_lies_in_its_interval_and_the_interval_in_0_1(n, data):
    estimate = proportion(data.draw(st.integers(0, n)), n)
    assert -1e-12 <= estimate.low <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= estimate.high <= 1 + 1e-12
    assert estimate.low < estimate.high


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_impossible_counts_are_refused(successes, n):
    with pytest.raises(ValueError, match=r"case|between"):
        proportion(successes, n)


def test_the_bootstrap_covers_the_true_mean_about_95_times_in_100():
    rng = np.random.default_rng(0)
    estimates = [mean(rng.normal(size=40), seed) for seed in range(200)]
    assert 0.90 <= np.mean([estimate.low <= 0 <= estimate.high for estimate in estimates]) <= 0.99


def test_the_bootstrap_repeats_by_its_seed_and_leaves_the_global_state_alone():
    values = np.random.default_rng(1).normal(size=50)
    before = np.random.get_state()[1].copy()  # noqa: NPY002, the state that must stay as it was
    assert mean(values, seed=3) == mean(values, seed=3)
    assert mean(values, seed=3) != mean(values, seed=4)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_a_ratio_weighs_cases_by_their_denominators():
    estimate = ratio([0, 1, 3], [10, 10, 20])
    assert estimate.value == pytest.approx(4 / 40)
    assert estimate.low <= estimate.value <= estimate.high
    assert estimate.n == 3


def test_whole_groups_vary_more_than_pooled_cases():
    # Half of the homographs are always read right and half never: 20 sentences each tell no more than one.
    right = np.array([20, 0] * 6)
    groups, pooled = ratio(right, np.full(12, 20)), proportion(int(right.sum()), 240)
    assert groups.high - groups.low > 2 * (pooled.high - pooled.low)


def test_cases_that_agree_have_an_interval_without_width():
    assert mean([0.25] * 5) == Estimate(0.25, 0.25, 0.25, 5)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf], [[1.0, 2.0]], 3.0])
def test_what_has_no_mean_with_an_interval_is_refused(values):
    with pytest.raises(ValueError, match=r"values|one case"):
        mean(values)


@pytest.mark.parametrize(("above", "below"), [([1, 2], [1]), ([1, 2], [1, 0]), ([1], [2])])
def test_what_has_no_ratio_with_an_interval_is_refused(above, below):
    with pytest.raises(ValueError, match=r"denominator|one case"):
        ratio(above, below)
