"""One small training loop: enough for the codec and the judge, readable in one sitting.

Every random choice of step `s` comes from a generator seeded with `(seed, s)`, so a run that was stopped and resumed
draws the same batches as one that was not, and needs no generator state in its checkpoint.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from labkit.training.precision import fast_in_bf16


@dataclass(frozen=True)
class FitSettings:
    """How long and how fast to train. The learning rate warms up linearly, then falls to zero on a cosine."""

    steps: int
    learning_rate: float = 1e-3
    warmup: int = 50
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    checkpoint_every: int = 200

    def rate(self, step: int) -> float:
        """Learning rate at `step`, counted from 0."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * progress))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one training step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def mixed_precision(device: torch.device | str = "cpu") -> torch.autocast:
    """bf16 for the networks' matrix products where that is faster.

    Weights, losses and spectra stay in float32; wrap the network's call and nothing else.
    """
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=fast_in_bf16(device))


def fit(
    module: nn.Module,
    losses: Callable[[int, torch.Generator], dict[str, torch.Tensor]],
    settings: FitSettings,
    *,
    folder: Path | None = None,
    name: str = "training",
) -> list[dict[str, float]]:
    """Train `module` in place; returns the history, one row of named losses per logged step.

    Args:
        losses: called with the step and its generator, returns named losses, already weighted; their sum is minimised.
        folder: where checkpoints and `history.jsonl` go. A run that finds a checkpoint there goes on from it.
        name: shown on the progress bar.

    Raises:
        FloatingPointError: if a loss is not finite, naming it and the step, before it can spoil the weights.
    """
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=settings.weight_decay
    )
    start, history = 0, []
    checkpoint = folder / "checkpoint.pt" if folder else None
    if checkpoint is not None and checkpoint.exists():
        start, history = _load(checkpoint, module, optimizer)
    module.train()
    began = time.perf_counter()
    with tqdm(total=settings.steps, initial=start, desc=name, unit="step") as bar:
        for step in range(start, settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step)
            parts = losses(step, step_generator(settings.seed, step))
            for part, value in parts.items():
                if not torch.isfinite(value):
                    raise FloatingPointError(
                        f"{name}: the loss '{part}' is {value.item()} at step {step}; lower the learning rate "
                        f"({settings.learning_rate}) or look at that step's batch"
                    )
            optimizer.zero_grad(set_to_none=True)
            sum(parts.values()).backward()
            nn.utils.clip_grad_norm_(module.parameters(), settings.clip)
            optimizer.step()
            bar.update()
            last = step + 1 == settings.steps
            if step % 10 == 0 or last:
                row = {"step": step, "seconds": time.perf_counter() - began}
                row |= {part: value.item() for part, value in parts.items()}
                history.append(row)
                bar.set_postfix({part: f"{value.item():.3f}" for part, value in parts.items()})
            if checkpoint is not None and (last or (step + 1) % settings.checkpoint_every == 0):
                _save(checkpoint, module, optimizer, step + 1, history)
    module.eval()
    return history


def _save(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, step: int, history: list) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    state = {"step": step, "tensors": tensors, "optimizer": optimizer.state_dict(), "history": history}
    # Write beside, then rename: a run killed while saving leaves the last whole checkpoint.
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)
    lines = [json.dumps(row) for row in history]
    (path.parent / "history.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _load(path: Path, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, list]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    shapes, saved = ({name: each.shape for name, each in of.items()} for of in (tensors, state["tensors"]))
    if shapes != saved:
        raise ValueError(f"{path} is a checkpoint of another model; delete it or choose another folder")
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(state["tensors"][name])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["history"]
