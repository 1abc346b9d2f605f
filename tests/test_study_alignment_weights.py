"""What is kept of the patterns is what a plain loop over a trace finds, batched or not, backbone and modules alike."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from speech import corpus, speech_model, system
from tiny import tiny_model

from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import BALANCE, BOOST
from labkit.study.alignment_weights import Head, WordAttention, all_heads, attend_words, mean_mass
from labkit.study.script import Script, script


@cache
def spoken(modules: int = 3, batch: int = 4) -> SpeechSystem:
    return system(speech_model(modules), batch=batch)


def scripts(count: int = 5, mode=BOOST) -> list[Script]:
    return [script(spoken(), corpus()[index], mode) for index in range(count)]


def slowly(one: Script, modules: int = 3) -> WordAttention:
    """The same numbers, one at a time, from whole patterns."""
    model = spoken(modules).model
    heads = all_heads(model)
    names = list(dict.fromkeys(f"{head.place}.pattern" for head in heads))
    with torch.inference_mode(), model.traced(names) as trace:
        model(torch.tensor([one.ids]))
    weights = np.zeros((len(heads), 2, 2, len(one.audio), len(one.words)), "float32")
    mass = np.zeros((len(heads), 2, 3), "float32")
    written = [position for span in one.written for position in span]
    for h, head in enumerate(heads):
        pattern = trace[f"{head.place}.pattern"][0, head.index]
        for token, position in enumerate(one.audio):
            for row, looking in enumerate((position - 1, position)):
                for copy, spans in enumerate((one.asked, one.written)):
                    for word, span in enumerate(spans):
                        weights[h, row, copy, token, word] = sum(float(pattern[looking, key]) for key in span)
        for place, looking in enumerate((written, one.audio)):
            for key in range(len(one.ids)):
                kind = 0 if key in one.text else 1 if key in one.audio else 2
                mass[h, place, kind] += float(pattern[list(looking), key].mean())
    return WordAttention(one, heads, weights, mass)


@pytest.mark.parametrize("mode", [BOOST, BALANCE], ids=["boost", "balance"])
def test_the_reduction_is_a_plain_loop_over_the_trace(mode):
    one = scripts(1, mode)[0]
    fast, slow = attend_words(spoken(), [one], progress=False)[0], slowly(one)
    assert fast.heads == slow.heads
    assert fast.weights.shape == (20, 2, 2, len(one.audio), len(one.words))
    np.testing.assert_allclose(fast.weights, slow.weights, atol=1e-5)
    np.testing.assert_allclose(fast.mass, slow.mass, atol=1e-5)


def test_batched_and_padded_is_one_by_one():
    together = attend_words(spoken(), scripts(), progress=False)
    assert len({len(each.script.ids) for each in together}) > 1
    for one, each in zip(scripts(), together, strict=True):
        alone = attend_words(spoken(batch=1), [one], progress=False)[0]
        assert each.script.ids == one.ids
        assert each.weights.shape == alone.weights.shape
        np.testing.assert_allclose(each.weights, alone.weights, atol=1e-5)
        np.testing.assert_allclose(each.mass, alone.mass, atol=1e-5)


def test_fewer_go_together_where_a_pattern_would_grow_too_large():
    sizes = []
    hook = {"backbone.0.resid_pre": lambda activation, p: sizes.append(len(activation))}
    longest = max(len(one.ids) for one in scripts())
    with spoken().model.patched(hook):
        few = attend_words(spoken(), scripts(), limit=2 * 4 * longest**2 * 4, progress=False)
        ones = attend_words(spoken(), scripts(), limit=1, progress=False)
    assert sizes == [2, 2, 1, 1, 1, 1, 1, 1]
    for one, other in zip(few, ones, strict=True):
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-5)


def test_masses_are_shares_and_text_that_is_not_written_yet_gets_none():
    for each in attend_words(spoken(), scripts(), progress=False):
        np.testing.assert_allclose(each.mass.sum(-1), 1, atol=1e-5)
        for token, position in enumerate(each.script.audio):
            later = [word for word, span in enumerate(each.script.written) if span[0] > position]
            assert not each.of("own", "answer")[:, token, later].any()
        assert (each.of("own", "both").sum(-1) <= 1 + 1e-5).all()


def test_only_the_places_asked_for_and_no_module_beyond_them():
    ran = []
    places = ["module.1", "backbone.0"]
    with spoken().model.patched({"module.2.resid_pre": lambda activation, p: ran.append(p)}):
        few = attend_words(spoken(), scripts(2), places=places, progress=False)
    assert not ran
    assert few[0].heads == tuple(
        Head(place, index) for place in ("backbone.0", "module.1") for index in range(4)
    )
    for part, whole in zip(few, attend_words(spoken(), scripts(2), progress=False), strict=True):
        kept = [whole.heads.index(head) for head in part.heads]
        np.testing.assert_allclose(part.weights, whole.weights[kept], atol=1e-6)


def test_a_model_without_a_chain_has_the_backbones_heads():
    heads = all_heads(tiny_model(0))
    assert [str(head) for head in heads[:5]] == [
        *(f"backbone.0 head {index}" for index in range(4)),
        "backbone.1 head 0",
    ]
    assert len(heads) == 8


def test_nothing_hangs_on_the_model_afterwards():
    before = spoken().model(torch.tensor([scripts(1)[0].ids])).stages
    attend_words(spoken(), scripts(2), progress=False)
    after = spoken().model(torch.tensor([scripts(1)[0].ids])).stages
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("place", ["backbone.2", "module.3", "backbone.0.pattern", "chain"])
def test_a_place_that_is_not_there_is_refused(place):
    with pytest.raises(ValueError, match="no attention at"):
        attend_words(spoken(), scripts(1), places=[place], progress=False)


def test_nothing_to_look_at_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        attend_words(spoken(), [], progress=False)
    with pytest.raises(ValueError, match="at least one"):
        attend_words(spoken(), scripts(1), places=[], progress=False)


def test_audio_that_begins_before_a_module_has_a_row_is_refused():
    one = scripts(1)[0]
    early = replace(one, audio=(2, *one.audio[1:]))
    attend_words(spoken(), [early], places=["module.0"], progress=False)
    with pytest.raises(ValueError, match="module 2 has no row yet"):
        attend_words(spoken(), [early], places=["module.2"], progress=False)


def test_masses_are_averaged_over_utterances_of_the_same_heads():
    looked = attend_words(spoken(), scripts(3), progress=False)
    np.testing.assert_allclose(mean_mass(looked), sum(each.mass for each in looked) / 3, rtol=1e-5)
    with pytest.raises(ValueError, match="at least one utterance"):
        mean_mass([])
    with pytest.raises(ValueError, match="the same heads"):
        mean_mass([looked[0], replace(looked[1], heads=looked[1].heads[::-1])])
