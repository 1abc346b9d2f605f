"""What a second of speech costs under a schedule."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.interleave import BALANCE, BOOST, TURBO, VANILLA, Content, ScheduleError, parse
from labkit.interleave.rate import speech_rate


def test_a_second_of_boost() -> None:
    rate = speech_rate(BOOST)
    assert (rate.text, rate.audio, rate.tags) == (6.25, 12.5, 3.125)
    assert rate.tokens == 21.875
    assert rate.backbone == pytest.approx(6.25), "the backbone makes the text and nothing else"
    assert rate.module == pytest.approx(15.625)


def test_the_four_modes_differ_in_who_works_not_in_what_is_said() -> None:
    rates = [speech_rate(mode) for mode in (TURBO, BOOST, BALANCE, VANILLA)]
    assert len({rate.tokens for rate in rates}) == 1
    assert [round(rate.backbone, 2) for rate in rates] == [1.99, 6.25, 6.25, 21.88]


@given(st.integers(1, 5), st.integers(0, 10), st.integers(0, 5), st.integers(3, 12))
def test_the_rate_is_what_counting_slots_finds(backbone: int, mctp: int, text: int, audio: int) -> None:
    mode = parse([backbone, mctp], content=[text, audio])
    slots = list(mode.slots((backbone + mctp) * (text + audio) * 3))
    seconds = sum(slot.content is Content.AUDIO for slot in slots) / 12.5
    rate = speech_rate(mode)
    assert rate.text * seconds == pytest.approx(sum(slot.content is Content.TEXT for slot in slots))
    assert rate.backbone * seconds == pytest.approx(sum(slot.module is None for slot in slots))
    assert rate.tokens * seconds == pytest.approx(len(slots))


def test_a_schedule_that_falls_silent_has_no_rate() -> None:
    with pytest.raises(ScheduleError, match="holds no audio"):
        speech_rate(parse("1 10 4 0"))
