"""Supervised semantic speech tokenizer: log-mel frames to 12.5 audio tokens per second from a single codebook.

The idea is that of the GLM-4-Voice tokenizer that VITA-Audio uses (section 3.1 and table 3): put a quantiser inside
a network that is trained to recognise *what is said*, and the tokens keep the content of speech. There the
recogniser is Whisper; here it is a phoneme classifier on true phoneme times, with a reconstruction head beside it so
that the tokens keep timing, tone and loudness as well. Causal convolutions that look three tokens (0.24 s) ahead,
about a syllable, since a Mandarin tone cannot be told from its beginning: it streams, that much later.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from labkit.audio.causal import CausalStack
from labkit.audio.config import NetworkConfig
from labkit.audio.quantizer import Codebook


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(NetworkConfig):
    """Shape of a `SpeechTokenizer`; `phonemes` is the size of the supervision's label set."""

    phonemes: int
    codebook_size: int = 4096
    code_width: int = 64
    width: int = 192
    frame_kernels: tuple[int, ...] = (9, 9, 9, 9)
    token_kernels: tuple[int, ...] = (5, 5)
    head_kernels: tuple[int, ...] = (5, 5)
    head_look_ahead_tokens: int = 1
    look_ahead_frames: int = 15


class SpeechTokenizer(nn.Module):
    """Frames `(batch, frames, mel_bins)` to tokens `(batch, frames / 5)`; normalised log-mels in."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.config = config
        width, per_token = config.width, config.frames.frames_per_token
        self.enter = nn.Linear(config.frames.mel_bins, width)
        self.frame_stack = CausalStack(width, config.frame_kernels, look_ahead=config.look_ahead_frames)
        self.pool = nn.Linear(width * per_token, width)
        self.token_stack = CausalStack(width, config.token_kernels)
        self.to_code = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, config.code_width))
        self.codebook = Codebook(config.codebook_size, config.code_width)
        # What the tokens are trained to carry; used in training and by lesson 01, never by `encode`.
        self.from_code = nn.Linear(config.code_width, width)
        self.head_stack = CausalStack(width, config.head_kernels, look_ahead=config.head_look_ahead_tokens)
        self.phoneme_head = nn.Linear(width, per_token * config.phonemes)
        self.mel_head = nn.Linear(width, per_token * config.frames.mel_bins)

    def features(self, mel: torch.Tensor) -> torch.Tensor:
        """What is about to be quantised: `(batch, frames, mel_bins) -> (batch, tokens, code_width)`."""
        pooled = self.pool_frames(self.frame_stack(self.enter(mel)))
        return self.to_code(self.token_stack(pooled))

    def pool_frames(self, x: torch.Tensor) -> torch.Tensor:
        """Five frames into one token: `(batch, frames, width) -> (batch, frames / 5, width)`.

        Raises:
            ValueError: if the frames are not a whole number of tokens.
        """
        batch, frames, width = x.shape
        per_token = self.config.frames.frames_per_token
        if frames % per_token:
            raise ValueError(
                f"{frames} frames are not a whole number of tokens; pad to a multiple of {per_token}"
            )
        return self.pool(x.reshape(batch, frames // per_token, per_token * width))

    def encode(self, mel: torch.Tensor) -> torch.Tensor:
        """Tokens of normalised log-mels: `(batch, frames, mel_bins) -> (batch, frames / 5)`, int64."""
        return self.codebook.encode(self.features(mel))

    def heads(self, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the supervision back from codes `(batch, tokens, code_width)`.

        Returns phoneme logits `(batch, frames, phonemes)` and mels `(batch, frames, mel_bins)`.
        """
        x = self.head_stack(self.from_code(code))
        batch, tokens, _ = x.shape
        frames = tokens * self.config.frames.frames_per_token
        return self.phoneme_head(x).reshape(batch, frames, -1), self.mel_head(x).reshape(batch, frames, -1)
