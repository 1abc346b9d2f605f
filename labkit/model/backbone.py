"""The backbone: transformers' Qwen2, made without touching the global random state."""

import copy

import torch
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm, Qwen2RotaryEmbedding

from labkit.model.attention import IMPLEMENTATION


def empty_backbone(config: Qwen2Config) -> Qwen2ForCausalLM:
    """A backbone on the meta device: all its shapes, none of its memory.

    Raises:
        ValueError: the config asks for sliding-window attention, which no VITA-Audio checkpoint uses.
    """
    if "sliding_attention" in config.layer_types:
        raise ValueError("sliding-window attention is not supported; set use_sliding_window to False")
    config = copy.deepcopy(config)
    config._attn_implementation = IMPLEMENTATION
    with torch.device("meta"):
        return Qwen2ForCausalLM(config).eval()


def restore_rotary(backbone: Qwen2ForCausalLM, device: torch.device | str) -> None:
    """Compute the rotary frequencies: they lie in no checkpoint, and the meta device holds no numbers."""
    backbone.model.rotary_emb = Qwen2RotaryEmbedding(backbone.config).to(device)


@torch.no_grad()
def initialize(module: nn.Module, std: float, generator: torch.Generator) -> None:
    """Set fresh parameters as Qwen2 does: weights N(0, ``std``), biases 0, norms 1."""
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            _normal(part.weight, std, generator)
            if getattr(part, "bias", None) is not None:
                part.bias.zero_()
        elif isinstance(part, Qwen2RMSNorm):
            part.weight.fill_(1.0)


def _normal(weight: torch.Tensor, std: float, generator: torch.Generator) -> None:
    # Drawn where the generator lives, so that one seed gives one model on every device.
    if weight.device == generator.device:
        weight.normal_(0.0, std, generator=generator)
    else:
        drawn = torch.empty(weight.shape, device=generator.device).normal_(0.0, std, generator=generator)
        weight.copy_(drawn)
