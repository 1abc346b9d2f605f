"""Replay recorded losses and gradients.

The public code shifts labels after it has dropped rows, and so trains the last row of a sample on a token of the
next one where that has a target early on. Its recordings can only be matched with the same leak, so it is
rebuilt here, and here only. Beside it stand the losses that this lab trains on, which must equal the sums over
the samples one by one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from labkit.model.layout import released_key
from labkit.model.losses import SpeechLosses, speech_losses, stage_targets
from labkit.model.speech_lm import SpeechLM
from labkit.parity.cases import Case
from labkit.parity.checks import GRADIENT, LOSS, Check, equal, within
from labkit.vocabulary import IGNORE

SMALLEST_NORM = 1e-6  # below this a gradient norm is compared as if it were this large


def public_targets(labels: torch.Tensor, positions: torch.Tensor, stage: int) -> torch.Tensor:
    """The targets of the public code: each kept row's is the label of the next kept row, of whatever sample."""
    targets = torch.full_like(labels[:, stage:], IGNORE)
    for row in range(labels.shape[0]):
        kept = (positions[row] >= stage).nonzero().flatten()
        targets[row, kept[:-1] - stage] = labels[row, kept[1:]]
    return targets


def check_training(model: SpeechLM, case: Case, name: str) -> Iterator[Check]:
    """Compute the losses of a recorded batch and compare them, and the gradients where they were recorded."""
    recorded = case.training[name]
    batch = {
        field: torch.tensor([recorded["batch"][field]]) for field in ("input_ids", "labels", "position_ids")
    }
    stages = range(model.num_modules + 1)
    counts = [count_targets(public_targets, batch, stage) for stage in stages]
    leaks = [counts[stage] - count_targets(stage_targets, batch, stage) for stage in stages]
    if "mtp_cross_sample_targets" in recorded:
        yield equal(name, "leaks found in the recording", leaks[1:], recorded["mtp_cross_sample_targets"])
    replayed = " (with its leaks)" if any(leaks) else ""
    for result in recorded["results"]:
        subject = f"{name} {result['regime']} {'mean' if result.get('num_items_in_batch') is None else 'sum'}"
        losses = run(model, batch, result, public_targets)
        yield from check_losses(subject + replayed, losses, result)
        if "grad_l2" in result:
            yield from check_gradients(subject + replayed, model, losses, result["grad_l2"])
    yield from check_sample_sums(name, model, batch, recorded)


def run(
    model: SpeechLM, batch: Mapping[str, torch.Tensor], result: Mapping[str, Any], targets: Any
) -> SpeechLosses:
    """The losses in the regime and with the normalization of a recorded result."""
    model.requires_grad_(True).freeze_backbone(result["regime"] == "frozen")
    model.zero_grad(set_to_none=True)
    return speech_losses(
        model,
        batch["input_ids"],
        batch["labels"],
        positions=batch["position_ids"],
        num_items=result.get("num_items_in_batch"),
        targets=targets,
    )


def count_targets(targets: Any, batch: Mapping[str, torch.Tensor], stage: int) -> int:
    """How many targets a stage has."""
    return int((targets(batch["labels"], batch["position_ids"], stage) != IGNORE).sum())


def check_losses(subject: str, losses: SpeechLosses, result: Mapping[str, Any]) -> Iterator[Check]:
    """Next-token, module and total loss, and the number of targets where it was recorded."""
    yield within(subject, "next-token loss", abs(losses.next_token.item() - result["stp_loss"]), LOSS)
    ours, recorded = [loss.item() for loss in losses.modules], result["mtp_losses"]
    if len(ours) != len(recorded):
        yield Check(subject, "module losses", f"{len(ours)} for {len(recorded)}", False)
        return
    worst = max((abs(a - b) for a, b in zip(ours, recorded, strict=True)), default=0.0)
    yield within(subject, "module losses", worst, LOSS)
    yield within(subject, "total loss", abs(losses.total.item() - result["total_loss"]), LOSS)
    if "mtp_valid_targets" in result:
        yield equal(subject, "targets", list(losses.targets[1:]), result["mtp_valid_targets"])


def check_gradients(
    subject: str, model: SpeechLM, losses: SpeechLosses, recorded: Mapping[str, float | None]
) -> Iterator[Check]:
    """Gradient norms by parameter, and that no gradient reaches what was recorded as None."""
    losses.total.backward()
    layers = model.config.num_hidden_layers
    ours = {
        released_key(name, layers): None if parameter.grad is None else parameter.grad.norm().item()
        for name, parameter in model.named_parameters()
    }
    yield equal(subject, "parameters with gradient", reached(ours), reached(recorded))
    shared = [name for name in recorded if recorded[name] is not None and ours.get(name) is not None]
    worst = max(
        (abs(ours[name] - recorded[name]) / max(recorded[name], SMALLEST_NORM) for name in shared),
        default=0.0,
    )
    yield within(subject, "gradient norms, relative", worst, GRADIENT)


def reached(norms: Mapping[str, float | None]) -> list[str]:
    """Names of the parameters that a gradient reaches."""
    return sorted(name for name, norm in norms.items() if norm is not None)


def check_sample_sums(
    name: str, model: SpeechLM, batch: Mapping[str, torch.Tensor], recorded: Mapping[str, Any]
) -> Iterator[Check]:
    """This lab's own losses: no target crosses samples, and packing changes nothing."""
    with torch.no_grad():
        packed = run(model, batch, {"regime": "joint", "num_items_in_batch": 1}, stage_targets)
        alone = torch.zeros(len(packed.targets))
        for start, stop in sample_bounds(batch["position_ids"][0]):
            sample = {field: values[:, start:stop] for field, values in batch.items()}
            losses = run(model, sample, {"regime": "joint", "num_items_in_batch": 1}, stage_targets)
            alone += torch.stack([losses.next_token, *losses.modules])
    sums = torch.stack([packed.next_token, *packed.modules])
    per_target = torch.tensor(packed.targets).clamp_min(1)
    subject = f"{name}, no target crosses samples"
    yield within(subject, "packed and one by one", float(((sums - alone) / per_target).abs().max()), LOSS)
    if "per_sample_eager_targets" in recorded:
        yield equal(
            subject,
            "targets, recorded one by one",
            list(packed.targets),
            recorded["per_sample_eager_targets"],
        )
    if "per_sample_eager_ce_sum" in recorded:
        recorded_sums = torch.tensor(recorded["per_sample_eager_ce_sum"])
        if len(recorded_sums) == len(sums):
            worst = float(((sums - recorded_sums) / per_target).abs().max())
            yield within(subject, "losses, recorded one by one", worst, LOSS)


def sample_bounds(positions: torch.Tensor) -> list[tuple[int, int]]:
    """First and one past the last column of each packed sample."""
    starts = [0, *((positions.diff() != 1).nonzero().flatten() + 1).tolist()]
    return list(zip(starts, [*starts[1:], len(positions)], strict=True))
