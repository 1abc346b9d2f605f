"""Interleave modes: the paper's four schedules, and whatever a student types."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.interleave import (
    BALANCE,
    BOOST,
    MODES,
    TURBO,
    VANILLA,
    Content,
    InterleaveMode,
    ScheduleError,
    mode,
    parse,
)


def makers_as_text(m: InterleaveMode, n: int) -> str:
    return "".join("M" if m.maker(t) is None else "m" for t in range(n))


@pytest.mark.parametrize(
    ("m", "start"),
    [
        (TURBO, "MmmmmmmmmmmMmmmmmmmmmmMmmmmmmmmmm"),
        (BOOST, "MmmmmmmmmmmMMMMmmmmmmmmmmMMMMmmmmmmmmmm"),
        (BALANCE, "MmmmmMMMmmmmmmmmMMMMmmmmmmmmmmMMMMmmmmmmmmmm"),
        (VANILLA, "M" * 40),
    ],
)
def test_makers_follow_figure_4(m: InterleaveMode, start: str) -> None:
    assert makers_as_text(m, len(start)) == start


def test_modules_count_from_zero_after_every_backbone_token() -> None:
    assert [BOOST.maker(t) for t in range(17)] == [None, *range(10), None, None, None, None, 0, 1]


def test_contents_follow_figure_4() -> None:
    letters = {Content.TEXT: "t", Content.BEGIN_OF_AUDIO: "<", Content.AUDIO: "a", Content.END_OF_AUDIO: ">"}

    def read(m: InterleaveMode, n: int) -> str:
        return "".join(letters[m.holds(t)] for t in range(n))

    assert read(TURBO, 25) == read(BOOST, 25) == "t<aaaaaaaa>tttt<aaaaaaaa>"
    assert read(BALANCE, 30) == read(VANILLA, 30) == "t<aa>ttt<aaaaaa>tttt<aaaaaaaa>"


@pytest.mark.parametrize(("m", "passes"), [(VANILLA, (4096, 0)), (BOOST, (1169, 2927)), (TURBO, (373, 3723))])
def test_passes_of_4096_tokens_as_in_table_8(m: InterleaveMode, passes: tuple[int, int]) -> None:
    assert m.passes(4096) == passes


def test_turbo_lets_the_chain_make_text() -> None:
    slots = list(TURBO.slots(33))
    assert any(s.content is Content.TEXT and s.module is not None for s in slots)
    assert all((s.content is Content.TEXT) == (s.module is None) for s in BOOST.slots(200))


def test_lookup_by_name_and_alias() -> None:
    assert mode("Boost") is mode("speed") is mode(" SPEED ") is BOOST
    with pytest.raises(ScheduleError, match="turbo, boost, balance, vanilla"):
        mode("warp")


@pytest.mark.parametrize(
    "typed",
    [
        "[1,10,4,10]",
        "1，10、４，１０",
        "(1, 10), (4, 10)",
        ((1, 10), (4, 10)),
        "1 10 4 10",
        "1, 10; 4, 10",
        [1, 10, 4, 10],
        "boost",
    ],
)
def test_typed_forms_of_boost(typed: str | list[int]) -> None:
    assert parse(typed) is BOOST


def test_every_mode_parses_from_its_own_schedule() -> None:
    assert all(parse(m.schedule) is m for m in MODES.values())


def test_typed_schedule_is_its_own_content() -> None:
    assert parse("2 6 3 8").content == ((2, 6), (3, 8))


def test_runs_too_short_for_a_chunk_take_balances_content() -> None:
    assert parse([1, 1, 4, 1]).content == BALANCE.content
    assert parse([5, 0]).content == BALANCE.content
    assert parse([1, 1], content="2 5").content == ((2, 5),)


def test_a_named_mode_can_hold_something_else() -> None:
    changed = parse("vanilla", content="1 4")
    assert (changed.makers, changed.content, changed.name) == (VANILLA.makers, ((1, 4),), "[8192, 0]")
    assert parse(BOOST) is BOOST


def test_a_pair_without_backbone_tokens_continues_the_run() -> None:
    m = parse([1, 3, 0, 2, 1, 4])
    assert [m.maker(t) for t in range(11)] == [None, 0, 1, 2, 3, 4, None, 0, 1, 2, 3]
    assert m.modules_needed == 5


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("", "empty"),
        ([], "empty"),
        ("[]", "empty"),
        ("1 10 4", "pairs"),
        ([1, -10], "negative"),
        ("1 -10", "negative"),
        ("0 0", "no token"),
        ([1, 10, 0, 0], "no token"),
        ("1 10.5", "whole"),
        ([1, 2.0], "whole"),
        ([True, 3], "whole"),
        ([1, None], "whole"),
        (None, "text or a list"),
        (110410, "text or a list"),
        ("1-10", "whole"),
        ([0, 10], "starts with"),
        ([1, 10, 0, 10], "repeats"),
    ],
)
def test_bad_schedules_say_what_is_wrong(typed: object, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        parse(typed)


def test_content_needs_room_between_the_tags() -> None:
    with pytest.raises(ScheduleError, match="two tags"):
        InterleaveMode("x", makers=((1, 2),), content=((1, 2),))
    with pytest.raises(ScheduleError, match="pair"):
        InterleaveMode("x", makers=((1, 2, 3),), content=((1, 4),))


def test_a_chain_that_is_too_short_is_refused() -> None:
    BOOST.require_modules(10)
    VANILLA.require_modules(0)
    with pytest.raises(ScheduleError, match="needs 10 MCTP modules, the model has 3"):
        BOOST.require_modules(3)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6)), min_size=1, max_size=4), st.integers(0, 200))
def test_makers_agree_with_writing_the_schedule_out(pairs: list[tuple[int, int]], n: int) -> None:
    m = parse([count for pair in pairs for count in pair])
    repeated = pairs + [pairs[-1]] * n
    written = [k for backbone, mctp in repeated for k in [*[None] * backbone, *range(mctp)]]
    assert [s.module for s in m.slots(n)] == written[:n]
    assert m.passes(n) == (written[:n].count(None), n - written[:n].count(None))
    assert m.modules_needed == max(mctp for _, mctp in pairs)
