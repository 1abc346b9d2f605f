"""Curves of a training show every module, and say what they cannot show."""

import pytest

from labkit.statistics import Estimate
from labkit.views.training import compared_curves, curves_figure, module_accuracies

ROWS = [
    {"step": step, "accuracy/backbone": 0.5, "accuracy/module 0": 0.4, "accuracy/module 1": 0.1 * step}
    for step in range(3)
]


def test_there_is_a_curve_for_the_backbone_and_for_each_module():
    figure = curves_figure(ROWS, "training")
    assert [curve.name for curve in figure.data] == ["backbone", "module 0", "module 1"]
    assert list(figure.data[2].y) == [0.0, 0.1, 0.2]


@pytest.mark.parametrize(("rows", "measure"), [(ROWS, "loss"), ([], "accuracy")])
def test_what_is_not_there_cannot_be_drawn(rows, measure):
    with pytest.raises(ValueError, match="choose accuracy or loss"):
        curves_figure(rows, "training", measure)


def test_every_way_of_training_has_its_line_with_intervals():
    estimates = [Estimate(0.6, 0.5, 0.8, 20), Estimate(0.4, 0.3, 0.5, 20)]
    figure = module_accuracies({"the paper's": estimates, "attached": estimates[:1]}, "modules")
    assert [len(line.x) for line in figure.data] == [2, 1]
    assert list(figure.data[0].error_y.array) == pytest.approx([0.2, 0.1])


def test_trainings_side_by_side():
    runs = {"one way": ROWS, "another": ROWS[:2]}
    figure = compared_curves(runs, "which is faster")
    assert [line.name for line in figure.data] == ["one way", "another"]
    assert list(figure.data[0].y) == [row["accuracy/module 0"] for row in ROWS]
    assert "module 0" in figure.layout.yaxis.title.text
    with pytest.raises(ValueError, match="'empty' has no 'accuracy/module 0'"):
        compared_curves({"empty": []}, "")
