"""The Multiple Cross-modal Token Prediction modules (paper section 3.2, eq. 3).

Module ``k`` at position ``p`` joins two things: the embedding of the token that stands at ``p``, and the
hidden state that the stage before (the backbone for ``k = 0``, else module ``k - 1``) had at ``p - 1``::

    x = projection([embed_norm(E[token at p]) | hidden_norm(h at p - 1)])
    h = final_norm(layer(x)),   token at p + 1 ~ softmax(head(h))

Embedding, final norm and head are the backbone's own. So each module sees one more token than the stage
before it, and eleven tokens come out of one backbone pass and ten such light steps.
"""

import copy
from collections.abc import Iterator

import torch
from torch import nn
from transformers import Qwen2Config
from transformers.models.qwen2.modeling_qwen2 import Qwen2DecoderLayer, Qwen2RMSNorm


def chain_config(config: Qwen2Config, num_modules: int) -> Qwen2Config:
    """The backbone's config with room for the modules' layers, counted as in the released ``config.json``."""
    longer = copy.deepcopy(config)
    longer.num_hidden_layers = config.num_hidden_layers + num_modules
    longer.layer_types = ["full_attention"] * longer.num_hidden_layers
    longer._attn_implementation = config._attn_implementation  # a private field, which deepcopy drops
    return longer


class MCTPModule(nn.Module):
    """One module: two norms, a projection and one Qwen2 decoder layer.

    Args:
        config: the backbone's config.
        index: ``k``, counted from 0. Its decoder layer is number ``num_hidden_layers + k``.
    """

    def __init__(self, config: Qwen2Config, index: int) -> None:
        super().__init__()
        hidden, eps = config.hidden_size, config.rms_norm_eps
        self.embed_norm = Qwen2RMSNorm(hidden, eps=eps)
        self.hidden_norm = Qwen2RMSNorm(hidden, eps=eps)
        self.projection = nn.Linear(2 * hidden, hidden, bias=False)
        self.layer = Qwen2DecoderLayer(chain_config(config, index + 1), config.num_hidden_layers + index)

    def join(self, embeds: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
        """What the decoder layer reads.

        Args:
            embeds: ``(batch, rows, hidden)`` embeddings of the tokens at positions ``p``.
            previous: ``(batch, rows, hidden)`` final-normed hidden states of the stage before at ``p - 1``.

        Returns:
            ``(batch, rows, hidden)``.
        """
        return self.projection(torch.cat([self.embed_norm(embeds), self.hidden_norm(previous)], dim=-1))


class MCTPChain(nn.ModuleList):
    """The modules in order; ``chain[k]`` is module ``k``."""

    def __init__(self, config: Qwen2Config, num_modules: int) -> None:
        super().__init__(MCTPModule(config, index) for index in range(num_modules))

    def __iter__(self) -> Iterator[MCTPModule]:
        return super().__iter__()
