"""The loss as a module of its own: what data parallelism wraps, and what mixed precision casts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from labkit.model import SpeechLM
from labkit.model.losses import speech_losses, stage_targets
from labkit.vocabulary import IGNORE


class SpeechObjective(nn.Module):
    """`speech_losses` behind a `forward`, since DistributedDataParallel and FSDP act on forward calls only."""

    _no_split_modules = ("Qwen2DecoderLayer",)  # what accelerate has FSDP shard one by one

    def __init__(self, model: SpeechLM, state_weight: float = 0.0) -> None:
        super().__init__()
        self.model, self.state_weight = model, state_weight

    def forward(self, batch: dict[str, torch.Tensor], num_items: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss to minimize, and its parts.

        Args:
            batch: as `labkit.data.packing.collate` makes it, each `(rows, time)`.
            num_items: next-token targets of the whole optimizer step, over all its batches and processes. Every
                stage's sum is divided by it, so that neither batches nor processes change the gradient.

        Returns:
            The loss, and `(1 + modules, 5)`: for the backbone and each module the summed cross-entropy in nats, the
            number of targets, how many of them were the likeliest token, and, where states are trained on, the summed
            distance from the backbone's and the number of rows of which.
        """
        losses = speech_losses(
            self.model,
            batch["input_ids"],
            batch["labels"],
            positions=batch["positions"],
            attention_mask=batch.get("attention_mask"),
            num_items=num_items,
            state_weight=self.state_weight,
        )
        means = torch.stack([losses.next_token, *losses.modules]).detach().float()
        counts = means.new_tensor([losses.targets, losses.correct])
        states = means.new_zeros(2, len(means))
        if losses.states:
            known = slice(1, 1 + len(losses.states))
            states[0, known] = torch.stack(losses.states).detach()
            states[1, known] = means.new_tensor(losses.state_rows)
        return losses.total, torch.stack([means * num_items, *counts, *states], dim=1)


def count_targets(batch: dict[str, torch.Tensor]) -> int:
    """Next-token targets of a batch."""
    return int((stage_targets(batch["labels"], batch["positions"], 0) != IGNORE).sum())


@dataclass(frozen=True)
class Measures:
    """What one optimizer step, or several together, measured.

    Attributes:
        losses: mean cross-entropy in nats of the backbone, then of each module.
        accuracies: share of targets that were the likeliest token, alike.
        targets: next-token targets.
        states: mean distance of each module's states from the backbone's, where they are trained on.
    """

    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    targets: int
    states: tuple[float, ...] = ()

    @classmethod
    def of(cls, parts: torch.Tensor) -> Measures:
        """From `(1 + modules, 5)` sums, as `SpeechObjective` returns them, added up over batches."""
        nats, targets, correct, distances, rows = parts.double().unbind(1)
        count = targets.clamp_min(1)
        states = (distances / rows.clamp_min(1))[1:].tolist() if rows.any() else []
        return cls(
            tuple((nats / count).tolist()), tuple((correct / count).tolist()), int(targets[0]), tuple(states)
        )

    def row(self) -> dict[str, float]:
        """Flat, for logs: `loss/backbone`, `loss/module 0`, ..., `accuracy/backbone`, ..., `state/module 0`, ..."""
        names = ["backbone", *(f"module {k}" for k in range(len(self.losses) - 1))]
        losses = {f"loss/{name}": value for name, value in zip(names, self.losses, strict=True)}
        accuracies = {f"accuracy/{name}": value for name, value in zip(names, self.accuracies, strict=True)}
        return losses | accuracies | {f"state/module {k}": value for k, value in enumerate(self.states)}
