"""Samples as ids and labels: text by the tokenizer, speech by the codec, answers interleaved by a mode's schedule."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedTokenizerBase

from labkit.data.audio_tokens import AudioTokens
from labkit.data.messages import Sample
from labkit.data.packing import EncodedSample
from labkit.interleave import InterleaveMode, interleave
from labkit.vocabulary import Chat

KNOWN_TEXTS = 100_000


class SampleEncoder:
    """Encodes samples and keeps the result: an epoch after the first costs no tokenising.

    What an assistant says in text and speech is text and audio tokens in turn, as the mode's `content` has it. Modes
    of equal content (Turbo and Boost, Balance and Vanilla) train on the very same ids.

    Args:
        tokenizer: holds the special and audio tokens.
        audio: where audio tokens come from; None where nothing is spoken.
        said: where those come from that an assistant says; None for `audio`.

    Raises:
        ValueError: the codec makes more audio tokens than the tokenizer holds.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        audio: AudioTokens | None = None,
        said: AudioTokens | None = None,
    ) -> None:
        self.audio, self.said = audio, audio if said is None else said
        self._tokenizer = RememberingTokenizer(tokenizer)
        self._chats: dict[object, Chat] = {}
        self._encoded: dict[object, EncodedSample] = {}
        self.vocabulary = Chat(tokenizer).vocabulary
        if audio is not None and audio.codec.size > self.vocabulary.audio_count:
            raise ValueError(
                f"the codec makes {audio.codec.size} audio tokens, the tokenizer holds "
                f"{self.vocabulary.audio_count}; train or extend a tokenizer with audio_tokens={audio.codec.size}"
            )

    def encode(self, sample: Sample, mode: InterleaveMode) -> EncodedSample:
        """A sample as ids and labels; targets are what the assistant says.

        Raises:
            SampleError: the conversation cannot be encoded, or its audio cannot be read.
        """
        speaks = bool(sample.audios)  # without audio the mode decides nothing
        key = sample.path, sample.line, mode.content if speaks else None
        if key not in self._encoded:
            self._encoded[key] = self._encode(sample, self._chat(mode))
        return self._encoded[key]

    def _chat(self, mode: InterleaveMode) -> Chat:
        if mode.content not in self._chats:
            arrange = functools.partial(interleave, mode=mode, vocabulary=self.vocabulary)
            self._chats[mode.content] = Chat(self._tokenizer, arrange)
        return self._chats[mode.content]

    def _encode(self, sample: Sample, chat: Chat) -> EncodedSample:
        if sample.audios and self.audio is None:
            raise sample.error("no codec", "it holds audio; give a codec, or leave this dataset out")
        try:
            audios = [
                (self.said if is_said else self.audio)[path]
                for path, is_said in zip(sample.audios, sample.said, strict=True)
            ]
            encoded = chat.encode(sample.messages, audios)
        except ValueError as error:  # AudioInputError, ChatError, VocabularyError: all say what to do
            raise sample.error("cannot be encoded", str(error)) from error
        ids, labels = (np.array(each, np.int32) for each in (encoded.input_ids, encoded.labels))
        return EncodedSample(ids, labels, sample.path, sample.line)


class RememberingTokenizer:
    """A tokenizer that tokenises a text once: prompts come in every sample, a sentence in ASR, TTS and text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._ids = functools.lru_cache(KNOWN_TEXTS)(self._tokenize)

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, Sequence[int]]:
        return {"input_ids": self._ids(text, add_special_tokens)}

    def __getattr__(self, name: str) -> object:
        return getattr(self._tokenizer, name)

    def _tokenize(self, text: str, add_special_tokens: bool) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"])
