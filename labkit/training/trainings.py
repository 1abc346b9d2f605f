"""One training of a stage as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from labkit.model import SpeechLM
from labkit.training.loop import LoopSettings
from labkit.training.stages import Stage


@dataclass(frozen=True)
class Training:
    """One training of a stage; most stages are one, some begin or end with another.

    Attributes:
        folder: of its checkpoints, history and model.
        stage: what trains.
        settings: how long and how fast.
        ratios: sampling ratio by dataset.
        start: makes the model to start from, in float32.
        kept: share of what it starts from in the mean of weights that becomes its model.
        record: what to note of it, beside what every training notes.
    """

    folder: Path
    stage: Stage
    settings: LoopSettings
    ratios: dict[str, float]
    start: Callable[[], SpeechLM]
    kept: float = 0.0
    record: dict[str, object] = field(default_factory=dict)

    @property
    def model(self) -> Path:
        """Where its model lies once it is trained."""
        return self.folder / "model"

    @property
    def is_done(self) -> bool:
        """Whether its model is there."""
        return (self.model / "model.safetensors").exists()
