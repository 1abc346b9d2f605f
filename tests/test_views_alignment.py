"""The pictures show the numbers they are given, in the places where readers look for them."""

import numpy as np
import pytest
from speech import corpus, system

from labkit.interleave import BOOST
from labkit.statistics import Estimate
from labkit.study.alignment import Look
from labkit.study.alignment_choice import RankedLook
from labkit.study.alignment_weights import Head
from labkit.study.script import Script, script
from labkit.views.alignment import alignment_map, along_words, head_accuracies, mass_by_modality
from labkit.views.intervals import compare_ways

HEADS = [Head(place, index) for place in ("module.0", "backbone.10", "backbone.2") for index in (0, 1)]


def said() -> Script:
    return script(system(), corpus()[0], BOOST)


def test_the_map_has_a_column_for_each_audio_token_and_frames_each_word():
    one = said()
    weights = np.random.default_rng(0).dirichlet(np.ones(len(one.words)), size=len(one.audio))
    figure = alignment_map(one, weights, attended=weights.argmax(-1), title="Fig. 1a")
    heat, frames, dots = figure.data
    np.testing.assert_allclose(heat.z, weights.T, atol=1e-3)
    assert heat.x[0] == pytest.approx(0.04)
    assert list(figure.layout.yaxis.ticktext) == list(one.words)
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first word on top
    word = one.utterance.words[1]
    assert frames.x[6:11] == (word.start, word.end, word.end, word.start, word.start)
    assert set(frames.y[6:11]) == {0.5, 1.5}
    assert list(dots.y) == weights.argmax(-1).tolist()
    assert len(alignment_map(one, weights).data) == 2
    assert heat.colorbar.title.text == "attention"
    assert alignment_map(one, weights, measure="share").data[0].colorbar.title.text == "share"


def test_a_map_of_another_utterance_is_refused():
    with pytest.raises(ValueError, match="weights must be"):
        alignment_map(said(), np.zeros((3, 2)))


def test_each_head_is_shown_at_its_best_in_the_order_of_the_model():
    ranked = [RankedLook(Look(head, "own", "both", 1), 0.1 * place) for place, head in enumerate(HEADS)]
    ranked.append(RankedLook(Look(HEADS[0], "predicting", "prompt"), 0.9))
    figure = head_accuracies(ranked)
    assert list(figure.layout.yaxis.ticktext) == ["backbone 2", "backbone 10", "module 0"]
    np.testing.assert_allclose(figure.data[0].z, [[0.4, 0.5], [0.2, 0.3], [0.9, 0.1]])
    assert "predicting row, prompt copy, offset +0" in figure.data[0].customdata[2][0]


def test_a_head_that_is_missing_leaves_its_cell_empty():
    figure = head_accuracies([RankedLook(Look(head, "own", "both"), 0.5) for head in HEADS[:-1]])
    assert np.isnan(figure.data[0].z[0][1])


def test_masses_have_four_panels_on_one_scale():
    mass = np.random.default_rng(0).dirichlet(np.ones(3), size=(len(HEADS), 2))
    figure = mass_by_modality(HEADS, mass)
    assert [each.text for each in figure.layout.annotations] == [
        "text → text",
        "text → audio",
        "audio → text",
        "audio → audio",
    ]
    np.testing.assert_allclose(figure.data[2].z[2], mass[:2, 1, 0], atol=1e-3)  # module 0, audio to text
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    with pytest.raises(ValueError, match="mass must be"):
        mass_by_modality(HEADS[:2], mass)


def test_ways_are_compared_with_their_intervals():
    groups = {
        name: {"line": Estimate(0.5, 0.4, 0.7, 9), "heads": Estimate(0.9, 0.8, 0.95, 9)}
        for name in ("English", "Mandarin")
    }
    figure = compare_ways(groups, axis="words found", goal=0.85)
    assert [trace.name for trace in figure.data] == ["English", "Mandarin"]
    np.testing.assert_allclose(figure.data[0].error_x.array, [0.2, 0.05])
    np.testing.assert_allclose(figure.data[0].error_x.arrayminus, [0.1, 0.1])
    assert figure.data[0].marker.symbol != figure.data[1].marker.symbol
    assert list(figure.layout.yaxis.ticktext) == ["line", "heads"]
    assert figure.layout.shapes[0].x0 == 0.85
    assert figure.layout.xaxis.title.text == "words found"


def test_accuracies_along_words_keep_their_intervals_and_the_longest_words_places():
    short, long = [Estimate(0.9, 0.8, 0.95, 9)] * 3, [Estimate(0.5, 0.4, 0.7, 9)] * 5
    figure = along_words(
        {"English": {"heads": long, "line": long}, "Mandarin": {"heads": short, "line": short}}, goal=0.85
    )
    assert [trace.name for trace in figure.data] == [
        "English: heads",
        "English: line",
        "Mandarin: heads",
        "Mandarin: line",
    ]
    assert [trace.line.dash for trace in figure.data] == ["solid", "dash"] * 2
    np.testing.assert_allclose(figure.data[0].error_y.array, [0.2] * 5)
    assert list(figure.layout.xaxis.ticktext) == ["1.", "2.", "3.", "4.", "5."]
    assert figure.layout.shapes[0].y0 == 0.85
