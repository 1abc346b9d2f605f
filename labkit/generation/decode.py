"""Decoding, step by step: whoever the schedule names makes the next token (paper section 3.4).

A backbone slot runs the backbone over every token it has not seen, the eleven of a whole Turbo step included.
An MCTP slot runs the next module of the chain over every token *it* has not seen. With causal masks both equal
a full recompute. `labkit.generation.verified` has the other way to decode.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from labkit.generation.events import GenerationReport
from labkit.generation.makers import Maker
from labkit.generation.state import GenerationState
from labkit.model.speech_lm import SpeechLM

Head = Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]
"""From hidden states ``(batch, hidden)`` and the slot's index to ids ``(batch,)`` and their logits."""


@dataclass(frozen=True)
class Step:
    """One token of every sequence.

    Attributes:
        index: which token after the prompt.
        module: who made it; None for the backbone.
        ids: ``(batch,)``.
        logits: ``(batch, candidates)`` from which it was chosen.
        first_column: of the columns that were fed to make it.
        fed: number of those columns, back-fill included.
    """

    index: int
    module: int | None
    ids: torch.Tensor
    logits: torch.Tensor
    first_column: int
    fed: int


def decode(
    model: SpeechLM,
    state: GenerationState,
    makers: Maker,
    head: Head,
    tokens: int,
    report: GenerationReport | None = None,
) -> Iterator[Step]:
    """Make ``tokens`` tokens, one step at a time; ``state`` always holds all tokens yielded so far."""
    report = report or GenerationReport()
    for index in range(tokens):
        module = makers(index)
        stage = 0 if module is None else module + 1
        first = state.seen[stage]
        fed = state.length - first
        hidden = state.advance(model, stage)
        if module is None:
            report.backbone_passes += 1
        else:
            report.module_steps += 1
        ids, logits = head(hidden[:, -1], index)
        state.append(ids)
        report.slots += 1
        yield Step(index, module, ids, logits, first, fed)
