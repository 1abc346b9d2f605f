"""The attention kernels, chosen layer by layer, and the one place where transformers' traps are closed.

transformers lets a model's config name one attention function for all layers. Here the choice is an argument
of each call, so that one layer can hand out its weights (eager) while the others stay on a fast kernel. The
function `attend` is registered under its own name *together with a mask function*: registered without one,
transformers 5 would pass no mask at all, and the model would silently read the future.
"""

import importlib.util
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask
from transformers.modeling_flash_attention_utils import _flash_attention_forward
from transformers.models.qwen2.modeling_qwen2 import eager_attention_forward

from labkit.model.masks import Segments, causal_mask

IMPLEMENTATION = "labkit"  # the name in config._attn_implementation
KERNELS = ("eager", "sdpa", "flash_attention_2")


def check_kernel(kernel: str) -> str:
    """Return ``kernel`` if it can run here.

    Raises:
        ValueError: the name is unknown, or flash attention is not installed.
    """
    if kernel not in KERNELS:
        raise ValueError(f"no attention kernel {kernel!r}; choose one of {', '.join(KERNELS)}")
    if kernel == "flash_attention_2" and importlib.util.find_spec("flash_attn") is None:
        raise ValueError("flash_attention_2 needs the flash-attn package and a CUDA device; use 'sdpa' here")
    return kernel


def attend(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    kernel: str = "sdpa",
    segments: Segments | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Causal attention of one layer with the kernel asked for.

    Args:
        module: the ``Qwen2Attention`` that calls.
        query: ``(batch, heads, queries, head_dim)``.
        key: ``(batch, kv_heads, keys, head_dim)``; the queries are the last of the keys.
        value: like ``key``.
        attention_mask: additive, broadcastable to ``(batch, heads, queries, keys)``, or None for plain causal
            attention. Under flash attention a 2-D padding mask ``(batch, keys)``, or None.
        kernel: one of `KERNELS`.
        segments: packed samples, for flash attention only (the other kernels see them in the mask).

    Returns:
        The output ``(batch, queries, heads, head_dim)`` and, from eager only, the weights
        ``(batch, heads, queries, keys)``.

    Raises:
        ValueError: no such kernel.
    """
    if kernel not in KERNELS:
        raise ValueError(f"no attention kernel {kernel!r}; choose one of {', '.join(KERNELS)}")
    if kernel == "flash_attention_2":
        return _flash(module, query, key, value, attention_mask, segments, **kwargs), None
    queries, keys = query.shape[2], key.shape[2]
    # Eager attention without a mask is not causal, and sdpa's own causal flag counts from the first key.
    if attention_mask is None and queries > 1 and (kernel == "eager" or queries != keys):
        attention_mask = causal_mask(queries, keys, query.dtype, query.device)
    forward = eager_attention_forward if kernel == "eager" else sdpa_attention_forward
    return forward(module, query, key, value, attention_mask, **kwargs)


def precise(device: torch.device) -> AbstractContextManager:
    """Plain arithmetic for sdpa in the block, where rounding shows and speed does not: on the CPU, outside training.

    PyTorch's fast sdpa kernel for the CPU approximates exp. Along a chain of ten modules the error grows to some
    1e-4 of a logit, twice what other rounding brings, so that cached and recomputed passes would differ by it.
    """
    if device.type == "cpu" and not torch.is_grad_enabled():
        return sdpa_kernel(SDPBackend.MATH)
    return nullcontext()


def _flash(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    padding_mask: torch.Tensor | None,
    segments: Segments | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: object,
) -> torch.Tensor:
    packed = {} if segments is None else segments.flash_arguments()
    return _flash_attention_forward(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        padding_mask,
        query_length=query.shape[2],
        is_causal=True,
        dropout=dropout,
        softmax_scale=scaling,
        attn_implementation="flash_attention_2",
        **packed,
    )


AttentionInterface.register(IMPLEMENTATION, attend)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
