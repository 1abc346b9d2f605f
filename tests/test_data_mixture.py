"""The paper's Table 2 adds up; draws follow the ratios, and the seed and epoch alone."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.data.mixture import (
    ASR,
    LONG_TEXT,
    PAPER_MIXTURE,
    SPEECH_QA,
    TASKS,
    TEXT,
    TOY_MIXTURE,
    TTS,
    epoch_order,
    ratios_of,
    with_ratios,
)

SIZES = {"tts-en": 100, "text-en": 1000, "speech-qa-en": 7}


def test_table_2_has_the_papers_rows():
    assert Counter(each.task for each in PAPER_MIXTURE) == {
        ASR: 12,
        TTS: 4,
        SPEECH_QA: 2,
        TEXT: 9,
        LONG_TEXT: 8,
    }
    assert len({each.name for each in PAPER_MIXTURE}) == 35
    # "approximately 100,000 hours" of each, and "1.4 million speech QA data"
    assert sum(each.hours for each in PAPER_MIXTURE if each.task == ASR) == 99_028
    assert sum(each.hours for each in PAPER_MIXTURE if each.task == TTS) == 110_620
    assert sum(each.samples for each in PAPER_MIXTURE if each.task == SPEECH_QA) == 1_400_000
    assert sum(each.samples for each in PAPER_MIXTURE if each.task == TEXT) == 21_423_000
    assert sum(each.samples for each in PAPER_MIXTURE if each.task == LONG_TEXT) == 249_000


def test_table_2_has_the_papers_ratios():
    for each in PAPER_MIXTURE:
        ratios = [each.ratios[stage] for stage in (1, 2, 3, 4)]
        assert ratios == ([0, 0, 0, 2.0] if each.task == SPEECH_QA else [1.0, 1.0, 1.0, 0.05])


def test_the_toys_stages_do_what_the_papers_do():
    tasks = {each.name: each.task for each in TOY_MIXTURE}
    assert set(tasks.values()) == set(TASKS)
    assert {tasks[name] for name in ratios_of(TOY_MIXTURE, 0)} == {TEXT, LONG_TEXT}
    for stage in (1, 2, 3):
        assert set(ratios_of(TOY_MIXTURE, stage)) == set(ratios_of(TOY_MIXTURE, 1))
        assert {tasks[name] for name in ratios_of(TOY_MIXTURE, stage)} == {ASR, TTS, TEXT, LONG_TEXT}
    assert ratios_of(TOY_MIXTURE, 2) == ratios_of(TOY_MIXTURE, 3)
    last = ratios_of(TOY_MIXTURE, 4)
    # Random words are the codec's alone, clips are for learning to listen, the longest sentences for the very end.
    kept_out = ("coverage", "clips", "tts-long")
    assert set(last) == {name for name in tasks if not any(word in name for word in kept_out)}
    assert {name for name in last if tasks[name] == SPEECH_QA} == {"speech-qa-en", "speech-qa-cmn"}
    # Questions are few: spoken and written ones are drawn several times.
    assert all((ratio > 1) == ("-qa-" in name) for name, ratio in last.items())
    with pytest.raises(ValueError, match="no stage 5"):
        ratios_of(TOY_MIXTURE, 5)


def test_a_mixture_is_changed_where_it_is_asked_to_be():
    heard = with_ratios(TOY_MIXTURE, lambda each: each.name == "asr-en", {1: 1.0})
    before, after = (ratios_of(mixture, 1) for mixture in (TOY_MIXTURE, heard))
    assert after == before | {"asr-en": 1.0} != before
    assert ratios_of(heard, 4) == ratios_of(TOY_MIXTURE, 4)


@given(st.floats(0, 4), st.integers(0, 300), st.integers(0, 5))
def test_a_ratio_is_how_often_each_sample_is_drawn(ratio, size, epoch):
    counts = Counter(epoch_order({"a": size}, {"a": ratio}, 0, epoch))
    assert abs(sum(counts.values()) - ratio * size) < 1 + 1e-5
    assert all(int(ratio) <= count <= int(ratio) + 1 for count in counts.values())
    assert all(0 <= index < size for _, index in counts)


def test_whole_shares_are_exact_and_small_ones_hold_over_epochs():
    order = epoch_order(SIZES, {"tts-en": 2.0, "text-en": 0.05}, 0, 0)
    assert Counter(name for name, _ in order) == {"tts-en": 200, "text-en": 50}
    drawn = [len(epoch_order(SIZES, {"speech-qa-en": 0.05}, 0, epoch)) for epoch in range(1000)]
    assert set(drawn) == {0, 1}
    assert sum(drawn) / 1000 == pytest.approx(0.35, abs=0.05)


def test_order_depends_on_seed_and_epoch_alone():
    ratios = {"tts-en": 1.0, "text-en": 0.5}
    order = epoch_order(SIZES, ratios, 1, 2)
    assert order == epoch_order(dict(reversed(SIZES.items())), dict(reversed(ratios.items())), 1, 2)
    assert order != epoch_order(SIZES, ratios, 1, 3)
    assert order != epoch_order(SIZES, ratios, 2, 2)
    assert sorted(order) != sorted(epoch_order(SIZES, ratios, 1, 3))  # another half of the text
    with_qa = epoch_order(SIZES, ratios | {"speech-qa-en": 1.0}, 1, 2)
    assert sorted(pick for pick in with_qa if pick[0] != "speech-qa-en") == sorted(order)


@pytest.mark.parametrize(
    ("ratios", "message"),
    [
        ({"tts-de": 1.0}, "no such dataset; there are tts-en, text-en"),
        ({"tts-en": -0.1}, "'tts-en' must be a number from 0 up"),
        ({"tts-en": float("nan")}, "must be a number"),
        ({"tts-en": float("inf")}, "must be a number"),
    ],
)
def test_bad_ratios_are_refused(ratios, message):
    with pytest.raises(ValueError, match=message):
        epoch_order(SIZES, ratios, 0, 0)
