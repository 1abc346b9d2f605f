"""Tiny random releases on disk, written once for all tests, and their parts."""

import tempfile
from functools import cache
from pathlib import Path

import torch

from labkit.audio.glm4_voice.codec import GLM4VoiceCodec, GLM4VoiceDecoder, GLM4VoiceTokenizer
from labkit.generation.release import Release, load_release
from labkit.generation.tasks import Assistant
from labkit.generation.tiny_release import write_tiny_release

torch.set_num_threads(1)
_FOLDER = tempfile.TemporaryDirectory()  # removed when the tests end


@cache
def release(plus: bool = False) -> Release:
    """Written once; copy it to change it."""
    return write_tiny_release(Path(_FOLDER.name) / ("plus" if plus else "boost"), plus=plus)


@cache
def codec(dtype: torch.dtype = torch.float32) -> GLM4VoiceCodec:
    files = release()
    return GLM4VoiceCodec(
        GLM4VoiceTokenizer.load(files.tokenizer, tell=None),
        GLM4VoiceDecoder.load(files.decoder, dtype=dtype, tell=None),
    )


@cache
def assistant(plus: bool = False) -> Assistant:
    return load_release(release(plus), tell=None)


def noise(seconds: float, sample_rate: int = 16000, seed: int = 0) -> torch.Tensor:
    """Something to listen to, `(samples,)`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(round(seconds * sample_rate), generator=generator) * 0.1


def tokens(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(codec().size, (count,), generator=torch.Generator().manual_seed(seed))
