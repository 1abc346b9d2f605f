"""Constrained decoding: in each slot only the tokens that can stand there may win, and only they are scored.

Inside an audio chunk that is an audio token or the tag that ends the chunk: 16385 of the release's 168072 rows,
so for an MCTP module, most of whose work is the shared head, the step becomes several times cheaper. Outside a
chunk it is text, the tag that begins a chunk or the end of the turn; only the last two where the mode's
schedule wants a chunk to begin. Being inside is read off the tokens, not off the schedule: the last chunk of an
answer is as long as its audio (see `labkit.interleave.interleave`).

The first chunk does not end before the schedule ends it. It tells a model that has learned several layouts, such
as Boost's and Balance's, which one this answer has; from there on the model ends its chunks by itself. Where the
schedule ends the first chunk, such a model cannot know yet: it may take the chunk for another layout's longer one and
say half of the audio before it goes on with the text. There the end of the chunk counts `END_ODDS` times.
"""

import math
from collections.abc import Sequence

import torch

from labkit.generation.events import GenerationReport
from labkit.generation.sampling import Choose
from labkit.interleave import Content, InterleaveMode
from labkit.model.few_rows import few_rows_linear
from labkit.model.speech_lm import SpeechLM
from labkit.vocabulary import Vocabulary

END_ODDS = 20
"""By how much the odds of a first chunk's end are raised where the schedule ends it.

A factor, not a rule, because a short answer's first chunk may be its last and go on there with the rest of its audio.
It counts on a model to find the end far likelier where more text follows than where none does: then the end wins in the
first case alone."""

Ranges = tuple[tuple[int, int], ...]


class FullHead:
    """The whole vocabulary may win everywhere."""

    def __init__(self, model: SpeechLM, choose: Choose) -> None:
        self._model, self._choose = model, choose

    @torch.no_grad()
    def __call__(self, hidden: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Choose the token of slot ``index`` from hidden states ``(batch, hidden)``.

        Returns:
            ids ``(batch,)`` and the logits ``(batch, candidates)`` that they were chosen from.
        """
        logits = self._model.head(hidden)
        return self._choose(logits), logits


class ConstrainedHead:
    """A head cut to the rows that can win.

    Args:
        model: whose head it is.
        choose: among the candidates.
        mode: says in which slots a chunk begins.
        vocabulary: says what each id is.
        prompts: to know whether a chunk is open.
        report: gets the counts.
        measure: also score the whole vocabulary, to count in how many slots the constraint, `END_ODDS` included,
            made another token the likeliest: under greedy choice, another token altogether. Under sampling the count
            leaves out what chance would have changed anyway. That costs what the cut saves.
    """

    def __init__(
        self,
        model: SpeechLM,
        choose: Choose,
        mode: InterleaveMode,
        vocabulary: Vocabulary,
        prompts: Sequence[Sequence[int]],
        report: GenerationReport,
        measure: bool = False,
    ) -> None:
        self._model, self._choose, self._mode, self._vocabulary = model, choose, mode, vocabulary
        self._report, self._measure = report, measure
        self._inside = [self._open(prompt) for prompt in prompts]
        self._first = [not inside for inside in self._inside]  # no chunk of the answer has ended yet
        self._ids: dict[Ranges, torch.Tensor] = {}
        if measure:
            report.constrained_changed = 0

    def _open(self, prompt: Sequence[int]) -> bool:
        tags = (self._vocabulary.begin_of_audio, self._vocabulary.end_of_audio)
        last = next((int(token) for token in reversed(prompt) if int(token) in tags), None)
        return last == self._vocabulary.begin_of_audio

    def candidates(self, inside: bool, slot: Content, first: bool = False) -> Ranges:
        """The ids that may win, as ranges ``(first, one past the last)``.

        Args:
            inside: whether an audio chunk is open.
            slot: what the schedule wants here.
            first: whether the chunk is the answer's first.
        """
        v = self._vocabulary
        if inside:
            audio, end = (v.audio_offset, v.size), (v.end_of_audio, v.end_of_audio + 1)
            return (audio,) if first and slot is Content.AUDIO else (end, audio)
        if slot is Content.BEGIN_OF_AUDIO:
            return tuple((token, token + 1) for token in (v.begin_of_audio, *v.end_of_turn))
        return (0, v.end_of_audio), (v.end_of_audio + 1, v.audio_offset)

    @torch.no_grad()
    def __call__(self, hidden: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """As `FullHead`; the candidates differ from slot to slot."""
        slot = self._mode.holds(index)
        states = zip(self._inside, self._first, strict=True)
        wanted = [self.candidates(inside, slot, first) for inside, first in states]
        if len(set(wanted)) == 1:
            logits, rows = self._cut(hidden, wanted[0]), self._rows(wanted[0])
        else:  # sequences of a batch stand at different places: score all, bar what each may not have
            logits = self._model.head(hidden)
            rows = self._rows(((0, logits.shape[-1]),))
            barred = torch.ones_like(logits, dtype=torch.bool)
            for row, ranges in enumerate(wanted):
                barred[row, self._rows(ranges)] = False
            logits = logits.masked_fill(barred, -torch.inf)
        logits = self._favor_end(logits, rows, slot)
        ids = rows[self._choose(logits)]
        self._count(hidden, logits, rows)
        for row, token in enumerate(ids.tolist()):
            ends = token == self._vocabulary.end_of_audio
            self._first[row] = self._first[row] and not ends
            self._inside[row] = self._open([token]) or (self._inside[row] and not ends)
        return ids, logits

    def _cut(self, hidden: torch.Tensor, ranges: Ranges) -> torch.Tensor:
        weight = self._model.backbone.lm_head.weight
        return torch.cat([few_rows_linear(hidden, weight[first:last]) for first, last in ranges], dim=-1)

    def _favor_end(self, logits: torch.Tensor, ids: torch.Tensor, slot: Content) -> torch.Tensor:
        """Where the schedule ends the first chunk, raise the odds of its end.

        Args:
            logits: ``(batch, candidates)``.
            ids: of the candidates, ``(candidates,)``.
            slot: what the schedule wants here.
        """
        first = [f and inside for f, inside in zip(self._first, self._inside, strict=True)]
        if slot is not Content.END_OF_AUDIO or not any(first):
            return logits
        column = int((ids == self._vocabulary.end_of_audio).nonzero())
        logits = logits.clone()
        logits[first, column] += math.log(END_ODDS)
        return logits

    def _rows(self, ranges: Ranges) -> torch.Tensor:
        """The ids of the candidates, in the order of their logits."""
        if ranges not in self._ids:
            ids = torch.cat([torch.arange(first, last) for first, last in ranges])
            self._ids[ranges] = ids.to(self._model.device)
        return self._ids[ranges]

    def _count(self, hidden: torch.Tensor, logits: torch.Tensor, ids: torch.Tensor) -> None:
        """Count the slots, and those whose likeliest candidate is not the likeliest of the whole vocabulary."""
        self._report.constrained_slots += len(logits)
        if self._measure:
            best = self._model.head(hidden).argmax(-1)
            self._report.constrained_changed += int((ids[logits.argmax(-1)] != best).sum())
