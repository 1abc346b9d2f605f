"""Cells know what they hold, who made them and which sound is theirs; pictures and players show just that."""

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from speech import corpus, recorder, system
from talkative import talkative

from labkit.figures import STATIC_VARIABLE
from labkit.interleave import BALANCE, BOOST, Content
from labkit.study.script import script
from labkit.study.take import Mark, Take
from labkit.views import strip_player
from labkit.views.cells import POINTS, Cell, cells_of_script, cells_of_take, peaks
from labkit.views.strip_picture import strip_picture
from labkit.views.strip_player import StripPlayer

RATE = 12.5


def take() -> Take:
    made = Take(talkative(), "the bass is cold", BALANCE, euler_steps=1)
    for _ in made:
        pass
    return made


def test_audio_tokens_sound_one_after_the_other():
    cells = cells_of_take(take())
    times = [cell.sounds for cell in cells if cell.content is Content.AUDIO]
    assert times == [pytest.approx((i / RATE, (i + 1) / RATE)) for i in range(len(times))]


def test_a_text_token_goes_with_the_chunk_after_it_and_tags_with_none():
    made = Take(talkative(), "the bass", BALANCE)
    contents = [slot.content for slot in BALANCE.slots(16)]  # T [ A A ] T T T [ A A A A A A ]
    made.marks = [Mark(0, content, None, 0.0, "word") for content in contents]
    cells = cells_of_take(made)
    assert cells[0].sounds == (0.0, 2 / RATE)
    assert {cell.sounds for cell in cells[5:8]} == {(2 / RATE, 8 / RATE)}
    assert all(cells[tag].sounds is None for tag in (1, 4, 8, 15))


def test_words_of_an_utterance_have_their_true_times():
    one = script(system(), corpus()[0], BOOST)
    cells = cells_of_script(one, BOOST, system().vocabulary)
    assert len(cells) == len(one.ids) - one.prompt
    spoken = {cell.label: cell.sounds for cell in cells if cell.label in one.words}
    assert set(spoken) == set(one.words)
    for word, text in zip(one.utterance.words, one.words, strict=True):
        if one.words.count(text) == 1:
            assert spoken[text] == pytest.approx((word.start, word.end))
    assert [cell.module for cell in cells] == [BOOST.maker(i) for i in range(len(cells))]


def test_peaks_lie_under_their_tokens():
    rate, tokens = 16_000, 3
    waveform = np.zeros(tokens * 1280, np.float32)
    waveform[1280 + 640] = 0.5
    waveform[2 * 1280] = -0.25
    found = np.frombuffer(peaks(waveform, rate, RATE, tokens), np.int8).reshape(tokens, POINTS, 2)
    assert not found[0].any()
    assert found[1].max() == 127
    assert found[1, POINTS // 2, 1] == 127
    assert found[2, 0, 0] == round(-0.25 / 0.5 * 127)


def test_missing_sound_counts_as_silence():
    assert len(peaks(np.ones(100), 16_000, RATE, 4)) == 4 * POINTS * 2
    assert peaks(np.zeros(0), 16_000, RATE, 0) == b""


def test_the_picture_is_svg_with_every_token_and_says_what_it_shows():
    cells = [
        Cell(Content.TEXT, None, "<b>"),
        Cell(Content.BEGIN_OF_AUDIO, 0, ""),
        Cell(Content.AUDIO, 1, "", (0.0, 0.08)),
        Cell(Content.END_OF_AUDIO, 2, ""),
    ]
    root = ET.fromstring(strip_picture(cells, np.zeros(1280), 16_000, RATE))
    names = [child.tag.rpartition("}")[2] for child in root]
    assert names.count("rect") == 4
    assert [child.text for child in root if child.tag.endswith("text")] == ["<b>", "[", "1", "]"]
    assert root.get("aria-label") == "4 tokens, 1 of them audio: <b>"


def test_a_long_strip_wraps():
    cells = [Cell(Content.AUDIO, None, "", None)] * 100
    root = ET.fromstring(strip_picture(cells, np.zeros(0), 16_000, RATE))
    rights = [float(each.get("x")) + float(each.get("width")) for each in root if each.tag.endswith("rect")]
    assert max(rights) <= float(root.get("width"))
    assert float(root.get("height")) > 200


def test_the_player_has_the_tokens_and_the_whole_sound():
    made = take()
    player = StripPlayer.of_take(made)
    assert [row[0] for row in player.rows[:3]] == ["text", "begin", "audio"]
    assert len(player.sound) == 44 + 2 * len(made.waveform)
    assert player.title == "the bass is cold"
    player.close()
    assert (player.rows, player.sound, player.cells) == ([], b"", [])


def test_the_player_of_an_utterance():
    one = script(system(), corpus()[0], BOOST)
    player = StripPlayer.of_script(one, BOOST, system().vocabulary, recorder(), context=2)
    assert len(player.rows) == len(one.ids) - one.prompt
    assert player.context == 2


def test_executed_notebooks_get_a_picture_and_a_sound(monkeypatch):
    shown = []
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    monkeypatch.setattr(strip_player, "display", shown.append)
    StripPlayer.of_take(take())._ipython_display_()
    picture, sound = shown
    assert picture.data.startswith("<svg")
    assert "<audio controls" in sound.data


def test_a_saved_notebook_shows_them_where_the_widget_is_lost():
    html = StripPlayer.of_take(take()).fallback()
    assert "<svg" in html
    assert "<audio controls" in html


@pytest.mark.parametrize(
    ("cells", "samples", "message"),
    [
        ([], 0, "no tokens"),
        ([Cell(Content.AUDIO, None, "")] * 10, 1280, "another sound"),
    ],
)
def test_a_strip_without_its_sound_is_refused(cells, samples, message):
    with pytest.raises(ValueError, match=message):
        StripPlayer(cells, np.zeros(samples), 16_000)
