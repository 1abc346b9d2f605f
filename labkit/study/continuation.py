"""Let a model speak from the middle of an utterance: the true audio up to a word, then its own.

What it is to say is laid out as a `Script`. Text and tags keep their places, whatever the model would have made of
them, and audio tokens before the span are the true ones; within the span the model chooses every audio token itself,
greedily. So conditions differ in nothing but what the experiment changes, and the word's onset is known exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch.nn.functional import linear
from tqdm.auto import tqdm

from labkit.evaluation.answers import SpeechSystem
from labkit.generation.decode import decode
from labkit.generation.state import GenerationState
from labkit.interleave import InterleaveMode
from labkit.study.script import Script

FREE = -1


@dataclass(frozen=True)
class Continuation:
    """What a model said in a span of audio tokens.

    Attributes:
        codes: the audio tokens it chose, as codebook entries.
        logits: ``(span, codes)`` of every audio token when each was chosen; None unless asked for.
    """

    codes: tuple[int, ...]
    logits: torch.Tensor | None = None


Change = Callable[[Sequence[int]], AbstractContextManager]
"""From the indices of the scripts (or contrasts) in a batch to what is to be in force while they are continued or read,
such as ``lambda rows: model.knocked_out(...)`` with token sets that hold one range for each of them."""


@torch.inference_mode()
def go_on(
    system: SpeechSystem,
    scripts: Sequence[Script],
    spans: Sequence[range],
    mode: InterleaveMode,
    *,
    change: Change | None = None,
    keep_logits: bool = False,
    progress: bool = True,
    title: str = "speaking",
) -> list[Continuation]:
    """The model's own audio tokens in a span of each script, in the order of the scripts.

    Args:
        system: the model with its tokenizer and codec; its `batch` scripts are continued together.
        scripts: laid out in this mode.
        spans: for each script the audio tokens to be chosen, by place in `Script.audio`. May end after the true
            audio: then audio tokens go on where the true ones end.
        mode: who makes which token.
        change: puts knockouts, patches or traces in force, batch by batch; nothing unless given.
        keep_logits: keep what each choice was made from.
        progress: show a bar.
        title: on it.

    Raises:
        ScheduleError: the mode needs more modules than the model has.
        ValueError: as many spans as scripts are needed, none empty or beginning after the true audio.
    """
    made: dict[int, Continuation] = {}
    for rows, batch in _batches(system, scripts, spans, mode, keep_logits, progress, title):
        with change(rows) if change else nullcontext():
            made |= zip(rows, batch.speak(batch.read()), strict=True)
    return [made[index] for index in range(len(scripts))]


@torch.inference_mode()
def go_on_each(
    system: SpeechSystem,
    scripts: Sequence[Script],
    spans: Sequence[range],
    mode: InterleaveMode,
    changes: Sequence[Change | None],
    *,
    progress: bool = True,
    title: str = "speaking",
) -> list[list[Continuation]]:
    """`go_on` under each of several changes; what comes before the spans is read once for all of them.

    So no change may touch a row before the one that makes a span's first audio token (in modes with modules: before
    the row of the backbone from which that token's module goes on). Use `go_on` for one that does.

    Args:
        system, scripts, spans, mode, progress, title: as for `go_on`.
        changes: what is put in force in turn; None for nothing.

    Returns:
        For each change the continuations, in the order of the scripts.

    Raises:
        ScheduleError, ValueError: as `go_on`.
    """
    made: list[dict[int, Continuation]] = [{} for _ in changes]
    for rows, batch in _batches(system, scripts, spans, mode, False, progress, title):
        state = batch.read()
        mark = state.mark()
        for change, own in zip(changes, made, strict=True):
            with change(rows) if change else nullcontext():
                own |= zip(rows, batch.speak(state), strict=True)
            state.rewind(mark, system.model.config.num_hidden_layers)
    return [[own[index] for index in range(len(scripts))] for own in made]


def _batches(
    system: SpeechSystem,
    scripts: Sequence[Script],
    spans: Sequence[range],
    mode: InterleaveMode,
    keep_logits: bool,
    progress: bool,
    title: str,
) -> Iterator[tuple[list[int], _Batch]]:
    """Scripts that are continued together, with their indices."""
    mode.require_modules(system.model.num_modules)
    if len(scripts) != len(spans):
        raise ValueError(f"{len(scripts)} scripts, but {len(spans)} spans; give one for each")
    for script, span in zip(scripts, spans, strict=True):
        if not span or not 0 <= span.start < len(script.audio):
            raise ValueError(f"{span} is no span of the {len(script.audio)} audio tokens of a script")
    plans = [_plan(script, span) for script, span in zip(scripts, spans, strict=True)]
    # Scripts that begin alike share most of what is known beforehand, which one pass reads at once.
    order = sorted(range(len(scripts)), key=lambda index: plans[index].index(FREE))
    with tqdm(total=len(scripts), desc=title, unit="utterance", disable=not progress) as bar:
        for start in range(0, len(order), system.batch):
            rows = order[start : start + system.batch]
            yield (
                rows,
                _Batch(system, [scripts[i] for i in rows], [plans[i] for i in rows], mode, keep_logits),
            )
            bar.update(len(rows))


def _plan(script: Script, span: range) -> list[int]:
    """The answer's tokens up to the end of the span, `FREE` where the model chooses."""
    inside = [place for place in span if place < len(script.audio)]
    answer = list(script.ids[script.prompt : script.audio[inside[-1]] + 1])
    for place in inside:
        answer[script.audio[place] - script.prompt] = FREE
    return answer + [FREE] * (len(span) - len(inside))


class _Batch:
    """Scripts that are continued together, in two steps: what is known is read, and then the model speaks."""

    def __init__(
        self,
        system: SpeechSystem,
        scripts: Sequence[Script],
        plans: Sequence[list[int]],
        mode: InterleaveMode,
        keep_logits: bool,
    ) -> None:
        self.model, self.vocabulary, self.mode = system.model, system.vocabulary, mode
        self.plans, self.keep_logits = plans, keep_logits
        self.known = [plan.index(FREE) for plan in plans]
        if mode.modules_needed:  # who makes a slot depends on its place, which is to be the same in every row
            common = min(self.known)
            while mode.maker(common) is not None:  # a module reads what its backbone pass has left
                common -= 1
            self.known = [common] * len(plans)
        laid_out = list(zip(scripts, plans, self.known, strict=True))
        self.prompts = [script.ids[: script.prompt] + tuple(plan[:known]) for script, plan, known in laid_out]
        self.slots = max(len(plan) - known for _, plan, known in laid_out)
        # Who is done earlier goes on as it likes; nobody listens.
        rest = [plan[known:] for _, plan, known in laid_out]
        self.wanted = torch.tensor([own + [FREE] * (self.slots - len(own)) for own in rest])
        self.wanted = self.wanted.to(self.model.device)

    def read(self) -> GenerationState:
        """All that is known but its last token, whose row makes the first token that is not."""
        shorter = [prompt[:-1] for prompt in self.prompts]
        state = GenerationState(self.model, shorter, self.slots + 1, self.mode.modules_needed)
        state.advance(self.model, 0)
        return state

    def speak(self, state: GenerationState) -> Iterator[Continuation]:
        """Each script's continuation from what was read."""
        vocabulary, wanted = self.vocabulary, self.wanted
        audio = self.model.backbone.lm_head.weight[vocabulary.audio_offset : vocabulary.size]

        def head(hidden: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            logits = linear(hidden, audio)
            chosen = logits.argmax(-1) + vocabulary.audio_offset
            return torch.where(wanted[:, index] == FREE, chosen, wanted[:, index]), logits

        def maker(index: int) -> int | None:
            return self.mode.maker(index + self.known[0])

        state.append(torch.tensor([prompt[-1] for prompt in self.prompts], device=self.model.device))
        made, kept = [], []
        for step in decode(self.model, state, maker, head, self.slots):
            made.append(step.ids)
            if self.keep_logits:
                kept.append(step.logits.float().cpu())
        ids = torch.stack(made, 1).tolist()
        logits = torch.stack(kept, 1) if self.keep_logits else None
        for row, (plan, known) in enumerate(zip(self.plans, self.known, strict=True)):
            free = [place for place in range(len(plan) - known) if plan[known + place] == FREE]
            codes = vocabulary.audio_codes([ids[row][place] for place in free])
            yield Continuation(tuple(codes), None if logits is None else logits[row, free])
