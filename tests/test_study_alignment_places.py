"""Attention is asked about each place of a word by itself: its first audio token, its second, and so on."""

from functools import cache

import numpy as np
import pytest
from speech import corpus, system

from labkit.interleave import BOOST
from labkit.study import alignment_places
from labkit.study.alignment_places import PLACES, accuracy_by_place, gain_at_beginnings, places_in_words
from labkit.study.alignment_weights import WordAttention, attend_words
from labkit.study.script import script


@cache
def attentions() -> list[WordAttention]:
    scripts = [script(system(), corpus()[index], BOOST) for index in range(4)]
    return attend_words(system(), scripts, progress=False)


def truth(attention: WordAttention) -> np.ndarray:
    return np.array([-1 if word is None else word for word in attention.script.sounding])


def only_at_beginnings(attention: WordAttention) -> np.ndarray:
    places = np.array([-1 if place is None else place for place in places_in_words(attention.script)])
    return np.where(places == 0, truth(attention), -2)


def test_a_words_audio_tokens_are_counted_from_its_first():
    for attention in attentions():
        one = attention.script
        places = places_in_words(one)
        assert [place is None for place in places] == [word is None for word in one.sounding]
        for word in range(len(one.words)):
            own = [place for place, sounds in zip(places, one.sounding, strict=True) if sounds == word]
            assert own == list(range(len(own)))


def test_whoever_looks_once_a_word_is_right_once_a_word():
    first, *later = accuracy_by_place(attentions(), only_at_beginnings)
    assert first.value == 1
    assert first.n == len(attentions())
    assert len(later) == PLACES - 1
    assert all(each.value == 0 for each in later)
    assert all(each.value == 1 for each in accuracy_by_place(attentions(), truth))


def test_the_gain_at_beginnings_does_not_see_the_rest():
    assert gain_at_beginnings(attentions(), only_at_beginnings, truth).value == 0
    nowhere = gain_at_beginnings(attentions(), only_at_beginnings, lambda each: truth(each) + 1)
    assert nowhere.value == 1


def test_utterances_of_short_words_say_nothing_about_long_ones(monkeypatch):
    counts = np.array([[[3, 3, 2, 0, 0], [2, 1, 0, 0, 0], [2, 2, 1, 1, 0]]] * 2, dtype=float)
    monkeypatch.setattr(alignment_places, "_counts", lambda *_: counts)
    estimates = accuracy_by_place([], truth)
    assert [each.n for each in estimates] == [3, 3, 2]
    assert all(each.value == 1 for each in estimates)


def test_one_utterance_is_too_few():
    with pytest.raises(ValueError, match="two or more"):
        accuracy_by_place(attentions()[:1], truth)
