"""The map of the probe shows every homograph and layer, the earliest told first."""

import pytest

from labkit.study.reading_probe import ProbeRow
from labkit.views.reading_probe import probe_figure, told_by_homograph

ROWS = [
    ProbeRow("en", "bass", (False, True)),
    ProbeRow("en", "bass", (True, True)),
    ProbeRow("en", "live", (True, True)),
    ProbeRow("cmn", "行", (False, False)),
]


def test_shares_by_homograph_the_earliest_told_first():
    assert told_by_homograph(ROWS) == {
        ("en", "live"): [1.0, 1.0],
        ("en", "bass"): [0.5, 1.0],
        ("cmn", "行"): [0.0, 0.0],
    }


def test_a_panel_for_each_language():
    figure = probe_figure(ROWS, "told")
    english, mandarin = figure.data
    assert list(english.y) == ["live", "bass"]
    assert [list(line) for line in english.z] == [[1.0, 1.0], [0.5, 1.0]]
    assert list(english.x) == ["0", "1"]
    assert list(mandarin.y) == ["行"]
    assert [each.text for each in figure.layout.annotations] == ["English", "Mandarin"]


def test_nothing_to_show():
    with pytest.raises(ValueError, match="no sentence that a probe was asked about"):
        probe_figure([], "told")
