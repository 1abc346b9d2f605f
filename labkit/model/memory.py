"""How much memory a model will take, worked out before anything is loaded."""

from dataclasses import dataclass

import torch
from transformers import Qwen2Config

from labkit.memory import check_room, free_memory, readable


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes for the parameters and for the key/value cache."""

    parameters: int
    parameter_bytes: int
    cache_bytes: int

    @property
    def total_bytes(self) -> int:
        """Parameters and cache together."""
        return self.parameter_bytes + self.cache_bytes

    def __str__(self) -> str:
        return (
            f"{self.parameters / 1e9:.3g} billion parameters, {readable(self.parameter_bytes)}"
            f" + key/value cache {readable(self.cache_bytes)} = {readable(self.total_bytes)}"
        )


def key_value_width(config: Qwen2Config) -> int:
    """Numbers that the keys and values of one token take in one layer's cache."""
    return 2 * config.num_key_value_heads * _head_dim(config)


def _head_dim(config: Qwen2Config) -> int:
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def layer_parameters(config: Qwen2Config) -> int:
    """Parameters of one decoder layer."""
    hidden, head_dim = config.hidden_size, _head_dim(config)
    queries, keys = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    attention = queries * (hidden + 1) + 2 * keys * (hidden + 1) + queries * hidden
    return attention + 3 * hidden * config.intermediate_size + 2 * hidden


def module_parameters(config: Qwen2Config) -> int:
    """Parameters of one MCTP module: its decoder layer, its projection and its two norms."""
    hidden = config.hidden_size
    return layer_parameters(config) + 2 * hidden * hidden + 2 * hidden


def count_parameters(config: Qwen2Config, num_modules: int = 0) -> int:
    """Parameters of a backbone and its MCTP chain; a tied head counts once."""
    hidden = config.hidden_size
    tables = config.vocab_size * hidden * (1 if config.tie_word_embeddings else 2)
    layers = config.num_hidden_layers * layer_parameters(config)
    return tables + layers + hidden + num_modules * module_parameters(config)


def estimate_memory(
    config: Qwen2Config,
    num_modules: int = 0,
    dtype: torch.dtype = torch.float32,
    batch: int = 1,
    tokens: int = 4096,
) -> MemoryEstimate:
    """Memory for running a model on ``batch`` sequences of ``tokens`` tokens."""
    row = key_value_width(config) * dtype.itemsize
    parameters = count_parameters(config, num_modules)
    layers = config.num_hidden_layers + num_modules
    return MemoryEstimate(parameters, parameters * dtype.itemsize, layers * batch * tokens * row)


def announce(estimate: MemoryEstimate, device: torch.device, what: str) -> str:
    """One line that tells the user what loading ``what`` will take, and whether there is room.

    Raises:
        MemoryError: the parameters alone do not fit into the free memory.
    """
    return check_room(f"{what}: {estimate}", estimate.parameter_bytes, device, free_memory(device))
