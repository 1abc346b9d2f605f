"""The comparer says what was asked for in every mode, tells the browser as it goes, and refuses with reasons."""

import plotly.graph_objects as go
import pytest
import torch
from speech import speech_model, system
from talkative import talkative

from labkit.figures import STATIC_VARIABLE
from labkit.interleave import BOOST, TURBO, VANILLA, InterleaveMode, parse
from labkit.views import mode_comparer
from labkit.views.mode_comparer import ModeComparer
from labkit.views.speed_curves import speed_curves

ASKED = {
    "do": "compare",
    "sentence": "the bass is cold",
    "modes": ["turbo", "vanilla"],
    "schedule": "1 6 3 10",
    "steps": "1",
}


class Judge:
    """Writes down how long a sound was, and in which language it listened."""

    def write(self, waveform: torch.Tensor, sample_rate: int, language: str) -> str:
        return f"{language} {len(waveform) / sample_rate:.2f}"


@pytest.fixture
def comparer(monkeypatch) -> ModeComparer:
    made = ModeComparer(talkative(), Judge())
    made.sent = []
    monkeypatch.setattr(made, "send", lambda content, buffers=None: made.sent.append((content, buffers)))
    return made


def test_one_press_says_it_in_every_mode(comparer):
    comparer.command(ASKED)
    assert comparer.error == {}
    assert list(comparer.takes) == ["turbo", "vanilla", "[1, 6, 3, 10]"]
    assert all(take.audio_tokens for take in comparer.takes.values())
    assert comparer.heard["turbo"] == f"en {len(comparer.takes['turbo'].waveform) / 16_000:.2f}"


def test_the_browser_is_told_everything_in_order(comparer):
    comparer.command(ASKED)
    told = [content["do"] for content, _ in comparer.sent]
    assert told[0] == "begin"
    assert told[-4:] == ["heard", "heard", "heard", "end"]
    assert told.count("said") == 3
    for name, take in comparer.takes.items():
        marks = [mark for content, _ in comparer.sent if content["do"] == "marks" and content["lane"] == name
                 for mark in content["marks"]]  # fmt: skip
        assert [mark[1] for mark in marks] == [-1 if m.module is None else m.module for m in take.marks]
        said, buffers = next(
            (content, buffers)
            for content, buffers in comparer.sent
            if content["do"] == "said" and content["lane"] == name
        )
        assert (said["text"], said["audio"]) == (take.text_tokens, take.audio_tokens)
        assert said["passes"] + said["steps"] == len(take.marks)
        assert len(buffers[0]) == 44 + 2 * len(take.waveform)


def test_a_view_that_opens_later_is_told_again(comparer):
    comparer.command(ASKED)
    before = list(comparer.sent)
    comparer.command({"do": "show"})
    assert comparer.sent[len(before) :] == before


def test_mandarin_is_heard_as_mandarin(comparer):
    comparer.command({**ASKED, "sentence": "我们一行人"})
    assert all(heard.startswith("cmn") for heard in comparer.heard.values())


def test_sampling_and_codec_steps_are_settings(comparer):
    def ids(**settings) -> list[int]:
        comparer.command({**ASKED, "modes": ["turbo"], "schedule": "", **settings})
        assert comparer.error == {}
        return [mark.id for mark in comparer.takes["turbo"].marks]

    assert ids() == ids(seed="3") == ids(steps="2, 4")
    assert ids(temperature="1.5", seed="1") == ids(temperature="1.5", seed="1")
    assert ids(temperature="1.5", seed="1") != ids(temperature="1.5", seed="2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentence": "  "}, "type a sentence"),
        ({"modes": [], "schedule": ""}, "tick at least one mode"),
        ({"schedule": "1 10"}, "compared once"),
        ({"schedule": "1 12"}, "needs 12 MCTP modules"),
        ({"schedule": "0 4"}, "needs a backbone pass"),
        ({"schedule": "1 2 3"}, "Add the missing count"),
        ({"model": "7B"}, "no model '7B'; there are toy"),
        ({"temperature": "warm"}, "temperature must be a number"),
        ({"temperature": "-1"}, "temperature must be 0 or more"),
        ({"temperature": "1", "top_p": "0"}, "top_p must lie above 0"),
        ({"steps": "1 x"}, "Euler steps are whole numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_what_to_do(comparer, change, message):
    comparer.command({**ASKED, **change})
    assert message in comparer.error["message"]
    assert comparer.error["trace"] == ""
    assert comparer.sent == []


def test_models_are_loaded_when_they_are_first_chosen():
    loaded = []

    def load():
        loaded.append(1)
        return talkative()

    comparer = ModeComparer({"toy": talkative(), "other": load})
    comparer.command({**ASKED, "modes": ["turbo"], "schedule": ""})
    assert not loaded
    for _ in range(2):
        comparer.command({**ASKED, "modes": ["turbo"], "schedule": "", "model": "other"})
    assert loaded == [1]
    assert comparer.heard == {}  # nobody listens unless a judge is given


def test_closing_lets_go_of_models_and_sounds(comparer):
    comparer.command(ASKED)
    comparer.close()
    assert (comparer._systems, comparer._judge, comparer.takes, comparer._told) == ({}, None, {}, [])


def test_executed_notebooks_get_the_curves_and_every_sound(comparer, monkeypatch):
    figures, sounds = [], []
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    monkeypatch.setattr(mode_comparer, "show", figures.append)
    monkeypatch.setattr(mode_comparer, "display", sounds.append)
    comparer._ipython_display_()
    assert len(figures) == 1
    assert "Turbo" in sounds[0].data
    assert all("<audio" in each.data for each in sounds)
    assert len(sounds) == 4


def test_a_model_without_modules_is_compared_in_the_modes_it_has(monkeypatch):
    monkeypatch.setattr(mode_comparer, "show", lambda figure: None)
    monkeypatch.setattr(mode_comparer, "display", lambda shown: None)
    comparer = ModeComparer(system(speech_model(0), max_new_tokens=4))
    assert [mode for mode in (TURBO, BOOST, VANILLA) if comparer._can(mode)] == [VANILLA]


def test_the_curves_mark_who_made_each_token_and_when_sound_begins(comparer):
    comparer.command({**ASKED, "schedule": ""})
    takes = list(comparer.takes.values())
    figure = speed_curves(takes)
    drawn = {maker: sum(len(trace.x) for trace in figure.data if trace.name == maker)
             for maker in ("backbone", "MCTP module", "first sound")}  # fmt: skip
    assert drawn["backbone"] == sum(take.passes() for take in takes)
    assert drawn["backbone"] + drawn["MCTP module"] == sum(len(take.marks) for take in takes)
    assert drawn["first sound"] == 2
    assert [trace.name for trace in figure.data][-2:] == ["first sound"] * 2, "on top of all marks"
    [note] = [note.text for note in figure.layout.annotations if note.text.startswith("first sound")]
    assert note.count(" ms") == 2
    assert isinstance(figure, go.Figure)


def test_curves_of_nothing_are_refused():
    mode: InterleaveMode = parse("boost")
    with pytest.raises(ValueError, match="nothing to draw"):
        speed_curves([mode_comparer.Take(talkative(), "the bass", mode)])
