"""Shares over a dose."""

import pytest

from labkit.statistics import proportion
from labkit.views.doses import dose_figure


def test_every_way_is_a_line_in_every_panel_with_its_interval():
    shares = [proportion(n, 20) for n in (10, 14, 19)]
    ways = {"own token only": shares, "deciding word swapped": shares[::-1]}
    figure = dose_figure(
        {"English": ways, "Mandarin": ways},
        ["none", "300", "3000"],
        dose="steps",
        axis="read as meant",
        chance=0.5,
    )
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert [(line.name, line.xaxis) for line in lines] == [
        (way, axis) for axis in ("x", "x2") for way in ways
    ]
    assert sum(line.showlegend for line in lines) == 2
    for line, wanted in zip(lines, [shares, shares[::-1]] * 2, strict=True):
        assert list(line.y) == [each.value for each in wanted]
        tops = [value + up for value, up in zip(line.y, line.error_y.array, strict=True)]
        assert tops == pytest.approx([each.high for each in wanted])
    assert figure.layout.xaxis2.ticktext == ("none", "300", "3000")
