"""Text and audio woven by a mode and taken apart again, whatever their lengths."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit.interleave import (
    BALANCE,
    BOOST,
    MODES,
    Content,
    InterleaveMode,
    content_of,
    deinterleave,
    interleave,
    place,
)
from labkit.vocabulary import Vocabulary
from labkit.vocabulary.layout import CHAT_SPECIALS, released_specials

VOCABULARY = Vocabulary.of(100, (*CHAT_SPECIALS, *released_specials()), 50)
BEGIN, END = VOCABULARY.begin_of_audio, VOCABULARY.end_of_audio

texts = st.lists(st.integers(0, 99) | st.just(VOCABULARY.im_end), max_size=60)
audios = st.lists(st.integers(0, 49).map(VOCABULARY.audio_id), max_size=120)
pairs = st.tuples(st.integers(0, 6), st.sampled_from([0, 3, 4, 8, 10])).filter(any)
modes = st.sampled_from(list(MODES.values())) | st.lists(pairs, min_size=1, max_size=4).map(
    lambda content: InterleaveMode("drawn", ((1, 0),), tuple(content))
)


def audio(n: int) -> list[int]:
    return [VOCABULARY.audio_id(i % 50) for i in range(n)]


@given(texts, audios, modes)
def test_deinterleave_is_the_inverse(text: list[int], spoken: list[int], mode: InterleaveMode) -> None:
    assert deinterleave(interleave(text, spoken, mode, VOCABULARY), VOCABULARY) == (text, spoken)


@given(texts, audios, st.sampled_from(list(MODES.values())))
def test_tags_pair_up_and_no_chunk_is_empty(text: list[int], spoken: list[int], mode: InterleaveMode) -> None:
    woven = interleave(text, spoken, mode, VOCABULARY)
    assert woven.count(BEGIN) == woven.count(END)
    assert all(a != BEGIN or b != END for a, b in pairwise(woven))
    chunks = min(woven.count(BEGIN), 1) if not (text and spoken) else woven.count(BEGIN)
    assert len(woven) == len(text) + len(spoken) + 2 * chunks


@given(st.integers(1, 40), st.sampled_from([BOOST, BALANCE]))
def test_slots_hold_what_the_mode_says_when_nothing_runs_out(chunks: int, mode: InterleaveMode) -> None:
    content = [mode.content[min(i, len(mode.content) - 1)] for i in range(chunks)]
    text = [i % 100 for i in range(sum(t for t, _ in content))]
    spoken = sum(a - 2 for _, a in content)
    placed = place(interleave(text, audio(spoken), mode, VOCABULARY), mode, VOCABULARY)
    assert all(token.content == token.slot.content for token in placed)


def test_boost_by_hand() -> None:
    text, spoken = [1, 2, 3, 4, 5], audio(16)
    assert interleave(text, spoken, BOOST, VOCABULARY) == [
        *[1, BEGIN, *spoken[:8], END],
        *[2, 3, 4, 5, BEGIN, *spoken[8:], END],
    ]


def test_audio_left_over_makes_the_last_chunk_longer() -> None:
    text, spoken = [1, 2, 3], audio(30)
    assert interleave(text, spoken, BOOST, VOCABULARY) == [
        *[1, BEGIN, *spoken[:8], END],
        *[2, 3, BEGIN, *spoken[8:], END],
    ]


def test_text_left_over_goes_before_the_last_chunk() -> None:
    text, spoken = list(range(20)), audio(10)
    assert interleave(text, spoken, BOOST, VOCABULARY) == [
        *[0, BEGIN, *spoken[:8], END],
        *[*text[1:], BEGIN, *spoken[8:], END],
    ]


def test_text_alone_and_audio_alone() -> None:
    assert interleave([1, 2, 3], [], BOOST, VOCABULARY) == [1, 2, 3]
    assert interleave([], audio(30), BOOST, VOCABULARY) == [BEGIN, *audio(30), END]
    assert interleave([], [], BOOST, VOCABULARY) == []


def test_tensors_are_taken_as_ids() -> None:
    woven = interleave(torch.tensor([1, 2]), torch.tensor(audio(9)), BOOST, VOCABULARY)
    assert woven == interleave([1, 2], audio(9), BOOST, VOCABULARY)
    assert deinterleave(torch.tensor(woven), VOCABULARY) == ([1, 2], audio(9))
    assert place(torch.tensor(woven), BOOST, VOCABULARY) == place(woven, BOOST, VOCABULARY)


def test_foreign_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match=r"text_ids\[1\]"):
        interleave([1, BEGIN], [], BOOST, VOCABULARY)
    with pytest.raises(ValueError, match=r"text_ids\[0\]"):
        interleave(audio(1), [], BOOST, VOCABULARY)
    with pytest.raises(ValueError, match=r"audio_ids\[0\] = 5 .* vocabulary.audio_ids"):
        interleave([1], [5], BOOST, VOCABULARY)


@pytest.mark.parametrize(
    ("ids", "where"),
    [
        (audio(1), "outside"),
        ([END], "outside"),
        ([BEGIN, 5, END], "inside"),
        ([BEGIN, BEGIN], "inside"),
        ([BEGIN, *audio(2), VOCABULARY.im_end], "inside"),
    ],
)
def test_sequences_that_do_not_pair_up_are_refused(ids: list[int], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        deinterleave(ids, VOCABULARY)


def test_a_generation_cut_short_can_be_taken_apart() -> None:
    assert deinterleave([1, BEGIN, *audio(3)], VOCABULARY) == ([1], audio(3))


def test_content_of_every_kind_of_token() -> None:
    assert content_of(3, VOCABULARY) is Content.TEXT
    assert content_of(VOCABULARY.im_end, VOCABULARY) is Content.TEXT
    assert content_of(BEGIN, VOCABULARY) is Content.BEGIN_OF_AUDIO
    assert content_of(END, VOCABULARY) is Content.END_OF_AUDIO
    assert content_of(VOCABULARY.audio_id(3), VOCABULARY) is Content.AUDIO


def test_placing_shows_where_text_ran_out() -> None:
    placed = place(interleave([1], audio(12), BOOST, VOCABULARY), BOOST, VOCABULARY)
    assert [p.slot.index for p in placed] == list(range(15))
    assert placed[12].slot.content is Content.TEXT
    assert placed[12].content is Content.AUDIO
    assert placed[12].slot.module is None
