"""Where a model's parameters go: one device, or the backbone's layers spread over all accelerators by accelerate."""

from collections.abc import Callable, Mapping

import torch
from accelerate import dispatch_model
from accelerate.utils import get_max_memory

from labkit.memory import readable
from labkit.model.speech_lm import SpeechLM

LAYERS = "backbone.model.layers"
AUTO = "auto"


def accelerators() -> dict[int, int]:
    """Free bytes of every accelerator by its number, a tenth kept back for caches and activations."""
    if not torch.cuda.is_available():
        return {}
    return {number: free * 9 // 10 for number, free in get_max_memory().items() if isinstance(number, int)}


def spread(model: SpeechLM, itemsize: int, memory: Mapping[int, int]) -> dict[str, int]:
    """Which accelerator each part goes to: layers in order, and all that they share with the first.

    Embedding, final norm, head and chain stay together, since every token passes through all of them.

    Args:
        model: on the meta device.
        itemsize: bytes of a parameter.
        memory: bytes that each accelerator can take, by its number.

    Raises:
        MemoryError: they cannot take it all together.
    """
    sizes = [sum(p.numel() for p in layer.parameters()) * itemsize for layer in model.layers]
    shared = sum(p.numel() for p in model.parameters()) * itemsize - sum(sizes)
    devices = iter(memory)
    first = device = next(devices)
    room = dict(memory)
    room[first] -= shared
    places = {"chain": first, "backbone.model.embed_tokens": first, "backbone.model.norm": first}
    places |= {"backbone.model.rotary_emb": first, "backbone.lm_head": first}
    for number, size in enumerate(sizes):
        while device is not None and room[device] < size:
            device = next(devices, None)
        if device is None or room[first] < 0:
            total = readable(shared + sum(sizes))
            raise MemoryError(
                f"{total} of parameters do not fit into {readable(sum(memory.values()))} on {len(memory)} accelerators"
            )
        room[device] -= size
        places[f"{LAYERS}.{number}"] = device
    return places


def device_of(places: Mapping[str, int]) -> Callable[[str], torch.device]:
    """From a parameter's name to its device."""

    def find(name: str) -> torch.device:
        part = name
        while part not in places:
            part = part.rpartition(".")[0]
        return torch.device(places[part])

    return find


def dispatch(model: SpeechLM, places: Mapping[str, int]) -> None:
    """Let accelerate carry activations to where each part lies."""
    if len(set(places.values())) > 1:
        dispatch_model(model, dict(places), main_device=places["chain"], force_hooks=True)
