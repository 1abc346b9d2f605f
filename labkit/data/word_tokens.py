"""Audio tokens word by word: what a model is to learn to say where speech is made of words said alone.

An audio token knows of its neighbors' sound, so a codec seldom hears a word in the same tokens twice, even where it
sounds the same. Speech on a beat (`labkit.data.beat`) is words said alone, set side by side; tokenised one by one, as
they were said, they have the same tokens wherever they come, and what is left to learn is which word comes when. The
codec says such tokens as well as its own, since its decoder has learned both (`tests/test_data_word_tokens.py` listens
to them). What a model *hears* stays as the codec has it: nobody who speaks into a microphone keeps to a beat.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path

import numpy as np
import torch

from labkit.audio.codec import Codec
from labkit.data.audio_tokens import AudioTokens
from labkit.data.corpus import Corpus, Utterance

REST = 3
"""Audio tokens of silence on both sides of a word while it is tokenised."""

OFF_BEAT = 0.02
"""Audio tokens by which a word may begin or end off a whole number of them: less than two milliseconds."""


def said_tokens(codec: Codec, utterance: Utterance) -> np.ndarray:
    """Audio tokens (tokens,), int32, with which a model is to say an utterance.

    Word by word where every word begins and ends with an audio token, with the codec's token of silence between them;
    all at once, as `Codec.encode` has them, where one does not.

    Raises:
        AudioInputError: as `Codec.encode`.
    """
    edges = np.array([(word.start, word.end) for word in utterance.words]) * codec.token_rate
    samples = codec.sample_rate / codec.token_rate
    if utterance.sample_rate != codec.sample_rate or np.abs(edges - edges.round()).max() > OFF_BEAT:
        return _encode(codec, utterance.waveform)
    tokens = np.full(math.ceil(len(utterance.waveform) / samples), _silence(codec), np.int32)
    for start, end in edges.round().astype(int):
        word = utterance.waveform[round(start * samples) : round(end * samples)]
        tokens[start:end] = _alone(codec, word.tobytes())
    return tokens


class SaidTokens(AudioTokens):
    """The cache of `said_tokens` for the audio files of a corpus' export (`labkit.data.export`).

    Args:
        codec, folder: as for `AudioTokens`.
        corpus: what was exported.
    """

    KIND = "said"

    def __init__(self, codec: Codec, corpus: Corpus, *, folder: Path | None = None) -> None:
        super().__init__(codec, folder=folder)
        self._corpus = corpus

    def _kept_in(self, fingerprint: str) -> str:
        return f"{fingerprint}-{self.KIND}"

    def _encode(self, path: Path) -> np.ndarray:
        return said_tokens(self.codec, self._corpus[int(path.stem)])


@functools.lru_cache(maxsize=8_000)
def _alone(codec: Codec, samples: bytes) -> np.ndarray:
    """Audio tokens of a word between silences."""
    word = np.frombuffer(samples, np.float32)
    rest = np.zeros(round(REST * codec.sample_rate / codec.token_rate), np.float32)
    return _encode(codec, np.concatenate([rest, word, rest]))[REST:-REST]


@functools.lru_cache
def _silence(codec: Codec) -> int:
    """The audio token amid silence."""
    length = 4 * REST
    silence = np.zeros(round(length * codec.sample_rate / codec.token_rate), np.float32)
    return int(_encode(codec, silence)[length // 2])


def _encode(codec: Codec, waveform: np.ndarray) -> np.ndarray:
    return codec.encode(torch.from_numpy(waveform.copy()), codec.sample_rate).cpu().numpy().astype(np.int32)
