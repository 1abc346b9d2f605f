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

    def __init__(self, model: SpeechLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: dict[str, torch.Tensor], num_items: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss to minimize, and its parts.

        Args:
            batch: as `labkit.data.packing.collate` makes it, each `(rows, time)`.
            num_items: next-token targets of the whole optimizer step, over all its batches and processes. Every
                stage's sum is divided by it, so that neither batches nor processes change the gradient.

        Returns:
            The loss, and `(1 + modules, 3)`: for the backbone and each module the summed cross-entropy in nats, the
            number of targets, and how many of them were the likeliest token.
        """
        losses = speech_losses(
            self.model,
            batch["input_ids"],
            batch["labels"],
            positions=batch["positions"],
            attention_mask=batch.get("attention_mask"),
            num_items=num_items,
        )
        means = torch.stack([losses.next_token, *losses.modules]).detach().float()
        counts = means.new_tensor([losses.targets, losses.correct])
        return losses.total, torch.stack([means * num_items, *counts], dim=1)


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
    """

    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    targets: int

    @classmethod
    def of(cls, parts: torch.Tensor) -> Measures:
        """From `(1 + modules, 3)` sums, as `SpeechObjective` returns them, added up over batches."""
        nats, targets, correct = parts.double().unbind(1)
        count = targets.clamp_min(1)
        return cls(tuple((nats / count).tolist()), tuple((correct / count).tolist()), int(targets[0]))

    def row(self) -> dict[str, float]:
        """Flat, for logs: `loss/backbone`, `loss/module 0`, ..., `accuracy/backbone`, ..."""
        names = ["backbone", *(f"module {k}" for k in range(len(self.losses) - 1))]
        losses = {f"loss/{name}": value for name, value in zip(names, self.losses, strict=True)}
        return losses | {
            f"accuracy/{name}": value for name, value in zip(names, self.accuracies, strict=True)
        }
