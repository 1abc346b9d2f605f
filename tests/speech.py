"""A small spoken world to test evaluation in: a codec that loses nothing, and models that say what they are told."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial

import pytest
import torch
from tiny import tiny_model
from transformers import PreTrainedTokenizerBase

from labkit.audio.codec import Codec, DecodeStream
from labkit.data.corpus import Corpus, CorpusSpec, Utterance, generate
from labkit.evaluation import answers
from labkit.evaluation.answers import Prompt, SpeechSystem
from labkit.evaluation.listener import Listener
from labkit.evaluation.recogniser import PhonemeJudge
from labkit.generation import Event
from labkit.interleave import InterleaveMode, content_of, interleave
from labkit.model import SpeechLM
from labkit.vocabulary import Chat, Vocabulary, train_toy_tokenizer

AUDIO_TOKENS = 4096
SPEC = CorpusSpec(sentences=0, validation=0, test=4, probes=4)


@cache
def corpus() -> Corpus:
    """Some forty held-out utterances in two languages; a second to speak, once a machine."""
    return generate(SPEC, progress=False)


class Recorder(Codec):
    """A codec whose codebook is the very chunks of sound it was given: decoding loses nothing at all."""

    sample_rate, token_rate, size = 16_000, 12.5, AUDIO_TOKENS

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._chunks: list[torch.Tensor] = []

    def encode(self, waveform: object, sample_rate: int) -> torch.Tensor:
        samples = torch.as_tensor(waveform)
        chunks = torch.nn.functional.pad(samples, (0, -len(samples) % 1280)).split(1280)
        return torch.tensor([self._number(chunk) for chunk in chunks])

    def _number(self, chunk: torch.Tensor) -> int:
        name = chunk.numpy().tobytes()
        if name not in self._numbers:
            self._numbers[name] = len(self._chunks)
            self._chunks.append(chunk)
        return self._numbers[name]

    def decode(self, tokens: Sequence[int], steps: int = 10, *, seed: int = 0) -> torch.Tensor:
        silence = torch.zeros(1280)
        known = [self._chunks[token] if token < len(self._chunks) else silence for token in tokens]
        return torch.cat(known)

    def stream(self, steps: int | Sequence[int] = 1, *, seed: int = 0) -> DecodeStream:
        raise NotImplementedError("evaluation decodes whole utterances")


@cache
def recorder() -> Recorder:
    return Recorder()


@cache
def listener() -> Listener:
    return Listener(recorder(), PhonemeJudge.load())


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    return train_toy_tokenizer([each.text for each in corpus()], AUDIO_TOKENS, vocab_size=600)


def speech_model(modules: int = 10, **overrides: object) -> SpeechLM:
    return tiny_model(modules, **{"vocab_size": Chat(tokenizer()).vocabulary.padded_size, **overrides})


def system(model: SpeechLM | None = None, **settings: int) -> SpeechSystem:
    return SpeechSystem(speech_model(0) if model is None else model, tokenizer(), recorder(), **settings)


def true_answer(utterance: Utterance, mode: InterleaveMode) -> list[int]:
    """The ids of an utterance's text and speech as a perfect model would make them, its end included."""
    chat = Chat(tokenizer())
    text = tokenizer()(utterance.text, add_special_tokens=False)["input_ids"]
    audio = chat.vocabulary.audio_ids(recorder().encode(utterance.waveform, 16_000).tolist())
    return [*interleave(text, audio, mode, chat.vocabulary), chat.vocabulary.im_end]


def told(
    monkeypatch: pytest.MonkeyPatch, script: Sequence[tuple[Prompt, Callable[[InterleaveMode], list[int]]]]
) -> None:
    """Let every model answer each prompt with the ids that the script gives for a mode."""
    chat = Chat(tokenizer())
    by_prompt = {
        tuple(chat.encode(*prompt, add_generation_prompt=True).input_ids): ids for prompt, ids in script
    }
    monkeypatch.setattr(answers, "generate", partial(_generate, by_prompt))


def _generate(
    by_prompt: Mapping[tuple[int, ...], Callable[[InterleaveMode], list[int]]],
    model: SpeechLM,
    prompts: Sequence[Sequence[int]],
    mode: InterleaveMode,
    *,
    max_new_tokens: int,
    vocabulary: Vocabulary,
    constrained: bool,
) -> Iterator[Event]:
    for row, prompt in enumerate(prompts):
        for index, token in enumerate(by_prompt[tuple(prompt)](mode)[:max_new_tokens]):
            yield Event(token, content_of(token, vocabulary), mode.maker(index), index, 0.0, row)
