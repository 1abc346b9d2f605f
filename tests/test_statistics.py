"""Intervals cover what they should, repeat by their seed, and refuse what has no interval."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.statistics import (
    Estimate,
    clustered_mean,
    clustered_proportion,
    mean,
    proportion,
    ratio,
    relative,
)


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


def test_groups_that_succeed_together_widen_the_interval_and_independent_ones_do_not():
    together = [group % 2 == 0 for group in range(12) for _ in range(20)]
    alone = [case % 2 == 0 for _ in range(12) for case in range(20)]
    groups = [group for group in range(12) for _ in range(20)]
    assert clustered_proportion(alone, groups) == pytest.approx(proportion(120, 240))
    clustered = clustered_proportion(together, groups)
    # Twenty equal cases tell as much as one: a dozen (or, with one group's worth of freedom spent, eleven).
    assert (clustered.low, clustered.high) == pytest.approx(proportion(6, 12)[1:3], abs=0.02)
    assert clustered.n == 240


def test_clusters_that_all_agree_are_a_plain_proportion():
    assert clustered_proportion([True] * 9, list("aaabbbccc")) == proportion(9, 9)
    assert clustered_proportion([True, False], ["one", "one"]) == proportion(1, 2)
    with pytest.raises(ValueError, match="2 successes but 1"):
        clustered_proportion([True, False], ["one"])
    with pytest.raises(ValueError, match="case"):
        clustered_proportion([], [])


def test_a_mean_of_groups_is_as_sure_as_there_are_groups():
    values = [float(group % 2) for group in range(10) for _ in range(30)]
    groups = [group for group in range(10) for _ in range(30)]
    clustered, pooled = clustered_mean(values, groups), mean(values)
    assert clustered.value == pooled.value == 0.5
    assert clustered.n == 300
    assert clustered.high - clustered.low > 3 * (pooled.high - pooled.low)
    assert clustered_mean([1, 2, 6], "aab").value == pytest.approx(3), "every case counts alike"
    with pytest.raises(ValueError, match="3 values but 2"):
        clustered_mean([1, 2, 3], "ab")
    with pytest.raises(ValueError, match="one case"):
        clustered_mean([1, 2, 3], "aaa")


def test_one_total_relative_to_another_may_have_empty_cases():
    estimate = relative([1, 0, 1, 0] * 10, [1, 1, 1, 0] * 10)
    assert estimate.value == pytest.approx(2 / 3)
    assert estimate.low < 2 / 3 < estimate.high
    assert relative([1, 0], [1, 0]).high == math.inf, "half of the resamples have no baseline at all"
    with pytest.raises(ValueError, match="zero everywhere"):
        relative([1, 1], [0, 0])
    with pytest.raises(ValueError, match="3 values"):
        relative([1, 1, 1], [1, 1])


def test_a_model_compared_with_itself_is_exactly_its_equal():
    assert relative([3, 0, 2] * 9, [3, 0, 2] * 9)[:3] == (1, 1, 1)
