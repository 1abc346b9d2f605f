"""A Qwen2 decoder layer as a function of tensors: what is left of it when a model only ever decodes.

No module calls, no hooks, no kernel to choose: weights come in as tensors that belong together, keys and values go
into caches that were there before. So nothing is allocated that outlives a pass, and on a GPU the function can be
compiled and recorded. `labkit.model` holds the layer that one can look into; tests hold the two to the same tokens.
"""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import rms_norm, silu
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer

from labkit.model.few_rows import few_rows_linear, pack

FLASH = "flash_attention_2"
MOST_ROWS = 256  # of a prompt that look at once


class LayerWeights(NamedTuple):
    """The weights of one decoder layer; those that read the same rows are one matrix."""

    attention_norm: torch.Tensor
    qkv: torch.Tensor
    qkv_bias: torch.Tensor
    output: torch.Tensor
    mlp_norm: torch.Tensor
    gate_up: torch.Tensor
    down: torch.Tensor


class Reach(NamedTuple):
    """Where a pass reads and writes, the same for all its layers.

    Attributes:
        slots: ``(rows,)`` where its keys and values go in the caches.
        cos, sin: ``(batch or 1, 1, rows, head_dim)`` of the rows' positions.
        keys: how much of the caches its rows look at.
        mask: ``(batch or 1, 1, rows, keys)`` to add to the scores, None where every row sees every key.
        lengths: ``(batch,)`` int32 rows the caches hold, for flash attention.
    """

    slots: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor
    keys: int
    mask: torch.Tensor | None
    lengths: torch.Tensor | None


def lay_out(layer: Qwen2DecoderLayer) -> LayerWeights:
    """The weights of a layer as `decoder_layer` takes them.

    On a CPU in float32 large ones are copied into the layout that is fast for few rows (`labkit.model.few_rows`).
    Elsewhere nothing is held twice: the layer's own projections become views into the joined matrices.
    """
    attention, mlp = layer.self_attn, layer.mlp
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    return LayerWeights(
        layer.input_layernorm.weight.detach(),
        _join(projections),
        _share([each.bias for each in projections]),
        _join([attention.o_proj]),
        layer.post_attention_layernorm.weight.detach(),
        _join([mlp.gate_proj, mlp.up_proj]),
        _join([mlp.down_proj]),
    )


def _join(projections: list[nn.Linear]) -> torch.Tensor:
    weights = [each.weight for each in projections]
    packed = pack(torch.cat([each.detach() for each in weights]) if len(weights) > 1 else weights[0].detach())
    return _share(weights) if packed is None else packed


def _share(parts: list[nn.Parameter]) -> torch.Tensor:
    """The parts as one tensor, whose rows they are from now on."""
    if len(parts) == 1:
        return parts[0].detach()
    joined = torch.cat([part.detach() for part in parts])
    for part, rows in zip(parts, joined.split([len(part) for part in parts]), strict=True):
        part.data = rows
    return joined


def held_twice(weights: Iterable[torch.Tensor]) -> int:
    """Bytes of those weights from `lay_out` that are copies."""
    return sum(weight.numel() * weight.element_size() for weight in weights if weight.is_mkldnn)


def norm(rows: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """Root-mean-square norm over the last dimension."""
    if rows.device.type != "cpu":
        return rms_norm(rows, weight.shape, weight, eps)
    # One kernel on a GPU; on a CPU it would be more steps than these.
    return rows * torch.rsqrt(rows.square().mean(-1, keepdim=True) + eps) * weight


def rotate(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding of ``(batch, heads, rows, head_dim)``."""
    first, second = heads.chunk(2, dim=-1)
    return heads * cos + torch.cat([-second, first], dim=-1) * sin


def decoder_layer(
    rows: torch.Tensor,
    weights: LayerWeights,
    keys: torch.Tensor,
    values: torch.Tensor,
    reach: Reach,
    eps: float,
    kernel: str,
    only_last: bool = False,
) -> torch.Tensor:
    """One decoder layer.

    Args:
        rows: ``(batch, rows, hidden)``.
        weights: of the layer.
        keys, values: ``(batch, kv_heads, capacity, head_dim)`` its caches, written in place.
        reach: where the pass reads and writes.
        eps: of the norms.
        kernel: ``"flash_attention_2"``, else `grouped_attention`.
        only_last: the last row's output is all that anybody will read. The others leave keys and values behind.

    Returns:
        ``(batch, rows, hidden)``, or ``(batch, 1, hidden)``.
    """
    batch, count, _ = rows.shape
    kv_heads, head_dim = keys.shape[1], keys.shape[3]
    heads = few_rows_linear(norm(rows, weights.attention_norm, eps), weights.qkv, weights.qkv_bias)
    heads = heads.view(batch, count, -1, head_dim).transpose(1, 2)
    turned = rotate(heads[:, :-kv_heads], reach.cos, reach.sin)
    query, mask = turned[:, :-kv_heads], reach.mask
    keys.index_copy_(2, reach.slots, turned[:, -kv_heads:])
    values.index_copy_(2, reach.slots, heads[:, -kv_heads:])
    if only_last:
        rows, query = rows[:, -1:], query[:, :, -1:]
        mask = None if mask is None else mask[:, :, -1:]
    if kernel == FLASH:
        seen = _flash(query, keys, values, reach.lengths)
    else:
        seen = grouped_attention(query, keys[:, :, : reach.keys], values[:, :, : reach.keys], mask)
    rows = rows + few_rows_linear(seen.transpose(1, 2).flatten(2), weights.output)
    gate, up = few_rows_linear(norm(rows, weights.mlp_norm, eps), weights.gate_up).chunk(2, dim=-1)
    return rows + few_rows_linear(silu(gate) * up, weights.down)


def grouped_attention(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """Attention of heads that share keys and values in groups.

    The heads of a group stand below each other as rows of one product, so that keys and values are read once and never
    repeated. For a few rows over many keys that is the faster way on a GPU, too: sdpa's fused kernels take groups
    without a mask, or a mask without groups, and share their work out over heads, of which there are four.

    Args:
        query: ``(batch, heads, rows, head_dim)``.
        keys, values: ``(batch, kv_heads, keys, head_dim)``.
        mask: see `Reach`.

    Returns:
        ``(batch, heads, rows, head_dim)``.
    """
    batch, heads, count, head_dim = query.shape
    # A long prompt, in blocks: its scores all at once would be the largest thing in memory.
    if count > MOST_ROWS:
        masks = [None] * count if mask is None else mask.split(MOST_ROWS, dim=2)
        blocks = zip(query.split(MOST_ROWS, dim=2), masks, strict=False)
        return torch.cat([grouped_attention(block, keys, values, own) for block, own in blocks], dim=2)
    groups = query.reshape(batch, keys.shape[1], -1, head_dim) * head_dim**-0.5
    scores = groups @ keys.transpose(2, 3)
    if mask is not None:
        scores.view(batch, keys.shape[1], -1, count, keys.shape[2]).add_(mask[:, :, None])
    weights = scores.softmax(-1, dtype=torch.float32).to(values.dtype)
    return (weights @ values).view(batch, heads, count, head_dim)


def _flash(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    from flash_attn import flash_attn_with_kvcache  # optional; labkit.model.check_kernel has asked for it

    seen = flash_attn_with_kvcache(
        query.transpose(1, 2),
        keys.transpose(1, 2),
        values.transpose(1, 2),
        cache_seqlens=lengths,
        causal=True,
    )
    return seen.transpose(1, 2)
