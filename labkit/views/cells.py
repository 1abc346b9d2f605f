"""Tokens as cells of a strip: what each holds, who made it, and which stretch of the sound belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from labkit.interleave import Content, InterleaveMode, content_of
from labkit.study.script import Script
from labkit.study.take import Take
from labkit.vocabulary import Vocabulary

POINTS = 12
"""Bins of the waveform under one audio token: as wide as a pixel and a half."""

KINDS = {
    Content.TEXT: "text",
    Content.BEGIN_OF_AUDIO: "begin",
    Content.AUDIO: "audio",
    Content.END_OF_AUDIO: "end",
}


@dataclass(frozen=True)
class Cell:
    """One token.

    Attributes:
        content: what it holds.
        module: the MCTP module that made it, None for the backbone.
        label: text to read on it.
        sounds: the stretch ``(start, end)`` of sound that belongs to it, in seconds; None if none does.
    """

    content: Content
    module: int | None
    label: str
    sounds: tuple[float, float] | None = None

    def row(self) -> list[object]:
        """As the browser gets it: ``[kind, module or -1, label, start, end]``."""
        start, end = self.sounds or (-1, -1)
        module = -1 if self.module is None else self.module
        return [KINDS[self.content], module, self.label, round(start, 3), round(end, 3)]


def cells_of_take(take: Take) -> list[Cell]:
    """The cells of a take. Which audio says which word is not known: a text token goes with the chunk after it."""
    labels = ["end" if mark is take.marks[-1] and take.ended else mark.text for mark in take.marks]
    marks = [(mark.content, mark.module, label) for mark, label in zip(take.marks, labels, strict=True)]
    return _timed(marks, take.token_rate, {})


def cells_of_script(script: Script, mode: InterleaveMode, vocabulary: Vocabulary) -> list[Cell]:
    """The cells of an utterance's answer, each word with the time in which it truly sounds."""
    answer = script.ids[script.prompt :]
    starts = {position: word for word, span in enumerate(script.written) for position in span}
    marks, times = [], {}
    for index, token in enumerate(answer):
        word = starts.get(script.prompt + index)
        first = word is not None and script.written[word][0] == script.prompt + index
        label = script.words[word] if first else "…" if word is not None else ""
        if index == len(answer) - 1:
            label = "end"
        if word is not None:
            times[index] = (script.utterance.words[word].start, script.utterance.words[word].end)
        marks.append((content_of(token, vocabulary), mode.maker(index), label))
    return _timed(marks, script.token_rate, times)


def _timed(
    marks: Sequence[tuple[Content, int | None, str]], rate: float, known: dict[int, tuple[float, float]]
) -> list[Cell]:
    """Cells with their stretches of sound; where none is known, a text token gets that of the chunk after it."""
    before = np.cumsum([0] + [content is Content.AUDIO for content, _, _ in marks])
    cells = []
    for index, (content, module, label) in enumerate(marks):
        sounds = known.get(index)
        if content is Content.AUDIO:
            sounds = (before[index] / rate, (before[index] + 1) / rate)
        elif content is Content.TEXT and sounds is None:
            chunk = _chunk_after(marks, index)
            sounds = (before[chunk[0]] / rate, before[chunk[-1] + 1] / rate) if chunk else None
        if sounds is not None:
            sounds = (float(sounds[0]), float(sounds[1]))
        cells.append(Cell(content, module, label, sounds))
    return cells


def _chunk_after(marks: Sequence[tuple[Content, int | None, str]], index: int) -> list[int]:
    """Places of the audio tokens of the next chunk."""
    places: list[int] = []
    for place in range(index, len(marks)):
        if marks[place][0] is Content.AUDIO:
            places.append(place)
        elif places:
            break
    return places


def peaks(waveform: ArrayLike, sample_rate: int, rate: float, tokens: int) -> bytes:
    """The waveform under each audio token, as ``(tokens, POINTS, 2)`` lowest and highest samples in int8.

    Args:
        waveform: ``(samples,)``; what is missing at its end counts as silence.
        sample_rate: in Hz.
        rate: audio tokens per second.
        tokens: how many.
    """
    samples = np.asarray(waveform, dtype=np.float64)
    edges = np.round(np.arange(tokens * POINTS + 1) * sample_rate / (rate * POINTS)).astype(int)
    missing = int(edges[-1]) - len(samples)
    samples = np.pad(samples, (0, max(0, missing) + 1))
    starts = edges[:-1]
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    loudest = max(1e-3, float(np.abs(samples).max()))
    return np.round(np.stack([low, high], -1) * 127 / loudest).astype(np.int8).tobytes()
