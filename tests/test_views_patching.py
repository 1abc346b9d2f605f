"""Maps and curves show every number they are given, and say what they cannot show."""

import pytest

from labkit.statistics import Estimate
from labkit.study.attribution import WordRow
from labkit.study.lens import LensRow
from labkit.study.patching import PatchRow
from labkit.views.attribution import roles_figure, words_figure
from labkit.views.lens import drift_figure, lens_figure, skip_figure
from labkit.views.patching import cut_figure, hook_label, patch_figure, place_figure


def estimate(value):
    return Estimate(value, value - 0.1, value + 0.1, 8)


def rows():
    return [
        PatchRow(n, word, "en", f"backbone.{layer}.resid_pre", group, 2.0, -2.0, 2.0 - 2 * layer)
        for n, word in enumerate(("lead", "bass"))
        for layer in range(3)
        for group in ("homograph", "deciding word")
        if (layer, group) != (2, "deciding word")
    ]


@pytest.mark.parametrize(("measure", "last"), [("flip", 1.0), ("turned", 1.0)])
def test_a_map_has_a_cell_for_each_place_and_leaves_gaps(measure, last):
    heat = patch_figure(rows(), "map", measure).data[0]
    assert list(heat.x) == ["0", "1", "2"]
    assert list(heat.y) == ["homograph", "deciding word"]
    assert heat.z[0][2] == last
    assert heat.z[1][2] is None
    assert heat.customdata[1][2] == "no such position"
    for nothing in (lambda: patch_figure([], "map"), lambda: place_figure({}, "map")):
        with pytest.raises(ValueError, match="no patch"):
            nothing()
    with pytest.raises(ValueError, match="no measure"):
        patch_figure(rows(), "map", "flips")


def test_nothing_has_no_sign():
    nearly = place_figure({("backbone.0.z", "homograph"): Estimate(-0.001, -0.01, 0.01, 9)}, "map")
    assert nearly.data[0].text[0][0] == "0%"
    assert nearly.layout.xaxis.title.text == "patched in layer"


def test_labels_of_hooks():
    assert hook_label("backbone.3.resid_pre") == "3"
    assert hook_label("module.2.z") == "m2"
    assert hook_label("module.0.resid_pre to module.9.resid_pre") == "m0–m9"


def test_curves_of_cuts():
    values = {
        ("homograph", side, layer): estimate(layer / 4) for side in ("from", "up to") for layer in range(4)
    }
    figure = cut_figure(values, "cuts")
    assert [trace.name for trace in figure.data] == ["homograph, from", "homograph, up to"]
    assert list(figure.data[0].y) == [0, 0.25, 0.5, 0.75]
    assert figure.data[0].line.dash != figure.data[1].line.dash
    told = [note.text for note in cut_figure(values, "cuts", undecided=0.4).layout.annotations]
    assert "neither reading" in told
    assert "neither reading" not in [note.text for note in figure.layout.annotations]
    with pytest.raises(ValueError, match="no cut"):
        cut_figure({}, "cuts")


def test_the_lens_shows_both_runs():
    seen = [LensRow(n, "lead", layer, 0.1, 0.8, 0.1, float(n), 3, 0) for n in range(3) for layer in range(2)]
    figure = lens_figure(seen, seen, "lens")
    assert [trace.name for trace in figure.data[:3]] == ["audio", "text", "tags"]
    assert list(figure.data[3].y) == [1, 1]
    with pytest.raises(ValueError, match="both runs"):
        lens_figure(seen, [], "lens")


def test_the_chain():
    values = [estimate(0.9), estimate(0.8)]
    assert list(drift_figure(values, values, "drift").data[0].y) == [0.9, 0.8]
    heat = skip_figure(values, {0: [estimate(1.9), estimate(1.0)], 1: [estimate(1.8)]}, "skips").data[0]
    assert heat.z[0] == pytest.approx((1.0, 0.2))
    assert heat.z[1][0] is None
    with pytest.raises(ValueError, match="each module after"):
        skip_figure(values, {1: values}, "skips")


def test_attributions():
    words = [
        WordRow(0, n, text, role, 1.0, 2.0, 3.0)
        for n, (text, role) in enumerate((("a", "other"), ("lead", "homograph")))
    ]
    figure = words_figure(words, "words")
    assert [list(trace.y) for trace in figure.data] == [[1, 1], [2, 2], [3, 3]]
    assert figure.layout.xaxis.ticktext == ("a", "<b>lead</b>")
    with pytest.raises(ValueError, match="one utterance"):
        words_figure([], "words")
    shares = {
        m: dict.fromkeys(("deciding", "homograph", "other"), estimate(0.3))
        for m in ("integrated", "ablated", "cut")
    }
    assert len(roles_figure(shares, "roles").data) == 3
