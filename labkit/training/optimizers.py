"""Which optimizer moves which parameter.

`adamw` is the paper's, for everything (section 4.1). With `muon` (Jordan et al., 2024) the matrices of the layers are
moved by orthogonalised momentum, so that no direction is left behind; embedding, head, norms and biases stay with
AdamW.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import AdamW, Optimizer

from labkit.model import SpeechLM
from labkit.training.muon import PreciseMuon
from labkit.training.stages import BETAS, Part, Stage

OPTIMIZERS = ("adamw", "muon")

MUON_RATE = 2.0
"""Muon's learning rate over AdamW's, once its updates are scaled to the size of AdamW's."""


def make_optimizers(
    model: SpeechLM, stage: Stage, rates: dict[Part, float], kind: str = "adamw"
) -> list[Optimizer]:
    """The optimizers that move a stage's parameters between them, each parameter in one.

    Every group of parameters carries its `part`. The first optimizer is AdamW, with a group for each part that trains.

    Args:
        rates: AdamW's learning rate, by part.
        kind: one of `OPTIMIZERS`.

    Returns:
        AdamW alone, or AdamW and Muon.

    Raises:
        ValueError: there is no such optimizer.
    """
    if kind not in OPTIMIZERS:
        raise ValueError(f"no optimizer {kind!r}; choose one of {', '.join(OPTIMIZERS)}")
    named = [(part, *each) for part, *each in stage.parameters(model)]
    matrices = {name for _, name, parameter in named if kind == "muon" and _is_layer_matrix(name, parameter)}
    made: list[Optimizer] = [
        AdamW(
            _groups(stage, ((part, each) for part, name, each in named if name not in matrices), rates),
            betas=BETAS,
            weight_decay=stage.weight_decay,
        )
    ]
    if matrices:
        groups = _groups(
            stage, ((part, each) for part, name, each in named if name in matrices), rates, MUON_RATE
        )
        made.append(PreciseMuon(groups, weight_decay=stage.weight_decay))
    return made


def learning_rates(optimizers: Iterable[Optimizer]) -> dict[Part, float]:
    """AdamW's learning rates of the moment, by part."""
    first = next(iter(optimizers))
    return {group["part"]: group["lr"] for group in first.param_groups}


def _groups(
    stage: Stage,
    parameters: Iterable[tuple[Part, nn.Parameter]],
    rates: dict[Part, float],
    factor: float = 1.0,
) -> list[dict]:
    parameters = list(parameters)
    return [
        {"params": members, "lr": factor * rates[part], "part": part.value}
        for part in stage.trains
        if (members := [each for owner, each in parameters if owner is part])
    ]


def _is_layer_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and "embed_tokens" not in name and "lm_head" not in name
