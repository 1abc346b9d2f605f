"""The token at which two readings part: the same audio behind both, and roles that cover every position once."""

from dataclasses import replace

import pytest
import torch
from contrasts import contrasts, probes, random_system, tokenizer
from speech import corpus

from labkit.interleave import BOOST, VANILLA, parse
from labkit.study.continuation import go_on
from labkit.study.contrast import ALIKE, UNEQUAL, find_contrasts, log_odds
from labkit.study.positions import CLASSES, CONTROL, homograph, positions, random_word
from labkit.vocabulary import Chat

V = Chat(tokenizer()).vocabulary
TWO = parse("1 2", content=[1, 10, 4, 10])


@pytest.mark.parametrize("mode", [VANILLA, TWO], ids=["vanilla", "chain of two"])
def test_both_runs_have_the_same_audio_behind_them_and_part_at_the_next(mode):
    found = contrasts(mode)
    assert len(found.kept) + sum(found.skipped.values()) == len(probes())
    assert len(found.kept) >= 4
    for each in found.kept:
        part = next(n for n, (a, b) in enumerate(zip(each.said, each.said_swapped, strict=True)) if a != b)
        assert each.tokens == (V.audio_id(each.said[part]), V.audio_id(each.said_swapped[part]))
        assert len(each.ids) == len(each.swapped_ids) == each.script.audio[each.span[part]]
        differing = {
            place
            for place, pair in enumerate(zip(each.ids, each.swapped_ids, strict=True))
            if len(set(pair)) > 1
        }
        assert differing
        assert differing <= set(positions(each, CLASSES["deciding word"]))
        assert each.row in each.rows
        maker = mode.maker(len(each.ids) - each.script.prompt)
        assert each.stage == (0 if maker is None else maker + 1)


@pytest.mark.parametrize("mode", [VANILLA, TWO], ids=["vanilla", "chain of two"])
def test_each_text_prefers_its_own_token(mode):
    found = contrasts(mode).kept
    assert (log_odds(random_system(), found) >= 0).all()
    assert (log_odds(random_system(), found, swapped=True) <= 0).all()


@torch.no_grad()
def test_log_odds_are_those_of_the_whole_softmax_and_do_not_depend_on_the_batch():
    found = contrasts().kept
    model = random_system().model
    together = log_odds(random_system(), found)
    torch.testing.assert_close(
        log_odds(replace(random_system(), batch=2), found), together, atol=1e-4, rtol=1e-4
    )
    for each, value in zip(found, together.tolist(), strict=True):
        logits = model.head(model(torch.tensor([each.ids]), modules=0).stages[0])[0, -1].log_softmax(-1)
        own, other = logits[list(each.tokens)].tolist()
        assert own - other == pytest.approx(value, abs=1e-4)


def test_every_position_has_one_role():
    for each in contrasts().kept:
        every = [place for choose in CLASSES.values() for place in positions(each, choose)]
        assert sorted(every) == list(range(len(each.ids)))
        for choose in (*CLASSES.values(), *CONTROL.values()):
            both = sorted(positions(each, choose))
            parts = positions(each, choose, "prompt") + positions(each, choose, "answer")
            assert sorted(parts) == both


def test_the_control_is_another_word_and_always_the_same():
    for each in contrasts().kept:
        control = positions(each, random_word)
        assert control == positions(each, random_word)
        assert not set(control) & set(positions(each, homograph))
        assert not set(control) & set(positions(each, CLASSES["deciding word"]))


def test_pairs_that_cannot_be_compared_are_counted():
    first, second = probes()[0]
    shorter = replace(
        second,
        sentence=replace(
            second.sentence, words=second.sentence.words[:-1], readings=second.sentence.readings[:-1]
        ),
    )
    found = find_contrasts(random_system(), [(first, shorter), (first, first)], VANILLA, progress=False)
    assert found.kept == ()
    assert found.skipped == {UNEQUAL: 1, ALIKE: 1}


def test_what_is_said_is_what_the_model_says():
    found = contrasts().kept
    said = go_on(
        random_system(),
        [each.script for each in found],
        [each.span for each in found],
        VANILLA,
        progress=False,
    )
    assert [each.codes for each in said] == [each.said for each in found]


def test_errors():
    with pytest.raises(ValueError, match="earlier"):
        find_contrasts(random_system(), probes(), VANILLA, earlier=-1)
    plain = corpus()[corpus().indices(kind="plain")[0]]
    with pytest.raises(ValueError, match="no homograph"):
        find_contrasts(random_system(), [(plain, plain)], VANILLA)
    with pytest.raises(ValueError, match="is not a valid Copy"):
        positions(contrasts().kept[0], homograph, "both of them")
    with pytest.raises(ValueError, match="modules"):
        find_contrasts(random_system(), probes(), BOOST)
