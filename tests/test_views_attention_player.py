"""The map shows the attention it was given, binned when long, and refuses what is not of its utterance."""

import numpy as np
import pytest
from speech import corpus
from talkative import talkative

from labkit.figures import STATIC_VARIABLE
from labkit.interleave import BOOST
from labkit.study.alignment_weights import WordAttention, attend_words
from labkit.study.script import script
from labkit.views import attention_player
from labkit.views.attention_player import MOST_COLUMNS, ONE_HEAD, AttentionPlayer, columns


@pytest.fixture(scope="module")
def attention() -> WordAttention:
    (found,) = attend_words(talkative(), [script(talkative(), corpus()[0], BOOST)], progress=False)
    return found


def player(attention: WordAttention, **options) -> AttentionPlayer:
    return AttentionPlayer(attention, np.zeros(1280 * len(attention.script.audio)), 16_000, **options)


def shown(made: AttentionPlayer) -> np.ndarray:
    return np.frombuffer(made.weights, np.float32).reshape(-1, len(made.offer["words"]))


def test_every_head_can_be_looked_at(attention):
    made = player(attention)
    assert set(made.offer["heads"]) == {head.place for head in attention.heads}
    for head in (attention.heads[0], attention.heads[-1]):
        look = {"map": ONE_HEAD, "place": head.place, "head": str(head.index), "row": "own", "copy": "answer"}
        made.command({"do": "look", **look})
        expected = attention.of("own", "answer")[attention.heads.index(head)]
        np.testing.assert_allclose(shown(made), expected, rtol=1e-6)
    assert made.error == {}


def test_named_maps_come_first(attention):
    named = attention.of("predicting", "both").mean(0)
    made = player(attention, maps={"all heads": named})
    assert made.look["map"] == "all heads"
    np.testing.assert_allclose(shown(made), named, rtol=1e-6)


def test_true_word_times_and_sizes_are_told(attention):
    made = player(attention)
    words = attention.script.utterance.words
    assert made.offer["times"] == [[word.start, word.end] for word in words]
    assert made.offer["tokens"] == len(attention.script.audio)
    assert made.offer["per_column"] == 1


def test_the_sound_is_that_of_the_true_audio_tokens(attention):
    speaker = talkative()
    made = AttentionPlayer.of_true_audio(attention, speaker.codec, speaker.vocabulary)
    assert len(made.sound) == 44 + 2 * 1280 * len(attention.script.audio)


@pytest.mark.parametrize("tokens", [1, MOST_COLUMNS, MOST_COLUMNS + 1, 1000])
def test_long_audio_shares_columns_and_keeps_its_mean(tokens):
    weights = np.random.default_rng(0).random((tokens, 3)).astype(np.float32)
    binned = columns(weights)
    width = -(-tokens // MOST_COLUMNS)
    assert len(binned) == -(-tokens // width) <= MOST_COLUMNS
    np.testing.assert_allclose(binned[0], weights[:width].mean(0), rtol=1e-5)
    np.testing.assert_allclose(binned[-1], weights[(len(binned) - 1) * width :].mean(0), rtol=1e-5)


def test_what_is_not_there_is_refused_in_the_widget(attention):
    made = player(attention)
    look = dict(made.look)
    made.command({"do": "look", **look, "place": "backbone.99"})
    assert "backbone.99 head 0 was not looked at" in made.error["message"]
    made.command({"do": "look", **look, "map": "the best"})
    assert "no map 'the best'" in made.error["message"]
    made.command({"do": "look", **look, "row": "last"})
    assert "row must be one of" in made.error["message"]
    assert made.look == look


def test_a_map_of_another_utterance_is_refused(attention):
    with pytest.raises(ValueError, match="the map 'odd' must be"):
        player(attention, maps={"odd": np.zeros((2, 2))})


def test_executed_notebooks_get_the_figure_and_the_sound(attention, monkeypatch):
    figures, sounds = [], []
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    monkeypatch.setattr(attention_player, "show", figures.append)
    monkeypatch.setattr(attention_player, "display", sounds.append)
    player(attention)._ipython_display_()
    assert len(figures) == 1
    assert "<audio" in sounds[0].data


def test_closing_lets_go(attention):
    made = player(attention)
    made.close()
    assert (made._attention, made._maps, made.sound) == (None, {}, b"")
