"""Checkpoints in the released layout, loaded and saved: safetensors, one file or many.

A checkpoint without modules is a plain Qwen2 one, so the same functions load a backbone from the hub.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from labkit.model.backbone import restore_rotary
from labkit.model.layout import (
    EMBEDDING,
    HEAD,
    CheckpointError,
    read_config,
    released_config,
    released_key,
    released_state,
)
from labkit.model.memory import announce, estimate_memory
from labkit.model.speech_lm import SpeechLM

SHARD_BYTES = 5 * 10**9


def save_speech_lm(model: SpeechLM, folder: str | Path, shard_bytes: int = SHARD_BYTES) -> Path:
    """Write a model in the released layout, in safetensors.

    Args:
        model: to write.
        folder: made if missing.
        shard_bytes: most bytes per file; more than one file gets an index, as on the hub.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = json.dumps(released_config(model), indent=2, sort_keys=True)
    (folder / "config.json").write_text(config + "\n", encoding="utf-8")
    shards = split_shards({name: p.contiguous() for name, p in released_state(model).items()}, shard_bytes)
    files = ["model.safetensors"]
    if len(shards) > 1:
        files = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
        weight_map = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
        total = sum(p.nbytes for shard in shards for p in shard.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        text = json.dumps(index, indent=2) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")
    for file, shard in zip(files, shards, strict=True):
        save_file(shard, folder / file, metadata={"format": "pt"})
    return folder


def split_shards(state: Mapping[str, torch.Tensor], most: int) -> list[dict[str, torch.Tensor]]:
    """Tensors in order, in as few runs of at most ``most`` bytes as that takes; a larger one stands alone."""
    shards: list[dict[str, torch.Tensor]] = [{}]
    held = 0
    for name, tensor in state.items():
        if shards[-1] and held + tensor.nbytes > most:
            shards.append({})
            held = 0
        shards[-1][name] = tensor
        held += tensor.nbytes
    return shards


def load_speech_lm(
    source: str | Path,
    *,
    attention: str = "sdpa",
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    ignore: Sequence[str] = (),
    tell: Callable[[str], None] | None = print,
) -> SpeechLM:
    """Load a checkpoint in the released layout, or a plain Qwen2 one (which gives a chain of no modules).

    Args:
        source: a folder, or a hub id if there is no such folder.
        attention: ``"eager"``, ``"sdpa"`` or ``"flash_attention_2"``.
        dtype: of the parameters; the checkpoint's own unless given.
        device: where to put them.
        ignore: prefixes of keys to leave alone, such as ``"model.audio_model."`` of VITA-Audio-Plus.
        tell: gets one line with the memory it will take, before anything is loaded.

    Raises:
        FileNotFoundError: no such checkpoint.
        CheckpointError: keys are missing, unexpected or of the wrong shape; all are named.
        MemoryError: the parameters do not fit.
    """
    folder, device = find_checkpoint(source), torch.device(device)
    config, modules, loss_weight = read_config(folder)
    files = weight_files(folder)
    estimate = estimate_memory(config, modules, dtype or stored_dtype(files))
    line = announce(estimate, device, Path(source).name)
    if tell is not None:
        tell(line)
    model = SpeechLM.empty(config, modules, attention)
    model.module_loss_weight = loss_weight
    fill(model, read_tensors(files), device, dtype, ignore)
    restore_rotary(model.backbone, device)
    return model


def find_checkpoint(source: str | Path) -> Path:
    """The folder of a checkpoint, brought from the hub unless it is here already.

    Raises:
        FileNotFoundError: neither a folder nor a hub id that can be reached or is cached.
    """
    if Path(source).is_dir():
        return Path(source)
    try:
        patterns = ["config.json", "*.safetensors", "*.safetensors.index.json"]
        return Path(snapshot_download(str(source), allow_patterns=patterns))
    except Exception as error:
        raise FileNotFoundError(
            f"no checkpoint {str(source)!r}: neither a folder nor a hub id that can be reached from here"
        ) from error


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a checkpoint's tensors: safetensors, or else a legacy ``.bin`` or ``.pt``.

    Raises:
        FileNotFoundError: there are none, or one that the index names is missing.
    """
    for stem in ("model.safetensors", "pytorch_model.bin"):
        index = folder / f"{stem}.index.json"
        if index.is_file():
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
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


def read_tensors(files: Iterable[Path]) -> Iterable[tuple[str, torch.Tensor]]:
    """Names and tensors of checkpoint files, one tensor at a time. No file can run code."""
    for file in files:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118
                    yield name, tensors.get_tensor(name)
        else:
            yield from torch.load(file, map_location="cpu", weights_only=True, mmap=True).items()


def stored_dtype(files: Iterable[Path]) -> torch.dtype:
    """The dtype of the first floating-point tensor."""
    return next(tensor.dtype for _, tensor in read_tensors(files) if tensor.is_floating_point())


def fill(
    model: SpeechLM,
    tensors: Iterable[tuple[str, torch.Tensor]],
    device: torch.device,
    dtype: torch.dtype | None = None,
    ignore: Sequence[str] = (),
) -> None:
    """Put tensors of released names into a model, each moved once and never copied whole.

    Raises:
        CheckpointError: keys are missing, unexpected or of the wrong shape.
    """
    ours = {released_key(name, model.config.num_hidden_layers): name for name, _ in model.named_parameters()}
    tied = model.config.tie_word_embeddings
    faults: list[str] = []
    seen: set[str] = set()
    surplus_head = None
    for key, tensor in tensors:
        if tied and key == HEAD:
            surplus_head = tensor
        elif key in ours:
            seen.add(key)
            expected = model.get_parameter(ours[key]).shape
            if tensor.shape != expected:
                faults.append(f"misshapen {key}: {tuple(tensor.shape)}, expected {tuple(expected)}")
            else:
                place(model, ours[key], tensor.to(device, dtype))
        elif not key.startswith(tuple(ignore)):
            faults.append(f"unexpected {key}")
    faults += [f"missing {key}" for key in ours if key not in seen]
    if faults:
        raise CheckpointError(f"{len(faults)} keys do not fit:\n  " + "\n  ".join(sorted(faults)))
    if tied:
        embedding = model.backbone.model.embed_tokens.weight
        model.backbone.lm_head.weight = embedding
        if surplus_head is not None and not torch.equal(surplus_head.to(embedding), embedding):
            raise CheckpointError(f"{HEAD} differs from {EMBEDDING}, though the config ties them")


def place(model: nn.Module, name: str, tensor: torch.Tensor) -> None:
    """Make ``tensor`` the parameter of this name."""
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, nn.Parameter(tensor))
