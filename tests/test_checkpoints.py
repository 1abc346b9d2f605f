"""Files of tensors that are broken, hostile or another's: all loaders refuse them in the same words."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from labkit.checkpoints import (
    CheckpointError,
    fill,
    find_folder,
    read_json,
    read_shapes,
    read_tensors,
    stored_dtype,
    weight_files,
)


def test_shapes_are_read_without_loading(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, 3)}, tmp_path / "one.safetensors")
    torch.save({"b": torch.zeros(4)}, tmp_path / "two.pt")
    assert read_shapes(sorted(tmp_path.iterdir())) == {"a": (2, 3), "b": (4,)}


@pytest.mark.parametrize("keep", [0, 1, 7, 30, 100])
def test_safetensors_that_are_cut_off(keep: int, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(100)}, file)
    file.write_bytes(file.read_bytes()[:keep])
    for read in (
        lambda: list(read_tensors([file])),
        lambda: read_shapes([file]),
        lambda: stored_dtype([file]),
    ):
        with pytest.raises(CheckpointError, match="no whole safetensors file"):
            read()


def test_a_header_that_claims_too_much(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="no whole safetensors file"):
        list(read_tensors([file]))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "is not the index"),
        ("[]", "is not the index"),
        ('{"weight_map": 3}', "is not the index"),
        ('{"weight_map": {"a": "../elsewhere.safetensors"}}', "outside its folder"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "outside its folder"),
    ],
)
def test_an_index_of_something_else(index: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(CheckpointError, match=message):
        weight_files(tmp_path)


def test_no_weights_in_the_files(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2, dtype=torch.long)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="hold no weights"):
        stored_dtype([tmp_path / "a.safetensors"])


def test_json_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no x\.json in .*; is this a test"):
        read_json(tmp_path / "x.json", "a test")
    for text in ("{", "3", "\ufeff{}"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(CheckpointError):
            read_json(tmp_path / "x.json", "a test")


def test_a_module_is_filled_in_its_place_and_dtype() -> None:
    with torch.device("meta"):
        module = nn.BatchNorm1d(3)
    tensors = {
        "x.weight": torch.ones(3, dtype=torch.float64),
        "x.bias": torch.ones(3),
        "running_mean": torch.ones(3),
        "running_var": torch.ones(3),
        "num_batches_tracked": torch.tensor(5),
    }
    names = {key: key.removeprefix("x.") for key in tensors}
    fill(module, tensors.items(), names, device=torch.device("cpu"), dtype=torch.float16)
    assert module.weight.dtype == module.running_mean.dtype == torch.float16
    assert module.num_batches_tracked.item() == 5
    assert isinstance(module.weight, nn.Parameter)
    assert "running_mean" in module._buffers


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert find_folder(tmp_path, ["*"]) == tmp_path
