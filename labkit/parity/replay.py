"""Replay recorded generations: tokens, makers, logits and the rows fed to each pass."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from labkit.generation.constraint import FullHead
from labkit.generation.decode import Step, decode
from labkit.generation.makers import Maker, planned_makers, public_makers
from labkit.generation.sampling import greedy
from labkit.generation.state import GenerationState
from labkit.interleave import ScheduleError, parse
from labkit.model.speech_lm import SpeechLM
from labkit.parity.cases import Case
from labkit.parity.checks import LOGITS, Check, equal, within


def check_mode(model: SpeechLM, case: Case, name: str) -> Iterator[Check]:
    """Generate as recorded and compare everything that was recorded of each token."""
    recorded = case.modes[name]
    tokens = len(recorded["tokens"])
    makers, remark = makers_of(model, recorded["mode"], tokens)
    state = GenerationState(model, [case.prompt(name)], tokens, model.num_modules)
    head = FullHead(model, greedy)
    steps = list(decode(model, state, makers, head, tokens))
    subject = f"{name} {recorded['mode']}"
    yield equal(subject, "tokens", [int(step.ids) for step in steps], recorded["tokens"])
    yield equal(subject, f"sources{remark}", [source(step) for step in steps], recorded["source"])
    yield within(subject, "logits", logit_difference(steps, recorded), LOGITS)
    for field, ours in (
        ("n_in", [step.fed for step in steps]),
        ("first_position", [step.first_column for step in steps]),
        ("kv_len_before", [step.first_column - stage(step) for step in steps]),
    ):
        if field in recorded:
            yield equal(subject, field, ours, recorded[field])


def makers_of(model: SpeechLM, counts: list[int], tokens: int) -> tuple[Maker, str]:
    """The makers of a schedule: as it says, or where that cannot be run, as the public code falls back."""
    try:
        return planned_makers(parse(counts), model.num_modules), ""
    except ScheduleError:
        return public_makers(counts, model.num_modules, tokens), " (public fallback; refused without it)"


def source(step: Step) -> int | str:
    """Who made a token, as the recordings spell it."""
    return "M" if step.module is None else step.module


def stage(step: Step) -> int:
    """0 for the backbone, ``k + 1`` for module ``k``."""
    return 0 if step.module is None else step.module + 1


def logit_difference(steps: list[Step], recorded: Mapping[str, Any]) -> float:
    """The largest difference of a recorded logit or log-sum-exp."""
    ours = torch.cat([step.logits for step in steps])
    ids = torch.tensor(recorded["top5_ids"])
    logits = (ours.gather(1, ids) - torch.tensor(recorded["top5_logits"])).abs().max()
    sums = (ours.logsumexp(1) - torch.tensor(recorded["logsumexp"])).abs().max()
    return float(torch.maximum(logits, sums))
