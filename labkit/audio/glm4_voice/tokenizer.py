"""The GLM-4-Voice tokenizer: the first half of a Whisper encoder, its convolutions made causal, and a codebook.

Log-mels at 100 Hz go through two convolutions (50 Hz) and Transformer layers whose attention is *block-causal*: a
position sees the past and its own block of four seconds. Four positions are averaged into one, and the nearest of
16384 codes is the token: 12.5 of them a second. Zeng et al. 2024, arXiv:2412.02612, section 2.1.

The module's keys are those of the released `model.safetensors`; the layers are transformers' own Whisper layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import nn
from torch.nn import functional
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoderLayer

from labkit.checkpoints import CheckpointError

STATISTICS = ("ema_count", "ema_weight")  # what training kept of the codebook; no part of the encoder


@dataclass(frozen=True)
class TokenizerConfig:
    """Shape of the encoder; the defaults are the release's.

    Attributes:
        block: positions (at 50 Hz) that see each other, whichever comes first.
        pooling: positions averaged into one token.
        positions: most positions, 30 seconds.
        codes: size of the codebook.
    """

    width: int = 1280
    layers: int = 16
    heads: int = 20
    feed_forward: int = 5120
    mel_bins: int = 128
    positions: int = 1500
    block: int = 200
    pooling: int = 4
    codes: int = 16384

    @classmethod
    def from_released(cls, values: Mapping[str, object]) -> Self:
        """Read the fields of a released `config.json`.

        Raises:
            CheckpointError: a field is missing, or asks for a variant that was never released.
        """
        fixed = {
            "pooling_type": "avg",
            "encoder_causal_convolution": True,
            "activation_function": "gelu",
        }
        odd = [
            f"{name} {values[name]!r}" for name, value in fixed.items() if values.get(name, value) != value
        ]
        if odd:
            raise CheckpointError(f"not the GLM-4-Voice tokenizer as released: {', '.join(odd)}")
        fields = {
            "width": "d_model",
            "layers": "quantize_position",
            "heads": "encoder_attention_heads",
            "feed_forward": "encoder_ffn_dim",
            "mel_bins": "num_mel_bins",
            "positions": "max_source_positions",
            "block": "quantize_causal_block_size",
            "pooling": "pooling_kernel_size",
            "codes": "quantize_vocab_size",
        }
        for name in (*fields.values(), "pooling_position"):
            if type(values.get(name)) is not int or values[name] < 1:
                raise CheckpointError(
                    f"{name} is {values.get(name)!r}, expected a whole number of at least 1"
                )
        if values["quantize_position"] != values["pooling_position"]:
            raise CheckpointError("a tokenizer that pools before its last layer is not supported")
        return cls(**{field: values[name] for field, name in fields.items()})

    def to_released(self) -> dict[str, object]:
        """The fields of a released `config.json`."""
        return {
            "architectures": ["WhisperVQEncoder"],
            "model_type": "whisper",
            "d_model": self.width,
            "encoder_layers": self.layers,
            "encoder_attention_heads": self.heads,
            "encoder_ffn_dim": self.feed_forward,
            "num_mel_bins": self.mel_bins,
            "max_source_positions": self.positions,
            "activation_function": "gelu",
            "encoder_causal_convolution": True,
            "quantize_encoder_only": True,
            "quantize_causal_block_size": self.block,
            "quantize_position": self.layers,
            "quantize_vocab_size": self.codes,
            "pooling_type": "avg",
            "pooling_position": self.layers,
            "pooling_kernel_size": self.pooling,
        }


class WhisperVQ(nn.Module):
    """Log-mels `(batch, mel_bins, frames)` to audio tokens `(batch, ceil(frames / 8))`."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv1 = nn.Conv1d(config.mel_bins, width, 3)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2)
        self.embed_positions = nn.Embedding(config.positions, width)
        layer = WhisperConfig(
            d_model=width,
            encoder_attention_heads=config.heads,
            encoder_ffn_dim=config.feed_forward,
            activation_function="gelu",
            dropout=0.0,
            attention_dropout=0.0,
            activation_dropout=0.0,
            attn_implementation="sdpa",
        )
        self.layers = nn.ModuleList(WhisperEncoderLayer(layer) for _ in range(config.layers))
        self.codebook = nn.Embedding(config.codes, width)
        self.embed_positions2 = nn.Embedding(config.positions // config.pooling, width)

    def forward(self, mel: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Audio tokens of every position, those of padding included.

        Args:
            mel: `(batch, mel_bins, frames)`, an even number of frames.
            mask: `(batch, frames)`, 0 on padding.
        """
        return self.nearest(self.pooled(mel, mask))

    def pooled(self, mel: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """What is quantised: `(batch, ceil(frames / 8), width)`."""
        hidden = functional.gelu(self.conv1(functional.pad(mel, (2, 0))))
        hidden = functional.gelu(self.conv2(functional.pad(hidden, (2, 0)))).transpose(1, 2)
        hidden = hidden + self.embed_positions.weight[: hidden.shape[1]]
        scores = self._mask(mask[:, ::2], hidden)
        for layer in self.layers:
            output = layer(hidden, scores)
            hidden = output[0] if isinstance(output, tuple) else output
        pooling = self.config.pooling
        # Positions that are missing from the last four count as zeros: the sum is divided by four all the same.
        hidden = functional.pad(hidden, (0, 0, 0, -hidden.shape[1] % pooling))
        return hidden.unflatten(1, (-1, pooling)).mean(2)

    def nearest(self, pooled: torch.Tensor) -> torch.Tensor:
        """Indices `(batch, tokens)` of the codes nearest to `pooled` `(batch, tokens, width)`, the first of equals."""
        codes = self.codebook.weight
        # |x - c|^2 without |x|^2, which is the same for every code.
        return (codes.pow(2).sum(-1) - 2 * pooled @ codes.T).argmin(-1)

    def quantized(self, tokens: torch.Tensor) -> torch.Tensor:
        """The codes of `tokens` with the second table of positions added, `(batch, tokens, width)`."""
        return self.codebook(tokens) + self.embed_positions2.weight[: tokens.shape[1]]

    def _mask(self, real: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Additive block-causal mask `(batch, 1, positions, positions)`."""
        place = torch.arange(hidden.shape[1], device=hidden.device)
        block = place // self.config.block
        visible = (place[None] <= place[:, None]) | (block[None] == block[:, None])
        visible = visible & real.bool()[:, None, :]
        lowest = torch.finfo(hidden.dtype).min
        return torch.zeros_like(visible, dtype=hidden.dtype).masked_fill(~visible, lowest)[:, None]


def tokenizer_keys(config: TokenizerConfig) -> list[str]:
    """Every key of a released tokenizer of this depth, written out from the layout alone."""
    layer = [
        *(f"self_attn.{p}_proj.{kind}" for p in ("q", "v", "out") for kind in ("weight", "bias")),
        "self_attn.k_proj.weight",
        *(f"{p}.{kind}" for p in ("fc1", "fc2") for kind in ("weight", "bias")),
        *(f"{p}.{kind}" for p in ("self_attn_layer_norm", "final_layer_norm") for kind in ("weight", "bias")),
    ]
    return [
        *(f"conv{n}.{kind}" for n in (1, 2) for kind in ("weight", "bias")),
        *("embed_positions.weight", "embed_positions2.weight", "codebook.weight", *STATISTICS),
        *(f"layers.{i}.{name}" for i in range(config.layers) for name in layer),
    ]
