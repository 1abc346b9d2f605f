"""Checkpoints in the released layout, loaded and saved: safetensors, one file or many.

A checkpoint without modules is a plain Qwen2 one, so the same functions load a backbone from the hub.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config

from labkit.checkpoints import (
    TEXTS,
    WEIGHTS,
    CheckpointError,
    Tensors,
    find_folder,
    read_tensors,
    stored_dtype,
    weight_files,
)
from labkit.checkpoints import fill as fill_module
from labkit.model.backbone import restore_rotary
from labkit.model.layout import (
    EMBEDDING,
    HEAD,
    read_config,
    released_config,
    released_key,
    released_state,
)
from labkit.model.memory import announce, estimate_memory
from labkit.model.placement import AUTO, accelerators, device_of, dispatch, spread
from labkit.model.speech_lm import SpeechLM

SHARD_BYTES = 5 * 10**9
INDEX = "model.safetensors.index.json"
UNFINISHED = ".part"


def save_speech_lm(
    model: SpeechLM,
    folder: str | Path,
    shard_bytes: int = SHARD_BYTES,
    *,
    matrices: torch.dtype | None = None,
) -> Path:
    """Write a model in the released layout, in safetensors, in place of any that the folder holds.

    All is written beside and put in its place at the end: the old files stay whole as long as they are read from, also
    where the model was loaded from this very folder.

    Args:
        model: to write.
        folder: made if missing.
        shard_bytes: most bytes per file; more than one file gets an index, as on the hub.
        matrices: dtype in which matrices are stored, such as ``torch.float8_e4m3fn`` for half of float16's size; their
            own unless given. Norms and biases keep theirs.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"config.json": json.dumps(released_config(model), indent=2, sort_keys=True)}
    state = {
        name: p.to(dtype=matrices if p.ndim > 1 else None).contiguous()
        for name, p in released_state(model).items()
    }
    shards = split_shards(state, shard_bytes)
    files = ["model.safetensors"]
    if len(shards) > 1:
        files = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
        weight_map = {name: file for file, shard in zip(files, shards, strict=True) for name in shard}
        total = sum(p.nbytes for shard in shards for p in shard.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        texts[INDEX] = json.dumps(index, indent=2)
    for file, shard in zip(files, shards, strict=True):
        save_file(shard, folder / f"{file}{UNFINISHED}", metadata={"format": "pt"})
    for file, text in texts.items():
        (folder / f"{file}{UNFINISHED}").write_text(text + "\n", encoding="utf-8")
    for file in (*files, *texts):
        (folder / f"{file}{UNFINISHED}").replace(folder / file)
    _remove_others(folder, {*files, *texts})
    return folder


def _remove_others(folder: Path, written: set[str]) -> None:
    """Remove an older model's index and files: what an index names is loaded before a file without one."""
    for path in (folder / INDEX, folder / "model.safetensors", *folder.glob("model-*-of-*.safetensors")):
        if path.name not in written:
            path.unlink(missing_ok=True)


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
        device: where to put them; ``"auto"`` for the accelerators there are, the layers spread where there are several,
            or else the CPU.
        ignore: prefixes of keys to leave alone, such as ``"model.audio_model."`` of VITA-Audio-Plus.
        tell: gets one line with the memory it will take, before anything is loaded.

    Raises:
        FileNotFoundError: no such checkpoint.
        CheckpointError: keys are missing, unexpected or of the wrong shape; all are named.
        MemoryError: the parameters do not fit.
    """
    folder = find_checkpoint(source)
    model = empty_model(folder, read_config(folder), attention)
    fill_placed(model, folder, str(source), dtype, device, ignore, tell)
    return model


def empty_model(folder: Path, config: tuple[Qwen2Config, int, float], attention: str) -> SpeechLM:
    """A model of a checkpoint's shape on the meta device."""
    shape, modules, loss_weight = config
    model = SpeechLM.empty(shape, modules, attention)
    model.module_loss_weight = loss_weight
    return model


def fill_placed(
    model: SpeechLM,
    folder: Path,
    source: str,
    dtype: torch.dtype | None,
    device: torch.device | str,
    ignore: Sequence[str],
    tell: Callable[[str], None] | None,
) -> None:
    """Fill an empty model from a checkpoint's files, on one device or spread over all accelerators.

    Raises:
        CheckpointError: keys are missing, unexpected or of the wrong shape.
        MemoryError: the parameters do not fit.
    """
    files = weight_files(folder)
    kind = dtype or stored_dtype(files)
    memory = accelerators() if device == AUTO else {}
    if device == AUTO and len(memory) < 2:
        device = "cuda" if memory else "cpu"
    places = spread(model, kind.itemsize, memory) if device == AUTO else None
    main = torch.device(places["chain"] if places else device)
    estimate = estimate_memory(model.config, model.num_modules, kind)
    name = Path(source).name
    line = f"{name}: {estimate} over {len(memory)} accelerators" if places else announce(estimate, main, name)
    if tell is not None:
        tell(line)
    fill(model, read_tensors(files), device_of(places) if places else main, dtype, ignore)
    restore_rotary(model.backbone, main)
    if places:
        dispatch(model, places)


def find_checkpoint(source: str | Path) -> Path:
    """The folder of a checkpoint with its tokenizer, brought from the hub unless it is here already.

    Raises:
        FileNotFoundError: neither a folder nor a hub id that can be reached or is cached.
    """
    return find_folder(source, [*TEXTS, *WEIGHTS])


def fill(
    model: SpeechLM,
    tensors: Tensors,
    device: torch.device | Callable[[str], torch.device],
    dtype: torch.dtype | None = None,
    ignore: Sequence[str] = (),
) -> None:
    """Put tensors of released names into a model, each moved once and never copied whole.

    Raises:
        CheckpointError: keys are missing, unexpected or of the wrong shape.
    """
    layers, tied = model.config.num_hidden_layers, model.config.tie_word_embeddings
    names = {released_key(name, layers): name for name, _ in model.named_parameters()}
    surplus: list[torch.Tensor] = []

    def own() -> Tensors:
        for key, tensor in tensors:
            if tied and key == HEAD:
                surplus.append(tensor)
            else:
                yield key, tensor

    try:
        fill_module(
            model, own(), names, device=device, dtype=dtype, ignored=lambda key: key.startswith(tuple(ignore))
        )
    except CheckpointError as error:
        if "unexpected model.audio_" not in str(error):
            raise
        raise CheckpointError(
            f"{error}\nThis looks like VITA-Audio-Plus, which hears through an encoder of its own: load it with "
            "labkit.model.plus.load_plus."
        ) from error
    if tied:
        embedding = model.backbone.model.embed_tokens.weight
        model.backbone.lm_head.weight = embedding
        if surplus and not torch.equal(surplus[0].to(embedding), embedding):
            raise CheckpointError(f"{HEAD} differs from {EMBEDDING}, though the config ties them")
