"""The training loop of all stages, on accelerate: one process or many, CPU or GPU, without a line changed.

    for every step:  take its rows -> loss of each batch -> backward -> clip -> optimizer -> cosine -> log -> checkpoint

Step `s` always takes the same rows of the stream, shared out among processes and batches; every loss is a sum divided
by the targets of the *whole* step. So the losses do not depend on how many processes there are, nor on how many
batches a step is cut into. Run it under `accelerate launch` for several processes: each with the whole model, which is
data parallelism, or each with a part of it, by FSDP (`labkit.training.sharding`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from tqdm.auto import tqdm
from transformers import get_cosine_schedule_with_warmup

from labkit.data.packing import PackedRow, collate
from labkit.model import SpeechLM
from labkit.training.allocator import keep_freed_memory
from labkit.training.history import History, Listener
from labkit.training.identity import check_identity, run_identity, write_identity
from labkit.training.objective import Measures, SpeechObjective, count_targets
from labkit.training.optimizers import OPTIMIZERS, learning_rates, make_optimizers
from labkit.training.precision import PRECISIONS, fast_in_bf16
from labkit.training.processes import processes
from labkit.training.sharding import gather, is_sharded, load_sharded, save_sharded, to_shard
from labkit.training.stages import Part, Stage
from labkit.training.stream import RowStream

SHARDED = "sharded"  # folder within the checkpoint of a sharded model
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class LoopSettings:
    """How long, how fast, and in what portions to train.

    Attributes:
        steps: optimizer steps.
        rows: packed rows per step, over all processes (the paper's global batch is 256 rows of 8192 tokens).
        batch_rows: rows per forward pass of one process; smaller takes less memory and changes nothing else.
        learning_rates: by part; the stage's own, which are the paper's, where a part is missing.
        warmup: share of the steps with a linearly rising learning rate; a cosine to zero follows.
        clip: largest norm of the gradient.
        optimizer: one of `labkit.training.optimizers.OPTIMIZERS`; the paper's is AdamW.
        precision: "no" (float32), "bf16", or "auto" for bf16 where that is faster.
        log_every: steps per row of the history.
        checkpoint_every: steps per checkpoint, a multiple of `log_every`: rows of a resumed run are then means over as
            many steps as all others.
        seed: of whatever is drawn at random.

    Raises:
        ValueError: a number that must be positive is not, or `checkpoint_every` is no multiple of `log_every`.
    """

    steps: int
    rows: int = 16
    batch_rows: int = 16
    learning_rates: dict[Part, float] = field(default_factory=dict)
    warmup: float = 0.03
    clip: float = 1.0
    optimizer: str = "adamw"
    precision: str = "auto"
    log_every: int = 10
    checkpoint_every: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "rows", "batch_rows", "clip", "log_every", "checkpoint_every"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"checkpoint_every must be a multiple of log_every, which {self.checkpoint_every} is not of "
                f"{self.log_every}; a checkpoint between two rows of the history would lose what is not in a row yet"
            )
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is auto, no or bf16, not {self.precision!r}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer is {' or '.join(OPTIMIZERS)}, not {self.optimizer!r}")


def train(
    model: SpeechLM,
    stage: Stage,
    stream: RowStream,
    settings: LoopSettings,
    *,
    folder: Path | None = None,
    key: object = None,
    listeners: Sequence[Listener] = (),
) -> History:
    """Train a model in place through one stage.

    Args:
        model: as the stage before left it, in float32; the stage grows and freezes it. It trains on accelerate's
            device and is on its own again at the end.
        stage: what trains.
        stream: the packed rows.
        settings: how long and how fast.
        folder: for checkpoints and the history. A run that finds a checkpoint of its own there goes on from it and
            ends with the losses that an uninterrupted run would have had.
        key: what tells this run from others beside its stage, settings and parameters, such as its data; anything
            that JSON can hold.
        listeners: called with every logged row, in the main process.

    Returns:
        The history; a row holds the step, learning rates, losses and accuracies of backbone and modules (means since
        the row before), the gradient's norm, seconds of training (stops left out) and targets per second.

    Raises:
        StageError: the model does not fit the stage.
        ValueError: the rows of a step cannot be shared out evenly among processes and batches, the folder holds the
            checkpoint of another run, or the processes were launched to shard the model in an unknown way.
        FloatingPointError: a loss is not finite; nothing has been updated with it.
        MemoryError: a batch does not fit; the message names the setting to change.
    """
    keep_freed_memory()
    stage.prepare(model, torch.Generator().manual_seed(settings.seed))
    home = next(model.parameters()).device
    try:
        return _Run(model, stage, stream, settings, folder, key, listeners).run()
    finally:
        model.to(home)  # accelerate has moved it in place


class _Run:
    """One call of `train`: what the steps share."""

    def __init__(
        self,
        model: SpeechLM,
        stage: Stage,
        stream: RowStream,
        settings: LoopSettings,
        folder: Path | None,
        key: object,
        listeners: Sequence[Listener],
    ) -> None:
        self.stage, self.stream, self.settings, self.folder = stage, stream, settings, folder
        self.listeners = listeners
        self.accelerator = _accelerator(settings.precision)
        self.model = model
        self.sharded = is_sharded(self.accelerator)
        self.trained = to_shard(model, self.sharded)
        self.batches = self._batches_per_step()
        self.accelerator.gradient_accumulation_steps = self.batches
        rates = {part: stage.learning_rates[part] for part in stage.trains} | settings.learning_rates
        self.identity = run_identity(model, stage, asdict(settings), rates, key)
        optimizers = make_optimizers(self.trained, stage, rates, settings.optimizer)
        warmup = round(settings.warmup * settings.steps)
        self.schedulers = [
            get_cosine_schedule_with_warmup(each, warmup, settings.steps) for each in optimizers
        ]
        self.objective, *self.optimizers = self.accelerator.prepare(
            SpeechObjective(self.trained, stage.state_weight), *optimizers
        )
        # Not prepared by accelerate, which would step them once for every process.
        self.accelerator.register_for_checkpointing(*self.schedulers)

    def run(self) -> History:
        start, settings = self._resume(), self.settings
        self.objective.train()
        history = History(self.folder if self._is_main else None, until=start, listeners=self._listeners)
        since: list[torch.Tensor] = []
        earlier = history[-1]["seconds"] if history else 0.0
        began, targets = time.perf_counter(), 0
        bar = tqdm(
            total=settings.steps,
            initial=start,
            desc=f"stage {self.stage.number}",
            unit="step",
            disable=not self._is_main,
        )
        with bar:
            for step in range(start, settings.steps):
                rates = learning_rates(self.optimizers)
                parts, norm = self._step(step)
                since.append(parts)
                done = step + 1
                bar.update()
                if done % settings.log_every == 0 or done == settings.steps:
                    measured = Measures.of(torch.stack(since).sum(0))
                    since.clear()
                    targets += measured.targets
                    row = {"step": step, **measured.row(), "gradient norm": norm}
                    row |= {f"learning rate/{part}": rate for part, rate in rates.items()}
                    seconds = time.perf_counter() - began
                    row |= {"seconds": earlier + seconds, "targets per second": targets / seconds}
                    history.add(row)
                    bar.set_postfix_str(_short(measured))
                if self.folder is not None and (
                    done % settings.checkpoint_every == 0 or done == settings.steps
                ):
                    self._save(done)
        history.close()
        self.objective.eval()
        gather(self.trained, self.model)
        self.accelerator.free_memory()
        return history

    def _step(self, step: int) -> tuple[torch.Tensor, float]:
        """One optimizer step; returns summed parts `(1 + modules, 5)` of all processes and the gradient's norm."""
        rows = self.stream.take(step * self.settings.rows, self.settings.rows)
        num_items = count_targets(collate(rows))
        if num_items == 0:
            raise ValueError(
                f"step {step} of stage {self.stage.number} has no target; check the data's labels"
            )
        total, norm = None, 0.0
        for batch in self._own_batches(rows):
            with self.accelerator.accumulate(self.objective):
                parts = self._backward(batch, num_items, step)
                total = parts if total is None else total + parts
                if self.accelerator.sync_gradients:
                    parameters = list(self.objective.parameters())
                    norm = float(self.accelerator.clip_grad_norm_(parameters, self.settings.clip))
                for optimizer in self.optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
        for scheduler in self.schedulers:
            scheduler.step()
        return self.accelerator.reduce(total).cpu(), norm

    def _backward(self, batch: Sequence[PackedRow], num_items: int, step: int) -> torch.Tensor:
        tensors = {name: each.to(self.accelerator.device) for name, each in collate(batch).items()}
        try:
            loss, parts = self.objective(tensors, num_items)
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss.item()} at step {step} of stage {self.stage.number}; lower the learning "
                    f"rate {learning_rates(self.optimizers)} or the clipping norm ({self.settings.clip}), or look at "
                    "the step's rows"
                )
            # accelerate takes means over batches and processes; the losses are shares of a sum already.
            self.accelerator.backward(loss * self.batches * self.accelerator.num_processes)
        except RuntimeError as error:
            if any(phrase in str(error) for phrase in OUT_OF_MEMORY):
                shape = tuple(tensors["input_ids"].shape)
                raise MemoryError(
                    f"a batch of {shape[0]} rows of {shape[1]} tokens does not fit into the memory of "
                    f"{self.accelerator.device}; lower batch_rows (now {self.settings.batch_rows}), which changes no "
                    "result, or the length of the packed rows"
                ) from error
            raise
        return parts

    def _own_batches(self, rows: Sequence[PackedRow]) -> list[Sequence[PackedRow]]:
        share = len(rows) // self.accelerator.num_processes
        own = rows[self.accelerator.process_index * share :][:share]
        size = share // self.batches
        return [own[start : start + size] for start in range(0, share, size)]

    def _batches_per_step(self) -> int:
        """Forward passes per step and process: as few as `batch_rows` allows, all of one size."""
        processes, rows = self.accelerator.num_processes, self.settings.rows
        if rows % processes:
            raise ValueError(
                f"{rows} rows a step cannot be shared out evenly among {processes} processes; make rows a multiple "
                f"of {processes}"
            )
        share = rows // processes
        return next(
            n for n in range(1, share + 1) if share % n == 0 and share // n <= self.settings.batch_rows
        )

    def _resume(self) -> int:
        found = [] if self.folder is None else _checkpoints(self.folder)
        if not found:
            return 0
        check_identity(found[-1], self.identity)
        if (found[-1] / SHARDED).is_dir() != self.sharded:
            raise ValueError(
                f"{found[-1]} was written {'without' if self.sharded else 'with'} FSDP; launch as before, choose "
                "another folder, or delete this one to start anew"
            )
        try:
            if self.sharded:
                load_sharded(found[-1] / SHARDED, *self._state)
            else:
                self.accelerator.load_state(str(found[-1]))
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{found[-1]} does not fit: its model is another one, or it was written by one process and is read by "
                "several, or the other way round; choose another folder, delete this one to start anew, or launch as "
                "many processes as before"
            ) from error
        return self.schedulers[0].last_epoch

    def _save(self, step: int) -> None:
        # Write beside, then rename: a run killed while saving leaves the last whole checkpoint.
        partial = self.folder / "checkpoint.partial"
        if self.sharded:
            save_sharded(partial / SHARDED, *self._state)
        else:
            self.accelerator.save_state(str(partial))
        self.accelerator.wait_for_everyone()
        if self._is_main:
            write_identity(partial, self.identity)
            older = _checkpoints(self.folder)
            partial.replace(self.folder / f"checkpoint-{step:07d}")
            for each in older:
                shutil.rmtree(each)
        self.accelerator.wait_for_everyone()

    @property
    def _state(self) -> tuple[SpeechObjective, list[Optimizer], list[LRScheduler]]:
        """What a checkpoint holds, where the model is sharded."""
        return self.objective, [each.optimizer for each in self.optimizers], self.schedulers

    @property
    def _is_main(self) -> bool:
        return self.accelerator.is_main_process

    @property
    def _listeners(self) -> Sequence[Listener]:
        return self.listeners if self._is_main else ()


def _accelerator(precision: str) -> Accelerator:
    device = processes().device  # asked first, so that it decides how processes find and wait for each other
    if precision == "auto":
        precision = "bf16" if fast_in_bf16(device) else "no"
    # Accelerate holds a process to its first precision; here every run has its own.
    if AcceleratorState._shared_state.get("_mixed_precision", precision) != precision:
        AcceleratorState._reset_state()
    return Accelerator(mixed_precision=precision)


def _checkpoints(folder: Path) -> list[Path]:
    """Whole checkpoints, oldest first."""
    return sorted(folder.glob("checkpoint-" + "[0-9]" * 7))


def _short(measured: Measures) -> str:
    """The progress bar's words: the backbone, and the first and last module."""
    places = dict.fromkeys((0, 1, len(measured.losses) - 1)) if len(measured.losses) > 1 else (0,)
    names = ["backbone", *(f"module {k}" for k in range(len(measured.losses) - 1))]
    return ", ".join(f"{names[p]} {measured.losses[p]:.3f} ({measured.accuracies[p]:.0%})" for p in places)
