"""Sizes as data, and the memory they will take."""

import pytest
import torch

from labkit.memory import readable
from labkit.model import SIZES, SpeechLM, count_parameters, estimate_memory, size_config
from labkit.model.memory import announce


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("modules", [0, 10])
def test_parameters_are_counted_right_at_every_size(name: str, modules: int) -> None:
    config = size_config(name)
    model = SpeechLM.empty(config, modules)
    assert sum(parameter.numel() for parameter in model.parameters()) == count_parameters(config, modules)


def test_the_released_model_is_as_large_as_reported() -> None:
    """About 10.3 billion parameters, 20.6 GB in bfloat16."""
    estimate = estimate_memory(size_config("7B"), 10, torch.bfloat16, batch=1, tokens=1000)
    assert estimate.parameters == pytest.approx(10.3e9, rel=0.01)
    assert estimate.parameter_bytes == pytest.approx(20.6e9, rel=0.01)
    assert estimate.cache_bytes == 38 * 2 * 4 * 128 * 2 * 1000
    assert str(estimate) == "10.3 billion parameters, 19.2 GiB + key/value cache 74.2 MiB = 19.3 GiB"


def test_a_size_can_be_changed_in_any_field() -> None:
    config = size_config("toy", vocab_size=300, num_hidden_layers=5)
    assert (config.vocab_size, config.num_hidden_layers, len(config.layer_types)) == (300, 5, 5)
    assert size_config("0.5B").vocab_size == 168072
    with pytest.raises(ValueError, match=r"no size '3B'; the sizes are toy, small, 0\.5B"):
        size_config("3B")


@pytest.mark.parametrize(
    ("count", "text"), [(3, "3 B"), (2048, "2 KiB"), (5 * 2**20, "5 MiB"), (3 * 2**40, "3072 GiB")]
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert readable(count) == text


def test_nobody_knows_the_meta_devices_memory() -> None:
    line = announce(estimate_memory(size_config("72B")), torch.device("meta"), "72B")
    assert line.endswith("on meta")
