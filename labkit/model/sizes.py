"""Backbone shapes as data: Qwen2.5's, and two small ones of the same architecture that the lab trains itself."""

from dataclasses import dataclass

from transformers import Qwen2Config

from labkit.vocabulary import released_vocabulary

RELEASED_MODULES = 10  # MCTP modules of the released checkpoints (paper section 3.2)


@dataclass(frozen=True)
class Size:
    """Shape of a Qwen2 backbone, without its vocabulary.

    `initializer_range` is the standard deviation of fresh weights. Qwen2.5's 0.02 is about one over the root of a width
    of thousands; the lab's own narrow models start from one over the root of theirs.
    `rope_theta` is the longest wavelength of positions, in tokens, over 2 pi: short for models of short sequences.
    """

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    tie_word_embeddings: bool
    max_position_embeddings: int = 32768
    initializer_range: float = 0.02
    rope_theta: float = 1_000_000.0


SIZES = {
    "toy": Size(192, 512, 5, 4, 2, True, 4096, initializer_range=0.07, rope_theta=10_000.0),
    "small": Size(512, 1408, 12, 8, 2, True, 8192, initializer_range=0.044, rope_theta=10_000.0),
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
    shape = dict(vars(SIZES[name]))
    fields = {
        "vocab_size": rows,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.pop("rope_theta")},
        **shape,
        **overrides,
    }
    return Qwen2Config(**fields)
