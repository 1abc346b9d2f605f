"""Whose checkpoint it is: what decides a run's losses, kept in its checkpoint, so that no other run goes on from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from labkit.model import SpeechLM
from labkit.paths import digest
from labkit.training.stages import Part, Stage

FILE = "identity.json"
FREE = ("batch_rows", "log_every", "checkpoint_every")
"""Settings that change no loss: a run may go on with others, such as fewer rows a pass after running out of memory."""


def run_identity(
    model: SpeechLM,
    stage: Stage,
    settings: Mapping[str, object],
    rates: Mapping[Part, float],
    key: object,
) -> dict[str, object]:
    """What tells a run from others, as JSON has it.

    Args:
        model: as the stage has prepared it.
        settings: of the loop, by name.
        rates: learning rates of the parts that train.
        key: what the caller knows beside, such as the data; anything that JSON can hold.
    """
    parameters = [
        [name, list(each.shape), each.requires_grad] for name, each in sorted(model.named_parameters())
    ]
    made = {name: value for name, value in settings.items() if name not in FREE}
    made |= {"stage": stage.number, "learning_rates": dict(rates), "weight_decay": stage.weight_decay}
    made |= {"state_weight": stage.state_weight, "parameters": digest(parameters), "key": key}
    return json.loads(json.dumps(made))


def write_identity(checkpoint: Path, own: Mapping[str, object]) -> None:
    """Keep it in a checkpoint."""
    (checkpoint / FILE).write_text(json.dumps(own, indent=1) + "\n", encoding="utf-8")


def check_identity(checkpoint: Path, own: Mapping[str, object]) -> None:
    """Refuse the checkpoint of another run; one from before checkpoints had an identity passes.

    Raises:
        ValueError: it is another run's; the message says in what they differ, and what to do.
    """
    path = checkpoint / FILE
    if not path.exists():
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    differing = [name for name in own if found.get(name) != own[name]]
    if differing:
        named = "; ".join(f"{name}: {found.get(name)} there, {own[name]} here" for name in differing)
        cosine = " (the cosine of the learning rate spans all of them)" if "steps" in differing else ""
        raise ValueError(
            f"{checkpoint} is a checkpoint of another run ({named}); a run goes on only as it began, with as many "
            f"steps{cosine}: choose another folder, or delete this one to start anew"
        )
