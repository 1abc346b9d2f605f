"""A batch of items, asked and judged: what the model wrote, what it said, and what the judge heard in that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch

from labkit.audio.io import AudioInputError
from labkit.evaluation.answers import Answer, read_answers
from labkit.evaluation.asr import text_units
from labkit.evaluation.benchmarks.items import ASR, QA, TTS, Clip, Item
from labkit.evaluation.judges.interface import WritingJudge
from labkit.evaluation.rates import edits
from labkit.generation import generate
from labkit.generation.tasks import Assistant
from labkit.interleave import InterleaveMode

SAMPLE_RATE = 16_000
"""Hz of all speech that is put into prompts; the benchmarks are at 16 or 24 kHz, and codecs listen at 16."""


@dataclass(frozen=True)
class BenchmarkRow:
    """One item and what became of it.

    Attributes:
        item, language, task: as the benchmark has them.
        references: what it was held to.
        fault: why there is no result, None if there is one.
        written: the model's text; None where no model was asked.
        heard: what the judge wrote down of the speech; None where nobody listened.
        units, errors: words or characters of the reference, and the edits from what was written (ASR) or heard (TTS).
        right_text, right_speech: whether text and speech hold an answer (spoken questions).
        ended: whether the model closed its turn.
        seconds: of speech that the model made.
    """

    item: str
    language: str
    task: str
    references: tuple[str, ...]
    fault: str | None = None
    written: str | None = None
    heard: str | None = None
    units: int = 0
    errors: int = 0
    right_text: bool | None = None
    right_speech: bool | None = None
    ended: bool | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Examiner:
    """A model and a judge.

    Args:
        assistant: who is asked.
        judge: who listens; not needed for speech recognition.
        max_new_tokens: where an answer that does not end is cut.
        steps: Euler steps of the codec.
        constrained: score only the tokens that can stand in each slot, for models that know several layouts.
        spelling: British spellings and American ones, for English.
    """

    assistant: Assistant
    judge: WritingJudge | None = None
    max_new_tokens: int = 2048
    steps: int = 10
    constrained: bool = False
    spelling: Mapping[str, str] = field(default_factory=dict)

    def examine(self, items: Sequence[Item], mode: InterleaveMode) -> list[BenchmarkRow]:
        """Ask items of one task and language, all with speech in their prompt or none, and judge the answers.

        An item whose speech cannot be read or whose prompt is too long becomes a row that says so.

        Raises:
            ScheduleError: the mode needs more modules than the model has.
            ValueError: speech is to be judged and nobody is there to listen.
        """
        rows = [_row(item, self.spelling) for item in items]
        prompts: dict[int, tuple[list[int], torch.Tensor | None]] = {}
        for index, item in enumerate(items):
            if rows[index].fault is None:
                try:
                    prompts[index] = self._prompt(item)
                except AudioInputError as error:
                    rows[index] = replace(rows[index], fault=f"unreadable audio: {error}")
                except PromptTooLong as error:
                    rows[index] = replace(rows[index], fault=str(error))
        if not prompts:
            return rows
        answers = dict(zip(prompts, self._answers(list(prompts.values()), mode), strict=True))
        sounds = {}
        if items[0].task != ASR:
            sounds = {index: self._speech(answer) for index, answer in answers.items()}
        heard = self._heard(sounds, items[0].language)
        for index, answer in answers.items():
            rows[index] = self._judged(rows[index], answer, heard.get(index))
            if index in sounds:
                rows[index] = replace(
                    rows[index], seconds=len(sounds[index]) / self.assistant.codec.sample_rate
                )
        return rows

    def listen(self, items: Sequence[Item], *, through_codec: bool) -> list[BenchmarkRow]:
        """The judge's ceiling: what it hears where a person says the texts, as recorded or after the codec."""
        rows = [_row(item, self.spelling) for item in items]
        sounds: dict[int, torch.Tensor] = {}
        for index, item in enumerate(items):
            if rows[index].fault is None:
                try:
                    sounds[index] = self._recording(item, through_codec)
                except AudioInputError as error:
                    rows[index] = replace(rows[index], fault=f"unreadable audio: {error}")
        for index, heard in self._heard(sounds, items[0].language).items():
            rows[index] = self._counted(replace(rows[index], heard=heard), heard)
        return rows

    def _recording(self, item: Item, through_codec: bool) -> torch.Tensor:
        codec = self.assistant.codec
        waveform = _spoken(item).load(codec.sample_rate)
        return (
            codec.decode(codec.encode(waveform, codec.sample_rate), self.steps) if through_codec else waveform
        )

    def _prompt(self, item: Item) -> tuple[list[int], torch.Tensor | None]:
        audios = [(clip.load(SAMPLE_RATE), SAMPLE_RATE) for clip in item.clips]
        encoded, embeds = self.assistant.prompt(item.messages, audios)
        room = self.assistant.model.config.max_position_embeddings
        if len(encoded.input_ids) >= room:
            raise PromptTooLong(f"a prompt of {len(encoded.input_ids)} tokens leaves no room in {room}")
        return encoded.input_ids, embeds

    @torch.inference_mode()
    def _answers(
        self, prompts: Sequence[tuple[list[int], torch.Tensor | None]], mode: InterleaveMode
    ) -> list[Answer]:
        assistant, ids = self.assistant, [prompt for prompt, _ in prompts]
        embeds = [rows for _, rows in prompts if rows is not None]
        room = assistant.model.config.max_position_embeddings - max(map(len, ids))
        events = generate(
            assistant.model,
            ids,
            mode,
            max_new_tokens=min(self.max_new_tokens, room),
            vocabulary=assistant.vocabulary,
            constrained=self.constrained,
            prompt_embeds=embeds or None,
        )
        return read_answers(events, len(ids), mode, assistant.tokenizer, assistant.vocabulary)

    def _speech(self, answer: Answer) -> torch.Tensor:
        return self.assistant.codec.decode(answer.codes, self.steps) if answer.codes else torch.zeros(0)

    def _heard(self, sounds: Mapping[int, torch.Tensor], language: str) -> dict[int, str]:
        if not sounds:
            return {}
        if self.judge is None:
            raise ValueError("speech is to be judged: give a judge, such as WhisperJudge.load()")
        written = self.judge.write_all(list(sounds.values()), self.assistant.codec.sample_rate, language)
        return dict(zip(sounds, written, strict=True))

    def _judged(self, row: BenchmarkRow, answer: Answer, heard: str | None) -> BenchmarkRow:
        row = replace(row, written=answer.text, heard=heard, ended=answer.ended)
        if row.task == ASR:
            return self._counted(row, answer.text)
        if row.task == TTS:
            return self._counted(row, heard or "")
        return replace(
            row,
            right_text=holds_any(answer.text, row.references, row.language, self.spelling),
            right_speech=holds_any(heard or "", row.references, row.language, self.spelling),
        )

    def _counted(self, row: BenchmarkRow, text: str) -> BenchmarkRow:
        meant = text_units(row.references[0], row.language, self.spelling)
        return replace(row, errors=edits(meant, text_units(text, row.language, self.spelling)))


class PromptTooLong(ValueError):
    """A prompt that fills all positions that the model has."""


def holds_any(
    text: str, answers: Sequence[str], language: str, spelling: Mapping[str, str] | None = None
) -> bool:
    """Whether a text holds one of the answers, whole words or characters in a row, after normalization."""
    units = text_units(text, language, spelling)
    for answer in answers:
        wanted = text_units(answer, language, spelling)
        places = range(len(units) - len(wanted) + 1) if wanted else ()
        if any(units[place : place + len(wanted)] == wanted for place in places):
            return True
    return False


def _row(item: Item, spelling: Mapping[str, str]) -> BenchmarkRow:
    row = BenchmarkRow(item.name, item.language, item.task, item.references)
    counts = [len(text_units(reference, item.language, spelling)) for reference in item.references]
    if not any(counts):
        return replace(row, fault=f"nothing to count in {item.references[0]!r:.60} after normalization")
    return row if item.task == QA else replace(row, units=counts[0])


def _spoken(item: Item) -> Clip:
    if item.spoken is None:
        raise AudioInputError(f"{item.name} has no recording of a person")
    return item.spoken
