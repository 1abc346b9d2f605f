"""What a model answers to prompts, many at a time: the text and the audio tokens, and how it went about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from tqdm.auto import tqdm
from transformers import PreTrainedTokenizerBase

from labkit.audio.codec import Codec
from labkit.data.corpus import Utterance
from labkit.data.word_tokens import said_tokens
from labkit.generation import generate
from labkit.generation.events import Event
from labkit.generation.matching import check_match
from labkit.interleave import Content, InterleaveMode, content_of, deinterleave, interleave
from labkit.model import SpeechLM
from labkit.statistics import Estimate, mean, proportion
from labkit.vocabulary import Chat, Vocabulary
from labkit.vocabulary.prompts import Messages

MAX_NEW_TOKENS = 256
"""Some 14 seconds of speech with its text, twice what the longest sentence of the toy corpus takes."""

Prompt = tuple[Messages, Sequence[Sequence[int]]]
"""Messages, and for each ``<|audio|>`` in them its codes."""


@dataclass(frozen=True)
class Answer:
    """What a model made of one prompt.

    Attributes:
        text: its text tokens as text, wherever they stood.
        codes: its audio tokens as codebook entries, wherever they stood.
        ended: whether it closed its turn within the limit of new tokens.
        well_formed: whether audio tokens stood inside the audio tags and text outside, with every tag paired.
        in_layout: whether text and audio took turns as the mode's content says.
        backbone_passes: slots that the backbone made, the one that ended the turn included.
        module_steps: slots that MCTP modules made.
    """

    text: str
    codes: tuple[int, ...]
    ended: bool
    well_formed: bool
    in_layout: bool
    backbone_passes: int
    module_steps: int


@dataclass(frozen=True)
class SpeechSystem:
    """A model with the tokenizer and the codec that it was trained with.

    Args:
        model: backbone and chain.
        tokenizer: holds the model's id space.
        codec: whose tokens the audio tokens are.
        batch: how many prompts to answer at a time.
        max_new_tokens: where an answer that does not end is cut.

    Raises:
        ValueError: they do not belong together, or a number below 1.
    """

    model: SpeechLM
    tokenizer: PreTrainedTokenizerBase
    codec: Codec
    batch: int = 64
    max_new_tokens: int = MAX_NEW_TOKENS

    def __post_init__(self) -> None:
        check_match(self.model, self.vocabulary, self.codec)
        for name in ("batch", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @cached_property
    def chat(self) -> Chat:
        """Encodes conversations; made once, for reading the vocabulary off a tokenizer takes a while."""
        return Chat(self.tokenizer)

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's id space."""
        return self.chat.vocabulary

    def codes(self, utterance: Utterance) -> list[int]:
        """The audio tokens with which the model should say an utterance."""
        return said_tokens(self.codec, utterance).tolist()

    def heard(self, utterance: Utterance) -> list[int]:
        """The audio tokens in which the model hears an utterance: those that the codec makes of its sound."""
        return self.codec.encode(torch.from_numpy(utterance.waveform.copy()), utterance.sample_rate).tolist()

    def answer(
        self, prompts: Sequence[Prompt], mode: InterleaveMode, *, spoken: bool = True, progress: bool = True
    ) -> list[Answer]:
        """Greedy answers in the order of the prompts; those of like length are answered together.

        Args:
            prompts: what to answer.
            mode: who makes which token.
            spoken: whether speech is wanted. Then decoding is constrained, so that a model that has learned several
                layouts answers in the mode's; written answers are free, since no schedule gives them a place.
            progress: show a bar.

        Raises:
            ScheduleError: the mode needs more modules than the model has.
            ValueError: a prompt leaves no room for an answer.
        """
        rows = [self.chat.encode(*prompt, add_generation_prompt=True).input_ids for prompt in prompts]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        answers: dict[int, Answer] = {}
        with tqdm(
            total=len(rows), desc=f"answering in {mode.name}", unit="prompt", disable=not progress
        ) as bar:
            for start in range(0, len(order), self.batch):
                chosen = order[start : start + self.batch]
                made = self._generate([rows[index] for index in chosen], mode, self.vocabulary, spoken)
                answers |= zip(chosen, made, strict=True)
                bar.update(len(chosen))
        return [answers[index] for index in range(len(rows))]

    @torch.inference_mode()
    def _generate(
        self, prompts: list[list[int]], mode: InterleaveMode, vocabulary: Vocabulary, spoken: bool
    ) -> list[Answer]:
        room = self.model.config.max_position_embeddings - max(map(len, prompts))
        limit = max(1, min(self.max_new_tokens, room))
        events = generate(
            self.model, prompts, mode, max_new_tokens=limit, vocabulary=vocabulary, constrained=spoken
        )
        return read_answers(events, len(prompts), mode, self.tokenizer, vocabulary)


def read_answers(
    events: Iterable[Event],
    count: int,
    mode: InterleaveMode,
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: Vocabulary,
) -> list[Answer]:
    """The answers to so many prompts, out of the tokens that are made for them in turn."""
    ids: list[list[int]] = [[] for _ in range(count)]
    by_backbone = [0] * count
    for event in events:
        ids[event.row].append(event.id)
        by_backbone[event.row] += event.module is None
    return [
        read_answer(row, passes, mode, tokenizer, vocabulary)
        for row, passes in zip(ids, by_backbone, strict=True)
    ]


def read_answer(
    ids: Sequence[int],
    backbone_passes: int,
    mode: InterleaveMode,
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: Vocabulary,
) -> Answer:
    """Take generated ids apart. Whatever is audio is spoken and whatever is text is read, well-formed or not."""
    ended = bool(ids) and ids[-1] in vocabulary.end_of_turn
    body = list(ids[:-1] if ended else ids)
    text = [token for token in body if vocabulary.is_text(token)]
    audio = [token for token in body if vocabulary.is_audio(token)]
    laid_out = interleave(text, audio, mode, vocabulary)
    return Answer(
        text=tokenizer.decode(text).strip(),
        codes=tuple(vocabulary.audio_codes(audio)),
        ended=ended,
        well_formed=_well_formed(body, ended, vocabulary),
        in_layout=body == laid_out,
        backbone_passes=backbone_passes,
        module_steps=len(ids) - backbone_passes,
    )


def answer_measures(answers: Sequence[Answer], *, spoken: bool) -> dict[str, Estimate]:
    """How a model went about its answers, with 95% intervals: endings, format, and the work behind each.

    Spoken answers are decoded within the mode's layout (`SpeechSystem.answer`). That few of them break the format, and
    that their layout is the mode's, is therefore partly by construction, and says less of the model than it would of
    one that decodes freely.

    Args:
        answers: at least two, or none, which gives no measures.
        spoken: whether there should be speech in them; if not, any audio breaks the format.
    """
    if not answers:
        return {}
    n = len(answers)
    broken = [not answer.well_formed or (bool(answer.codes) and not spoken) for answer in answers]
    measures = {
        "never ended": proportion(sum(not answer.ended for answer in answers), n),
        "broke the format": proportion(sum(broken), n),
    }
    if spoken:
        measures["layout as the mode's"] = proportion(sum(answer.in_layout for answer in answers), n)
    return measures | {
        "backbone passes per answer": mean([answer.backbone_passes for answer in answers]),
        "module steps per answer": mean([answer.module_steps for answer in answers]),
    }


def _well_formed(body: Sequence[int], ended: bool, vocabulary: Vocabulary) -> bool:
    tags = (vocabulary.begin_of_audio, vocabulary.end_of_audio)
    if any(
        (vocabulary.is_special(token) and token not in tags) or token >= vocabulary.size for token in body
    ):
        return False
    try:
        deinterleave(body, vocabulary)
    except ValueError:
        return False
    last = next(
        (token for token in reversed(body) if content_of(token, vocabulary) is not Content.AUDIO), None
    )
    return not (ended and last == vocabulary.begin_of_audio)
