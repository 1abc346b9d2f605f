"""What went wrong can be chosen, heard and read, by hand and where a program runs the notebook."""

import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from IPython.display import HTML

from labkit.audio.toy import ToyCodec
from labkit.figures import STATIC_VARIABLE
from labkit.views import error_browser
from labkit.views.error_browser import ErrorBrowser, marked
from labkit.views.stage_intervals import stage_intervals

SPOKEN = {
    "stage": "S4",
    "language": "en",
    "mode": "turbo",
    "utterance": 7,
    "asked": "a <dove>",
    "written": "a dove",
    "codes": [1, 2, 3, 4],
    "meant": ["ə", "d", "ʌ", "v"],
    "got": ["d", "oʊ", "v"],
    "units": 4,
    "errors": 2,
}
WRITTEN = {k: v for k, v in SPOKEN.items() if k != "codes"} | {"written": "", "got": [], "errors": 4}


def original(index):
    assert index == 7
    return torch.zeros(8000), 16_000


def browser(cases=(SPOKEN, WRITTEN)):
    return ErrorBrowser(list(cases), ToyCodec.load(), original, steps=1)


def test_a_case_is_shown_with_both_sounds_and_what_differs():
    shown = browser()
    shown.update()
    page = shown.shown.value
    assert page.count("<audio") == 2
    assert "a &lt;dove&gt;" in page
    assert "2 errors in 4" in page
    shown.case.value = 1
    assert shown.shown.value.count("<audio") == 1
    assert "<i>nothing</i>" in shown.shown.value


def test_what_fails_is_seen(monkeypatch):
    shown = browser()
    monkeypatch.setattr(shown, "original", lambda index: (torch.zeros(0), 16_000))
    shown.case.value = 1
    assert "waveform" in shown.errors.widget.value


def test_a_program_gets_the_worst_cases(monkeypatch):
    displayed = []
    monkeypatch.setattr(error_browser, "display", displayed.append)
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    browser([SPOKEN] * 5).show()
    assert len(displayed) == 3
    assert all(isinstance(each, HTML) for each in displayed)
    assert DisplayFormatter().format(displayed[0])[0]["text/html"].count("<audio") == 2
    monkeypatch.delenv(STATIC_VARIABLE)
    shown = browser()
    shown.show()
    assert displayed[-1] is shown.widget
    with pytest.raises(ValueError, match="nothing to browse"):
        browser(())


def test_what_differs_is_marked():
    meant, got = marked(["a", "b", "c"], ["a", "x", "c", "d"])
    assert meant.count("<span") == 2, "what is missing has its place"
    assert got.startswith("a <span")
    assert marked(["a"], ["a"]) == ("a", "a")


def row(**changed):
    made = {
        "stage": "S1",
        "language": "en",
        "mode": "vanilla",
        "measure": "e",
        "value": 0.1,
        "low": 0.05,
        "high": 0.2,
    }
    return made | {"n": 9} | changed


def test_stages_stand_beside_each_other_with_their_ceiling():
    rows = [row(), row(stage="S4", high=None), row(language="cmn"), row(stage=None, mode="codec", value=0.03)]
    figure = stage_intervals(rows, ["e"], axis="errors", title="t", ceiling="codec", goal=0.1)
    assert [trace.name for trace in figure.data] == ["English", "Mandarin"]
    assert list(figure.data[0].error_y.array) == [pytest.approx(0.1), 0]
    assert [line.y0 for line in figure.layout.shapes] == [0.03, 0.1]
    assert list(figure.layout.xaxis.ticktext) == ["S1<br>vanilla", "S4<br>vanilla"]
    with pytest.raises(ValueError, match="no row measures x"):
        stage_intervals(rows, ["x"], axis="errors", title="t")
