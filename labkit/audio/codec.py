"""The codec interface: waveform to audio tokens and back, whole or streaming.

Everything above this room speaks to a codec through these classes, so the toy codec and the released tokenizer
and decoder are interchangeable. A codec keeps nothing between calls: what a stream remembers lives in its stream.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

import torch

STREAMING_STEPS = (1, 3, 5, 7, 9, 10)
"""Euler steps of the first, second, ... chunk of a stream; later chunks take the last. The first sound comes out after
one step and quality grows while it plays (section 4.4, "Latency")."""


class TokenError(ValueError):
    """Audio tokens that no codebook entry answers to."""


class WeightsError(RuntimeError):
    """Weights that are missing or do not fit; the message says where they come from."""


def step_schedule(steps: int | Sequence[int]) -> tuple[int, ...]:
    """Euler steps of the first, second, ... chunk of a stream, and of all later ones.

    Raises:
        ValueError: there is none, or one is not a whole number of at least 1.
    """
    schedule = tuple(steps) if isinstance(steps, Sequence) else (steps,)
    if not schedule:
        raise ValueError("a stream needs at least one number of Euler steps")
    for count in schedule:
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"Euler steps must be a whole number of at least 1, not {count!r}")
    return schedule


class DecodeStream(ABC):
    """Tokens in, sound out, in order; every sample comes exactly once."""

    @abstractmethod
    def push(self, tokens: torch.Tensor | Sequence[int]) -> torch.Tensor:
        """Sound `(samples,)` that this chunk of tokens settles; may be shorter than the chunk, never revised."""

    @abstractmethod
    def finish(self) -> torch.Tensor:
        """The rest of the sound `(samples,)`; the stream takes no tokens afterwards."""


class ContinuousEncoder(ABC):
    """Waveform to rows of numbers, which stand in a prompt where a codec's tokens would; there is no way back.

    Attributes:
        width: numbers in a row.
    """

    width: int

    @abstractmethod
    def encode(self, waveform: object, sample_rate: int) -> torch.Tensor:
        """Rows `(rows, width)` of speech at any sample rate.

        Raises:
            AudioInputError: if `waveform` is empty, too short, holds NaN or infinity, or is no audio.
        """


class SpeechTokenizer(Protocol):
    """What makes audio tokens of sound: a codec, or a tokenizer that cannot speak, such as GLM-4-Voice's.

    Attributes:
        sample_rate: in Hz, at which it is given sound.
        size: number of different audio tokens.
        token_rate: audio tokens per second.
    """

    sample_rate: int
    size: int
    token_rate: float

    def encode(self, waveform: object, sample_rate: int) -> torch.Tensor:
        """Audio tokens ``(tokens,)``."""


class Codec(ABC):
    """Waveform to audio tokens and back.

    Attributes:
        sample_rate: Hz of every waveform it returns.
        token_rate: audio tokens per second.
        size: number of different audio tokens; tokens are 0 .. size - 1.
    """

    sample_rate: int
    token_rate: float
    size: int

    @abstractmethod
    def encode(self, waveform: object, sample_rate: int) -> torch.Tensor:
        """Audio tokens `(tokens,)`, int64, of speech at any sample rate (see `labkit.audio.io.as_mono`).

        Raises:
            AudioInputError: if `waveform` is empty, holds NaN or infinity, or is no audio.
        """

    @abstractmethod
    def decode(self, tokens: torch.Tensor | Sequence[int], steps: int = 10, *, seed: int = 0) -> torch.Tensor:
        """Waveform `(samples,)`, float32 in [-1, 1], of audio tokens in `steps` Euler steps.

        Raises:
            TokenError: if a token is out of range or not a whole number.
            ValueError: if `steps` is below 1.
        """

    @abstractmethod
    def stream(self, steps: int | Sequence[int] = STREAMING_STEPS, *, seed: int = 0) -> DecodeStream:
        """A stream that takes `steps` Euler steps, or `steps[i]` for its i-th chunk and `steps[-1]` from then on."""

    def check_tokens(self, tokens: torch.Tensor | Sequence[int]) -> torch.Tensor:
        """`tokens` as int64 `(tokens,)`.

        Raises:
            TokenError: naming the first token that is out of range.
        """
        checked = torch.as_tensor(tokens)
        if checked.ndim != 1:
            raise TokenError(
                f"audio tokens come as one row of numbers, not as an array of shape {tuple(checked.shape)}"
            )
        if checked.numel() and (checked.is_floating_point() or checked.dtype == torch.bool):
            raise TokenError(f"audio tokens are whole numbers, not {checked.dtype}")
        checked = checked.long()
        outside = ((checked < 0) | (checked >= self.size)).nonzero()
        if len(outside):
            place = int(outside[0])
            raise TokenError(
                f"audio token {int(checked[place])} at position {place} is outside this codec's 0..{self.size - 1}; "
                "vocabulary ids must be turned into codebook indices first"
            )
        return checked
