"""Placing a model: layers in order over the accelerators there are, the rest with the first."""

from pathlib import Path

import pytest
import torch
from tiny import tiny_model

from labkit.model import load_speech_lm, save_speech_lm
from labkit.model.placement import device_of, dispatch, spread

MANY = {0: 10**9, 1: 10**9}


def test_everything_fits_on_the_first() -> None:
    assert set(spread(tiny_model(2), 4, MANY).values()) == {0}


def test_layers_go_on_in_order_and_the_rest_stays_together() -> None:
    model = tiny_model(2, num_hidden_layers=4)
    layer = 4 * sum(parameter.numel() for parameter in model.layers[0].parameters())
    whole = 4 * sum(parameter.numel() for parameter in model.parameters())
    shared = whole - 4 * layer
    places = spread(model, 4, {0: shared + layer, 1: 2 * layer, 2: layer})
    assert [places[f"backbone.model.layers.{number}"] for number in range(4)] == [0, 1, 1, 2]
    assert {places[name] for name in ("chain", "backbone.lm_head", "backbone.model.norm")} == {0}
    with pytest.raises(MemoryError, match="do not fit into"):
        spread(model, 4, {0: shared + layer, 1: 2 * layer})
    with pytest.raises(MemoryError, match="on 2 accelerators"):
        spread(model, 4, {0: shared - 1, 1: 9 * layer})


def test_every_parameter_has_a_device() -> None:
    model = tiny_model(2)
    find = device_of(dict.fromkeys(spread(model, 4, MANY), "cpu"))
    assert {find(name).type for name, _ in model.named_parameters()} == {"cpu"}


def test_a_model_with_accelerates_hooks_says_the_same() -> None:
    model, plain = tiny_model(2), tiny_model(2)
    places = dict.fromkeys(spread(model, 4, MANY), "cpu")
    places["backbone.model.layers.1"] = torch.device("cpu")  # another name, so that there are two
    dispatch(model, places)
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    with torch.no_grad():
        assert torch.equal(model(ids).stages[2], plain(ids).stages[2])


def test_auto_is_the_cpu_where_there_is_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    save_speech_lm(tiny_model(1), tmp_path)
    told: list[str] = []
    model = load_speech_lm(tmp_path, device="auto", tell=told.append)
    assert model.device.type == "cpu"
    assert " on cpu" in told[0]
