"""Generation as a stream of events: the one entry point for all modes, sampling and ways to decode."""

import time
from collections.abc import Collection, Iterator, Sequence

import torch

from labkit.generation.constraint import ConstrainedHead, FullHead
from labkit.generation.decode import Step, decode
from labkit.generation.events import Event, GenerationReport
from labkit.generation.fast import FastPath, FastState
from labkit.generation.makers import planned_makers, public_makers
from labkit.generation.sampling import Choose, greedy
from labkit.generation.state import GenerationState
from labkit.generation.verified import decode_verified
from labkit.interleave import VANILLA, InterleaveMode, content_of, parse
from labkit.model.speech_lm import SpeechLM
from labkit.vocabulary import Vocabulary

DEFAULT_MAX_NEW_TOKENS = 2048  # about a minute and a half of speech with its text

Prompts = Sequence[int] | Sequence[Sequence[int]] | torch.Tensor


class Generation:
    """A generation under way: iterate over it for its events.

    Attributes:
        report: the work done so far.
        state: tokens and caches so far.
    """

    def __init__(
        self,
        steps: Iterator[Step],
        state: GenerationState,
        report: GenerationReport,
        stop_ids: Collection[int],
        vocabulary: Vocabulary | None,
        begun: float,
    ) -> None:
        self.report, self.state = report, state
        self._stop_ids = frozenset(stop_ids)
        self._vocabulary = vocabulary
        self._events = self._run(steps, begun)

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def __next__(self) -> Event:
        return next(self._events)

    def _run(self, steps: Iterator[Step], begun: float) -> Iterator[Event]:
        finished = [False] * self.state.batch
        for step in steps:
            tokens = step.ids.tolist()  # waits for the device, so that the time below is the token's
            seconds = time.perf_counter() - begun
            for row, token in enumerate(tokens):
                if finished[row]:
                    continue
                if token in self._stop_ids:
                    finished[row] = self.state.finished[row] = True
                modality = content_of(token, self._vocabulary) if self._vocabulary else None
                yield Event(token, modality, step.module, step.index, seconds, row)
            if all(finished):
                return

    def ids(self) -> list[list[int]]:
        """Run to the end and return the new tokens of every sequence, the stop token included.

        Tokens of events that were taken before are not among them.
        """
        rows: list[list[int]] = [[] for _ in range(self.state.batch)]
        for event in self:
            rows[event.row].append(event.id)
        return rows


def generate(
    model: SpeechLM,
    prompts: Prompts,
    mode: InterleaveMode | str | Sequence[int] = VANILLA,
    *,
    max_new_tokens: int | None = None,
    choose: Choose = greedy,
    vocabulary: Vocabulary | None = None,
    stop_ids: Collection[int] | None = None,
    constrained: bool = False,
    measure_constraint: bool = False,
    verified: bool = False,
    drafts: int | None = None,
    fallback: str | None = None,
    prompt_embeds: Sequence[torch.Tensor] | None = None,
    fast: FastPath | None = None,
) -> Generation:
    """Generate tokens after one prompt or a batch of prompts.

        for event in generate(model, prompt, "boost", vocabulary=vocabulary):
            print(event.seconds, event.module, event.modality, event.id)

    Nothing is computed before the first event is asked for.

    Args:
        model: backbone and chain.
        prompts: token ids of one prompt, or a list of prompts of any lengths.
        mode: an interleave mode, its name, or a schedule such as ``[1, 10, 4, 10]``.
        max_new_tokens: per sequence; unless given, 2048 or as many as the model has positions for.
        choose: `greedy`, or a `labkit.generation.sampling.Sampler`.
        vocabulary: to tell the modality of tokens and to know where a turn ends.
        stop_ids: a sequence ends with any of these, whoever makes it. Unless given, the vocabulary's
            ``end_of_turn``, or none without a vocabulary.
        constrained: score only the tokens that can stand in each slot; see `labkit.generation.constraint`.
        measure_constraint: count how often that changed the likeliest token, at the cost of scoring all.
        verified: let the chain draft and the backbone verify; the tokens are Vanilla's, so ``mode`` must be.
        drafts: in verified decoding, tokens to draft per pass; as many as there are modules unless given.
        fallback: ``"public"`` to run any list of counts as the public code does, which falls back to the
            backbone where modules are missing. Only for comparison with its recordings.
        prompt_embeds: ``(len(prompt), hidden)`` per prompt in place of the embeddings of its ids.
        fast: the model made ready to decode; the tokens are the same.

    Raises:
        ScheduleError: the schedule is empty, odd, or needs more modules than the chain has.
        ValueError: an empty prompt, ids outside the vocabulary, more tokens than the model has positions
            for, or options that contradict each other.
    """
    rows = as_rows(prompts)
    room = model.config.max_position_embeddings - max(map(len, rows))
    tokens = min(DEFAULT_MAX_NEW_TOKENS, max(room, 1)) if max_new_tokens is None else max_new_tokens
    if tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, got {tokens}")
    if fallback not in (None, "public"):
        raise ValueError(f'fallback is None or "public", got {fallback!r}')
    if fallback and (constrained or verified or isinstance(mode, InterleaveMode | str)):
        raise ValueError("the public fallback takes a plain list of counts, and no other option goes with it")
    if fallback:
        makers, modules = public_makers(mode, model.num_modules, tokens), model.num_modules
    else:
        mode = parse(mode)
        makers, modules = planned_makers(mode, model.num_modules), mode.modules_needed
    if verified:
        modules = _check_drafts(model, mode, drafts)
    elif drafts is not None:
        raise ValueError("drafts are for verified decoding; pass verified=True")
    if constrained and vocabulary is None:
        raise ValueError("constrained decoding needs the vocabulary, which says what may stand where")
    if stop_ids is None:
        stop_ids = vocabulary.end_of_turn if vocabulary else ()

    if fast is not None and fast.model is not model:
        raise ValueError("this fast path was made for another model; give that one, or make another FastPath")

    begun = time.perf_counter()
    if fast is None:
        state = GenerationState(model, rows, tokens, modules, prompt_embeds)
    else:
        state = FastState(fast, rows, tokens, modules, prompt_embeds)
    report = GenerationReport()
    if constrained:
        head = ConstrainedHead(model, choose, mode, vocabulary, rows, report, measure_constraint)
    else:
        head = FullHead(model, choose)
    if verified:
        steps = decode_verified(model, state, head, tokens, modules, report)
    else:
        steps = decode(model, state, makers, head, tokens, report)
    return Generation(steps, state, report, stop_ids, vocabulary, begun)


def as_rows(prompts: Prompts) -> list[list[int]]:
    """One list of ids per prompt.

    Raises:
        ValueError: no prompt, or an empty one.
    """
    rows = prompts.tolist() if isinstance(prompts, torch.Tensor) else list(prompts)
    if rows and not isinstance(rows[0], Sequence | torch.Tensor):
        rows = [rows]
    rows = [[int(token) for token in row] for row in rows]
    if not rows or not all(rows):
        raise ValueError("the prompt is empty; the backbone needs at least one token to read")
    return rows


def _check_drafts(model: SpeechLM, mode: InterleaveMode, drafts: int | None) -> int:
    if mode.modules_needed:
        raise ValueError(f"verified decoding makes Vanilla's tokens; {mode.name} is another mode")
    wanted = model.num_modules if drafts is None else drafts
    if not 1 <= wanted <= model.num_modules:
        raise ValueError(
            f"{wanted} drafts asked for; the chain has {model.num_modules} modules to draft with"
        )
    return wanted
