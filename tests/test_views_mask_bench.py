"""The bench says the sentence without and with the cut, and tells the browser what came of it."""

import plotly.graph_objects as go
import pytest
from speech import corpus, speech_model, system
from talkative import talkative

from labkit.evaluation.listener import Listener
from labkit.evaluation.recogniser import PhonemeJudge
from labkit.figures import STATIC_VARIABLE
from labkit.interleave import BOOST, VANILLA, ScheduleError
from labkit.views import mask_bench
from labkit.views.mask_bench import MaskBench

SAY = {"do": "say", "probe": 0, "whole": False, "asked": [0, 1], "written": []}
EVERYWHERE = {"layers": [0, 1], "heads": [0, 1, 2, 3], "modules": list(range(10))}


def listener() -> Listener:
    return Listener(talkative().codec, PhonemeJudge.load(), steps=1)


@pytest.fixture
def bench(monkeypatch) -> MaskBench:
    made = MaskBench(talkative(), listener(), corpus().probes("en")[:2], BOOST)
    made.sent = []
    monkeypatch.setattr(made, "send", lambda content, buffers=None: made.sent.append((content, buffers)))
    return made


def test_before_and_after_are_told_with_their_sounds(bench):
    bench.command({**SAY, **EVERYWHERE})
    assert bench.error == {}
    assert [content["side"] for content, _ in bench.sent] == ["before", "after"]
    for content, buffers in bench.sent:
        assert len(content["attention"]) == len(content["words"]) == len(bench.offer["words"][0])
        assert content["meant"] == corpus().probes("en")[0][0].homograph.reading
        assert buffers[0].startswith(b"RIFF")
    after = bench.sent[1][0]["attention"]
    assert bench.after.attention[0, :2].tolist() == pytest.approx([0, 0], abs=1e-6)
    assert after[2] > 0


def test_before_is_said_once(bench):
    bench.command({**SAY, **EVERYWHERE})
    first = bench.before
    bench.command({**SAY, **EVERYWHERE, "asked": [2]})
    assert bench.before is first
    bench.command({**SAY, **EVERYWHERE, "whole": True})
    assert bench.before is not first


def test_without_a_cut_only_before_is_said(bench):
    bench.command({**SAY, **EVERYWHERE, "asked": []})
    assert [content["side"] for content, _ in bench.sent] == ["before"]
    assert bench.after is None


def test_a_cut_may_keep_to_some_layers_heads_and_modules(bench):
    bench.command({**SAY, "layers": [1], "heads": [0], "modules": []})
    assert bench.error == {}
    assert bench.after.attention[0, 0] > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": []}, "reaches no part of the model"),
        ({"layers": [], "modules": []}, "reaches no part of the model"),
        ({"probe": 7}, "no probe 7"),
        ({"asked": [99]}, "no word 99"),
        ({"asked": [], "written": [-1]}, "no word -1"),
    ],
)
def test_what_cannot_be_cut_is_refused_with_what_to_do(bench, change, message):
    bench.command({**SAY, **EVERYWHERE, **change})
    assert message in bench.error["message"]
    assert bench.error["trace"] == ""


def test_a_view_that_opens_later_is_told_again(bench):
    bench.command({**SAY, **EVERYWHERE})
    before = list(bench.sent)
    bench.command({"do": "show"})
    assert bench.sent[len(before) :] == before


def test_a_model_without_modules_has_its_bench(bench):
    speaker = system(speech_model(0))
    with pytest.raises(ScheduleError, match="needs 10 MCTP modules"):
        MaskBench(speaker, listener(), corpus().probes("en")[:1], BOOST)
    plain = MaskBench(speaker, listener(), corpus().probes("en")[:1], VANILLA)
    assert plain.offer["modules"] == 0
    plain.command({**SAY, **EVERYWHERE, "layers": [], "modules": []})
    assert "reaches no part" in plain.error["message"]


def test_a_bench_without_probes_is_refused():
    with pytest.raises(ValueError, match=r"corpus\.probes"):
        MaskBench(talkative(), listener(), [], BOOST)


def test_executed_notebooks_get_the_papers_condition(bench, monkeypatch):
    figures, sounds = [], []
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    monkeypatch.setattr(mask_bench, "show", figures.append)
    monkeypatch.setattr(mask_bench, "display", sounds.append)
    bench._ipython_display_()
    assert isinstance(figures[0], go.Figure)
    assert ["<audio" in sound.data for sound in sounds] == [True, True]


def test_closing_lets_go(bench):
    bench.command({**SAY, **EVERYWHERE})
    bench.close()
    assert (bench._system, bench._listener, bench.before, bench._befores) == (None, None, None, {})
