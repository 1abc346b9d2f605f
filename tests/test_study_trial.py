"""A trial says, hears and looks under the cut that was asked for, and a cut that cuts nothing is refused."""

import numpy as np
import pytest
from speech import corpus, listener, system
from talkative import talkative

from labkit.interleave import BOOST
from labkit.study.continuation import go_on
from labkit.study.masking import Condition, Scripts, all_but_own, cutting
from labkit.study.script import Script, script
from labkit.study.trial import Cut, hear, look, speak
from labkit.study.verdict import Window, window

NOTHING = Cut()


def laid_out() -> tuple[Script, Window]:
    utterance, partner = corpus().probes("en")[0]
    text = script(talkative(), utterance, BOOST)
    return text, window(text, partner)


def others(text: Script) -> list[int]:
    return [word for word in range(len(text.words)) if word != text.utterance.homograph.index]


def true_codes(text: Script) -> list[int]:
    return talkative().vocabulary.audio_codes([text.ids[position] for position in text.audio])


def test_the_homograph_alone_is_said_anew_after_the_true_audio():
    text, scope = laid_out()
    codes = speak(talkative(), text, scope, BOOST, NOTHING)
    assert list(codes[: scope.word.start]) == true_codes(text)[: scope.word.start]
    assert len(codes) == scope.audio.stop


def test_the_whole_sentence_is_said_anew_where_the_cut_covers_it():
    text, scope = laid_out()
    codes = speak(talkative(), text, scope, BOOST, Cut(whole=True))
    assert len(codes) == len(text.audio)
    assert list(codes) != true_codes(text)


def test_hiding_all_but_the_homograph_is_the_lessons_own_condition():
    text, scope = laid_out()
    words = others(text)
    codes = speak(talkative(), text, scope, BOOST, Cut.of(words, words))
    scripts = Scripts(talkative(), corpus().probes("en")[:1], BOOST)
    (expected,) = go_on(
        talkative(), [text], [range(scope.word.start, scope.audio.stop)], BOOST, progress=False,
        change=cutting(talkative(), [text], scripts.windows, BOOST, Condition("own", all_but_own)),
    )  # fmt: skip
    assert codes[scope.word.start :] == expected.codes


def test_hidden_words_get_no_attention_and_the_others_get_more():
    text, scope = laid_out()
    words, own = others(text), text.utterance.homograph.index
    codes = speak(talkative(), text, scope, BOOST, NOTHING)
    plain = look(talkative(), text, scope, BOOST, NOTHING, codes)
    cut = look(talkative(), text, scope, BOOST, Cut.of(words, words), codes)
    assert plain.shape == cut.shape == (2, len(text.words))
    np.testing.assert_allclose(cut[:, words], 0, atol=1e-6)
    assert (plain[0] > 0).all()
    assert cut[0, own] > plain[0, own]


def test_a_cut_in_one_head_leaves_the_others():
    text, scope = laid_out()
    words = others(text)
    codes = speak(talkative(), text, scope, BOOST, NOTHING)
    plain = look(talkative(), text, scope, BOOST, NOTHING, codes)[0, words[0]]
    one = look(talkative(), text, scope, BOOST, Cut.of(words, (), heads=(0,)), codes)[0, words[0]]
    assert 0.4 * plain < one < plain


def test_the_judge_hears_the_window_and_one_hears_the_sentence():
    utterance, partner = corpus().probes("en")[0]
    text = script(system(), utterance, BOOST)  # a codec that loses nothing
    scope = window(text, partner)
    codes = tuple(system().codes(utterance))
    verdict, sound = hear(listener(), scope, codes, "en")
    assert verdict.reading == utterance.homograph.reading
    assert len(sound) == 1280 * len(text.audio)


def test_a_cut_that_cuts_nothing_is_refused():
    text, scope = laid_out()
    with pytest.raises(ValueError, match="changes nothing"):
        speak(talkative(), text, scope, BOOST, Cut.of([0], [], layers=(), modules=()))


def test_words_and_layers_that_are_not_there_are_refused():
    text, scope = laid_out()
    with pytest.raises(ValueError, match="no word 99"):
        speak(talkative(), text, scope, BOOST, Cut.of([99], []))
    with pytest.raises(ValueError, match="no layer 7"):
        speak(talkative(), text, scope, BOOST, Cut.of([0], [], layers=(7,)))
