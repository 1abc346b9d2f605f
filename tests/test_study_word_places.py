"""Accuracy by place in the word: every audio token once, asked of the right stage at the right row."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from contrasts import random_system
from speech import corpus

from labkit.interleave import BOOST, InterleaveMode, ScheduleError
from labkit.study.script import script
from labkit.study.word_places import (
    CHUNK_PLACES,
    WORD_PLACES,
    PlacedAudio,
    accuracy_by_place,
    place_audio,
)

SHORT = InterleaveMode("short", makers=((2, 2),), content=((3, 5),))
"""All that two modules can do: backbone and modules make audio in turns."""


def said():
    return [corpus()[index] for index in (0, 7, 21)]


@cache
def placed():
    return place_audio(replace(random_system(), batch=2), said(), SHORT, progress=False)


@torch.no_grad()
def test_by_hand():
    system = random_system()
    found = iter(placed())
    makers = set()
    for utterance in said():
        laid = script(system, utterance, SHORT)
        ids = torch.tensor(laid.ids)
        stages = system.model(ids[None]).stages
        for position in laid.audio:
            token = next(found)
            module = SHORT.maker(position - laid.prompt)
            row, stage = (position - 1, 0) if module is None else (position - 2 - module, module + 1)
            of_backbone, of_maker = (
                int(system.model.head(stages[which][0, at]).argmax())
                for which, at in ((0, position - 1), (stage, row))
            )
            assert token.utterance == utterance.index
            assert token.module == module
            assert token.backbone == (of_backbone == ids[position])
            assert token.maker == (of_maker == ids[position])
            makers.add(module)
    assert next(found, None) is None
    assert makers == {None, 0, 1}


def test_places_in_word_and_chunk():
    found = placed()
    for utterance in said():
        own = [token for token in found if token.utterance == utterance.index]
        laid = script(random_system(), utterance, SHORT)
        assert [token.in_chunk for token in own][:6] == [0, 1, 2, 0, 1, 2]  # five slots, two of them tags
        for word in range(len(laid.words)):
            begins = laid.audio_of(word).start
            # Where two words meet within a token, it belongs to the one that begins.
            ends = laid.audio_of(word + 1).start if word + 1 < len(laid.words) else len(laid.audio)
            inside = range(begins, min(laid.audio_of(word).stop, ends))
            assert [own[place].in_word for place in inside] == list(range(len(inside)))
        sounding = {place for word in range(len(laid.words)) for place in laid.audio_of(word)}
        assert all(own[place].in_word is None for place in range(len(own)) if place not in sounding)


@pytest.mark.parametrize("places", [WORD_PLACES, CHUNK_PLACES])
def test_every_token_has_one_place(places):
    assert all(sum(belongs(token) for belongs in places.values()) == 1 for token in placed())


def test_accuracies():
    tokens = [
        PlacedAudio(utterance, in_word, 0, 1, True, in_word is None or utterance == 1)
        for utterance in (1, 2)
        for in_word in (None, 0, 0)
    ]
    accuracies = accuracy_by_place(tokens, WORD_PLACES)
    assert list(accuracies) == ["silence", "a word's first token"]
    first = accuracies["a word's first token"]
    assert (first.backbone.value, first.maker.value, first.relative.value, first.maker.n) == (1, 0.5, 0.5, 2)
    assert accuracies["silence"].maker.value == 1
    assert accuracy_by_place([token for token in tokens if token.utterance == 1], WORD_PLACES) == {}
    wrong = [replace(token, backbone=False) for token in tokens]
    with pytest.raises(ValueError, match="never right about 'silence'"):
        accuracy_by_place(wrong, WORD_PLACES)


def test_a_mode_that_asks_for_more_modules_is_refused():
    with pytest.raises(ScheduleError, match="10 MCTP modules"):
        place_audio(random_system(), said(), BOOST, progress=False)
