"""Layers that add nothing: what does a model lose when a decoder layer is passed by?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from labkit.model import SpeechLM


@contextmanager
def skipping(model: SpeechLM, *layers: str) -> Iterator[None]:
    """Let decoder layers add nothing inside the block: the residual stream that enters one leaves it unchanged.

    A module's layer that is skipped hands what the module joined straight to the final norm.

    Args:
        model: backbone and chain.
        layers: by name, such as "backbone.4" or "module.0".

    Raises:
        ValueError: there is no such layer.
    """
    silent = {
        f"{layer}.{part}": lambda added, _: torch.zeros_like(added)
        for layer in layers
        for part in ("attn_out", "mlp_out")
    }
    with model.patched(silent):
        yield
