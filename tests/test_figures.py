"""A figure is written as picture, page and numbers, and without a Chromium the other two remain."""

import asyncio
import io
import json
import math

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from labkit import figures
from labkit.figures import NO_CHROMIUM, NoChromiumError, find_chromium, picture, save_figure

needs_chromium = pytest.mark.skipif(find_chromium() is None, reason=NO_CHROMIUM)
PNG = b"\x89PNG\r\n"


@pytest.fixture
def figure() -> go.Figure:
    return go.Figure(go.Scatter(y=[1, 3, 2], text=["行长", "a", "b"], mode="lines+text"))


@needs_chromium
def test_picture_page_and_numbers_lie_beside_each_other(figure, tmp_path):
    written = save_figure(figure, "by-steps", {"steps": [1, 3, 2]}, tmp_path / "01-lesson")
    assert [path.name for path in written] == ["by-steps.json", "by-steps.html", "by-steps.png"]
    assert json.loads(written[0].read_text()) == {"steps": [1, 3, 2]}
    assert written[2].read_bytes().startswith(PNG)
    assert sum(path.stat().st_size for path in written) < 200_000


def test_without_a_chromium_the_page_and_the_numbers_remain(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "find_chromium", lambda: None)
    with pytest.warns(UserWarning, match="apt-get install chromium"):
        written = save_figure(figure, "by-steps", [1, 3, 2], tmp_path)
    assert [path.suffix for path in written] == [".json", ".html"]
    with pytest.raises(NoChromiumError, match="apt-get install chromium"):
        picture(figure)


def test_the_page_opens_offline_with_one_bundle_for_the_folder(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "find_chromium", lambda: None)
    for name in ("one", "two"):
        with pytest.warns(UserWarning, match="no Chrome"):
            save_figure(figure, name, [1, 3, 2], tmp_path)
    assert sorted(path.name for path in tmp_path.glob("*.js")) == ["plotly.min.js"]
    page = (tmp_path / "one.html").read_text()
    assert 'src="plotly.min.js"' in page
    assert 'src="http' not in page
    assert len(page) < 50_000


@needs_chromium
def test_a_picture_can_be_drawn_where_a_loop_already_runs(figure):
    async def cell() -> bytes:
        return picture(figure)

    assert asyncio.run(cell()).startswith(PNG)


@needs_chromium
def test_a_picture_stands_on_white_where_the_figure_is_transparent(figure):
    figure.update_layout(paper_bgcolor="rgba(0,0,0,0)")
    drawn = Image.open(io.BytesIO(picture(figure)))
    assert (drawn.mode, drawn.getpixel((0, 0))) == ("RGB", (255, 255, 255))


@needs_chromium
def test_a_picture_keeps_the_size_its_layout_asks_for(figure):
    figure.update_layout(width=400, height=200)
    width, height = (int.from_bytes(picture(figure)[start : start + 4], "big") for start in (16, 20))
    assert (width, height) == (400 * figures.SCALE, 200 * figures.SCALE)


def test_numbers_are_written_as_plain_values_of_six_digits(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "find_chromium", lambda: None)
    numbers = {"mel": np.array([[0.123456789, 2.0]]), 5: (np.float32(0.1), np.int64(7), True, None, "行")}
    with pytest.warns(UserWarning, match="no Chrome"):
        [path, _] = save_figure(figure, "a", numbers, tmp_path)
    assert json.loads(path.read_text()) == {"mel": [[0.123457, 2.0]], "5": [0.1, 7, True, None, "行"]}


def test_without_a_folder_nothing_is_written(figure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert save_figure(figure, "a", [1], None) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "By Steps", "../up", "a/b", "a_b"])
def test_a_name_that_makes_no_file_is_refused(figure, tmp_path, name):
    with pytest.raises(ValueError, match="lower case words"):
        save_figure(figure, name, [], tmp_path)


def test_numbers_that_are_none_are_refused_and_nothing_is_written(figure, tmp_path):
    with pytest.raises(ValueError, match="NaN"):
        save_figure(figure, "a", [math.nan], tmp_path)
    with pytest.raises(TypeError):
        save_figure(figure, "a", {"figure": figure}, tmp_path)
    assert list(tmp_path.iterdir()) == []
