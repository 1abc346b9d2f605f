"""Pictures of time, and the explorer of rooflines."""

import json

import pytest
from tiny import random_ids, tiny_model

from labkit.benchmark.first_audio import FirstAudio
from labkit.benchmark.paper import TABLE_9
from labkit.figures import STATIC_VARIABLE
from labkit.generation import FastPath, generate
from labkit.interleave import BOOST, TURBO, VANILLA
from labkit.views.latency import first_audio_bars, grouped_bars, token_lanes
from labkit.views.roofline_explorer import RooflineExplorer, seconds_per_token


def test_lanes_tell_makers_apart() -> None:
    model = tiny_model(10)
    fast, prompt = FastPath(model, 60), random_ids(6)
    runs = {
        mode.name: list(generate(model, prompt, mode, max_new_tokens=20, fast=fast))
        for mode in (TURBO, VANILLA)
    }
    figure = token_lanes(runs, {"turbo": 9, "vanilla": 14}, "lanes", tokens=20)
    backbone, modules, chunks = figure.data
    assert list(backbone.y) == ["turbo"] * 2 + ["vanilla"] * 20
    assert list(modules.customdata) == [*range(1, 11), *range(12, 20)]
    assert list(chunks.x) == [1000 * runs["turbo"][9].seconds, 1000 * runs["vanilla"][14].seconds]


def test_bars_have_their_spread() -> None:
    figure = grouped_bars(
        {"measured": {"turbo": 2.0}, "predicted": {"turbo": 2.1}}, spread={"measured": {"turbo": (1.5, 2.25)}}
    )
    assert figure.data[0].error_y.array == (0.25,)
    assert figure.data[0].error_y.arrayminus == (0.5,)
    assert figure.data[1].error_y.array is None


def test_first_audio_stacks_its_parts() -> None:
    here = FirstAudio(encoder=0.01, first_pass=0.1, chunk=0.2, schedule=0.2, decoder=0.03, plain_pass=0.1)
    figure = first_audio_bars({"here": here, "the paper": TABLE_9["boost"]})
    assert [list(bar.x) for bar in figure.data] == [[10, 39], [200, 53], [30, 151]]
    assert figure.layout.barmode == "stack"


def test_less_to_read_is_less_to_wait_for() -> None:
    def seconds(mode=TURBO, size="0.5B", rows=151_643, cut=False, **options: float) -> float:
        return seconds_per_token(mode, size, 1e12, rows, cut, **options)

    assert seconds(cut=True) < seconds()
    assert seconds(rows=10_000) < seconds()
    assert seconds(itemsize=1) < seconds(itemsize=2)
    assert seconds(size="7B") > seconds()
    assert seconds(lost_per_layer=1e-3) > seconds() + 24e-3 / 11
    assert seconds(TURBO) < seconds(BOOST) < seconds(VANILLA)


def test_waiting_for_launches_makes_the_papers_totals() -> None:
    """Half a millisecond lost in every layer, and 0.5B is as slow as it was in the paper, and 7B little slower."""
    small, large = (
        seconds_per_token(VANILLA, size, 4e12, 151_643, False, 2, 0.53e-3) for size in ("0.5B", "7B")
    )
    assert small == pytest.approx(0.01310, rel=0.1)
    assert large == pytest.approx(0.0185, rel=0.1)


def test_the_explorer_answers_its_controls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    explorer = RooflineExplorer(bandwidth=1e12, size="0.5B")
    before = explorer.speeds()
    assert set(before) == {"whole head", "head cut to the slot"}
    assert before["whole head"]["yours: [1, 10, 4, 10]"] == before["whole head"]["boost"]
    explorer.bandwidth.value = 2000
    assert explorer.speeds()["whole head"]["turbo"] == pytest.approx(
        2 * before["whole head"]["turbo"], rel=0.01
    )
    shown = explorer.figure.outputs
    explorer.schedule.value = "0 10"
    assert "backbone" in explorer.errors.widget.value
    assert explorer.figure.outputs == shown, "what was drawn before stays"
    explorer.schedule.value = "turbo"
    assert explorer.errors.widget.value == ""
    assert "turbo" in json.dumps(explorer.figure.outputs)
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    explorer._ipython_display_()
    assert "first state" in capsys.readouterr().out
