"""Files of tensors: found here or on the hub, read without running code, held against what a module expects.

Every loader of weights goes through here, so that all of them refuse the same things in the same words: a file that
is cut off, a pickle with code in it, and any key that is missing, unexpected or of the wrong shape.
"""

import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError, safe_open
from torch import nn

Tensors = Iterable[tuple[str, torch.Tensor]]
WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
TEXTS = ("*.json", "*.txt", "*.jinja")
"""Configs, and the files of a tokenizer in any of its forms."""


class CheckpointError(ValueError):
    """A checkpoint that does not fit or cannot be trusted; the message names every key, or the file, at fault."""


def find_folder(source: str | Path, patterns: Sequence[str], what: str = "checkpoint") -> Path:
    """A folder, or else the files of a hub id that match ``patterns``, brought here unless they are here already.

    Args:
        source: a folder, or a hub id such as ``"VITA-MLLM/VITA-Audio-Boost"``.
        patterns: names of the files wanted.
        what: is looked for, as the message calls it.

    Raises:
        FileNotFoundError: neither a folder nor a hub id that can be reached or is cached.
    """
    if Path(source).is_dir():
        return Path(source)
    try:
        return Path(snapshot_download(str(source), allow_patterns=list(patterns)))
    except Exception as error:
        raise FileNotFoundError(
            f"no {what} {str(source)!r}: neither a folder nor a hub id that can be reached from here"
        ) from error


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's tensors: safetensors, or else a legacy ``.bin`` or ``.pt``.

    Raises:
        FileNotFoundError: there are none, or one that the index names is missing.
        CheckpointError: the index cannot be read.
    """
    for stem in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{stem}.index.json"
        if index.is_file():
            names = _indexed(index)
            missing = [name for name in names if not (folder / name).is_file()]
            if missing:
                raise FileNotFoundError(f"{folder} lacks {', '.join(missing)}, which {index.name} names")
            return [folder / name for name in names]
        if (folder / stem).is_file():
            return [folder / stem]
    found = sorted(folder.glob("*.safetensors")) or sorted([*folder.glob("*.bin"), *folder.glob("*.pt")])
    if not found:
        raise FileNotFoundError(f"no weights in {folder}; expected model.safetensors")
    return found


def _indexed(index: Path) -> list[str]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is not the index of a sharded checkpoint: {error}") from error
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise CheckpointError(f"{index} names files outside its folder: {', '.join(outside)}")
    return names


def read_tensors(files: Iterable[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and tensors of checkpoint files, one tensor at a time. No file can run code.

    Raises:
        CheckpointError: a file is cut off or broken, or holds anything but tensors.
    """
    for file in files:
        if file.suffix == ".safetensors":
            yield from _read_safetensors(file)
        else:
            yield from _read_legacy(file)


def _read_safetensors(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    with _opened(file) as tensors:
        for name in tensors.keys():  # noqa: SIM118
            yield name, tensors.get_tensor(name)


@contextmanager
def _opened(file: Path) -> Iterator[safe_open]:
    try:
        with safe_open(file, framework="pt") as tensors:
            yield tensors
    except SafetensorError as error:
        raise CheckpointError(f"{file} is no whole safetensors file ({error}); fetch it again") from error


def _read_legacy(file: Path) -> Iterator[tuple[str, torch.Tensor]]:
    try:
        held = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file} holds more than tensors, which may be code. It was refused (weights_only) and nothing of it was "
            f"run: {str(error).splitlines()[0]}"
        ) from error
    except Exception as error:  # the restricted unpickler raises whatever broken bytes lead it to
        raise CheckpointError(f"{file} is no whole file of weights ({error}); fetch it again") from error
    if not isinstance(held, dict) or not all(isinstance(value, torch.Tensor) for value in held.values()):
        raise CheckpointError(f"{file} is not a flat state dict: expected names and tensors, nothing else")
    yield from held.items()


def read_shapes(files: Iterable[Path]) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor, without loading what safetensors hold.

    Raises:
        CheckpointError: a file is broken.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        if file.suffix == ".safetensors":
            with _opened(file) as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        else:
            shapes |= {name: tuple(tensor.shape) for name, tensor in _read_legacy(file)}
    return shapes


def stored_dtype(files: Iterable[Path]) -> torch.dtype:
    """The dtype of the first floating-point tensor, as it is computed with (`computing_dtype`).

    Raises:
        CheckpointError: there is none, or a file is broken.
    """
    for _, tensor in read_tensors(files):
        if tensor.is_floating_point():
            return computing_dtype(tensor.dtype)
    raise CheckpointError("these files hold no weights")


def computing_dtype(stored: torch.dtype) -> torch.dtype:
    """float16 for floating-point numbers of 8 bits, which it holds and nothing computes in; others as they are."""
    return torch.float16 if stored.is_floating_point and stored.itemsize == 1 else stored


def read_json(path: Path, what: str) -> dict[str, object]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is not a JSON object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}; is this {what}?")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return values


def fill(
    module: nn.Module,
    tensors: Tensors,
    names: Mapping[str, str],
    *,
    device: torch.device | Callable[[str], torch.device],
    dtype: torch.dtype | None = None,
    ignored: Callable[[str], bool] = lambda key: False,
) -> None:
    """Put tensors into a module (made on the meta device), each moved once and never copied whole.

    Args:
        module: to be filled.
        tensors: names as the file has them, and tensors.
        names: for each name in the file, that of the parameter or buffer.
        device: where they go, or which device a parameter's name goes to.
        dtype: of floating-point tensors; their own (`computing_dtype`) unless given.
        ignored: whether a name that nobody expects is to be left alone.

    Raises:
        CheckpointError: keys are missing, unexpected or of the wrong shape; all are named.
    """
    expected = {name: value.shape for name, value in module.state_dict().items()}
    faults: list[str] = []
    seen: set[str] = set()
    for key, tensor in tensors:
        if key not in names:
            if not ignored(key):
                faults.append(f"unexpected {key}")
            continue
        seen.add(key)
        name = names[key]
        if tensor.shape != expected[name]:
            faults.append(f"misshapen {key}: {tuple(tensor.shape)}, expected {tuple(expected[name])}")
        else:
            where = device(name) if callable(device) else device
            own = dtype or computing_dtype(tensor.dtype)
            place(module, name, tensor.to(where, own if tensor.is_floating_point() else None))
    faults += [f"missing {key}" for key in names if key not in seen]
    if faults:
        raise CheckpointError(f"{len(faults)} keys do not fit:\n  " + "\n  ".join(sorted(faults)))


def place(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Make ``tensor`` the parameter or buffer of this name."""
    owner, _, leaf = name.rpartition(".")
    holder = module.get_submodule(owner)
    is_parameter = leaf in holder._parameters
    setattr(
        holder,
        leaf,
        nn.Parameter(tensor, requires_grad=tensor.is_floating_point()) if is_parameter else tensor,
    )
