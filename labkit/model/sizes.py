"""Backbone shapes as data: Qwen2.5's, and two small ones of the same architecture that the lab trains itself."""

from dataclasses import dataclass

from transformers import Qwen2Config

from labkit.vocabulary import released_vocabulary

RELEASED_MODULES = 10  # MCTP modules of the released checkpoints (paper section 3.2)


@dataclass(frozen=True)
class Size:
    """Shape of a Qwen2 backbone, without its vocabulary."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    tie_word_embeddings: bool
    max_position_embeddings: int = 32768


SIZES = {
    "toy": Size(192, 288, 8, 4, 2, tie_word_embeddings=True, max_position_embeddings=4096),
    "small": Size(512, 1408, 12, 8, 2, tie_word_embeddings=True, max_position_embeddings=8192),
    "0.5B": Size(896, 4864, 24, 14, 2, tie_word_embeddings=True),
    "1.5B": Size(1536, 8960, 28, 12, 2, tie_word_embeddings=True),
    "7B": Size(3584, 18944, 28, 28, 4, tie_word_embeddings=False),
    "14B": Size(5120, 13824, 48, 40, 8, tie_word_embeddings=False),
    "72B": Size(8192, 29568, 80, 64, 8, tie_word_embeddings=False),
}


def size_config(name: str, vocab_size: int | None = None, **overrides: object) -> Qwen2Config:
    """The configuration of a backbone of a named size.

    Args:
        name: one of `SIZES`.
        vocab_size: rows of embedding and head; the released vocabulary's 168072 unless given.
        **overrides: any field of ``Qwen2Config``, such as ``num_hidden_layers=5``.

    Raises:
        ValueError: there is no such size.
    """
    if name not in SIZES:
        raise ValueError(f"no size {name!r}; the sizes are {', '.join(SIZES)}")
    rows = released_vocabulary().padded_size if vocab_size is None else vocab_size
    fields = {
        **vars(SIZES[name]),
        "vocab_size": rows,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0},
        **overrides,
    }
    return Qwen2Config(**fields)
