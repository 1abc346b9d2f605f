"""Timing in turns, and what is known of the machine."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit.benchmark.machine import copy_bandwidth, describe
from labkit.benchmark.timing import Timing, quiet_ratio, ratios, take_turns


def test_runs_take_turns_and_warm_up_does_not_count() -> None:
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in ("a", "b")}
    seconds = take_turns(runs, repeats=2, warm_up=1, progress=False)
    assert order == ["a", "b"] * 3
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}
    with pytest.raises(ValueError, match="at least one round"):
        take_turns(runs, repeats=0)


def test_medians_and_ratios_within_rounds() -> None:
    assert Timing.of([3.0, 1.0, 8.0]) == (3.0, 1.0, 8.0, 3)
    assert ratios([2.0, 4.0, 6.0], [1.0, 1.0, 2.0]) == (3.0, 2.0, 4.0, 3)
    with pytest.raises(ValueError, match="nothing was measured"):
        Timing.of([])


def test_a_machine_in_numbers() -> None:
    found = copy_bandwidth("cpu", repeats=2, size=2**20)
    assert 0 < found.least <= found.median <= found.most
    assert describe("cpu")["threads"] == torch.get_num_threads()
    assert describe("cpu")["device"]


@given(st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), min_size=1, max_size=9))
def test_a_quiet_ratio_lies_within_the_rounds(rounds: list[tuple[float, float]]) -> None:
    slow, fast = zip(*rounds, strict=True)
    spread = ratios(slow, fast)
    assert spread.least * (1 - 1e-9) <= quiet_ratio(slow, fast) <= spread.most * (1 + 1e-9)


def test_a_quiet_ratio_forgets_the_rounds_in_which_something_else_ran() -> None:
    assert quiet_ratio([2.0, 9.0, 8.0], [7.0, 1.0, 6.0]) == 2.0
    with pytest.raises(ValueError, match="nothing was measured"):
        quiet_ratio([], [])
