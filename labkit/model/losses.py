"""The training losses: next token by the backbone, one token further by each MCTP module (section 3.3).

Rows may be packed with several samples, whose positions start anew. Module ``k`` has no row for the first
``k + 1`` tokens of a sample, and no row's target lies in another sample. (The public code drops those rows
first and shifts the labels afterwards, which trains the last row of a short sample on a token of the next.)

Whether the backbone trains is read off its parameters. Where it is frozen (stages 2 and 3, see
`SpeechLM.freeze_backbone`) the next-token loss is computed but not trained on, and gradients reach only the
modules' layers, projections and norms; between modules they always flow.

Beyond the paper there is a loss on states, none unless it is asked for: a module's state at a token should be what the
backbone's is at that token, as in EAGLE (Li et al., 2024, arXiv:2401.15077). Token losses alone leave the
modules' states in the prompt, where nothing is predicted, to themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy

from labkit.model.speech_lm import SpeechLM, SpeechOutput
from labkit.vocabulary import IGNORE

Targets = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]


@dataclass(frozen=True)
class SpeechLosses:
    """Losses of one batch.

    Attributes:
        total: what to minimize: the next-token loss (unless the backbone is frozen), plus the mean of the
            module losses times the model's ``module_loss_weight``.
        next_token: the backbone's cross-entropy, in nats.
        modules: one cross-entropy per MCTP module.
        targets: number of targets of the backbone and of each module.
        correct: how many of those targets were the likeliest token.
        states: one distance from the backbone's states per MCTP module (`state_distances`), summed over its rows; none
            unless they are trained on, nor of a module that has no row.
        state_rows: number of rows of each of them.
    """

    total: torch.Tensor
    next_token: torch.Tensor
    modules: tuple[torch.Tensor, ...]
    targets: tuple[int, ...]
    correct: tuple[int, ...]
    states: tuple[torch.Tensor, ...] = ()
    state_rows: tuple[int, ...] = ()


def stage_targets(labels: torch.Tensor, positions: torch.Tensor, stage: int) -> torch.Tensor:
    """What the rows of a stage should predict.

    Args:
        labels: ``(batch, time)`` the token of each column where it is a target, else ``IGNORE``.
        positions: ``(batch, time)`` position of each column in its own sample, negative on padding.
        stage: 0 for the backbone, ``k + 1`` for module ``k``.

    Returns:
        ``(batch, time - stage)`` for the columns from ``stage`` on.
    """
    here, following = positions[:, stage:-1], positions[:, stage + 1 :]
    valid = (here >= stage) & (following == here + 1)
    targets = labels[:, stage + 1 :].masked_fill(~valid, IGNORE)
    last = targets.new_full((targets.shape[0], 1), IGNORE)  # the last column predicts beyond the row
    return torch.cat([targets, last], dim=1)


def speech_losses(
    model: SpeechLM,
    ids: torch.Tensor,
    labels: torch.Tensor,
    *,
    positions: torch.Tensor | None = None,
    attention_mask: torch.Tensor | None = None,
    embeds: torch.Tensor | None = None,
    num_items: int | None = None,
    state_weight: float = 0.0,
    targets: Targets = stage_targets,
) -> SpeechLosses:
    """Next-token and module losses of a batch.

    Args:
        model: to train.
        ids: ``(batch, time)`` token ids.
        labels: ``(batch, time)`` the same ids where they are targets, else ``IGNORE``; not shifted.
        positions: ``(batch, time)`` starting anew with every packed sample.
        attention_mask: ``(batch, time)`` 0 on padding.
        embeds: ``(batch, time, hidden)`` in place of the ids' embeddings.
        num_items: divide sums by this number of targets, counted over all batches of an optimizer step, in
            place of each stage's own number.
        state_weight: of the loss on states in the total: the modules' mean of `state_distances`, summed over rows and
            divided like the other sums.
        targets: which targets a stage has.

    Raises:
        ValueError: labels of another shape than the ids.
    """
    if labels.shape != ids.shape:
        raise ValueError(f"labels {tuple(labels.shape)} must have the shape of the ids {tuple(ids.shape)}")
    output = model(ids, embeds=embeds, positions=positions, attention_mask=attention_mask)
    losses, counts, correct = [], [], []
    for stage in range(model.num_modules + 1):
        loss, count, right = _stage_loss(model, output, labels, stage, num_items, targets)
        losses.append(loss)
        counts.append(count)
        correct.append(right)
    next_token, *modules = losses
    total = next_token if backbone_trains(model) else torch.zeros_like(next_token)
    if modules:
        total = total + torch.stack(modules).mean() * model.module_loss_weight
    distances = state_distances(output) if state_weight else ()
    sums = tuple(each.sum() for each in distances)
    if sums:
        mean = torch.stack(sums).sum() / model.num_modules  # a short row has no state of the last ones
        total = total + mean / max(num_items or counts[0], 1) * state_weight
    rows = tuple(each.numel() for each in distances)
    return SpeechLosses(total, next_token, tuple(modules), tuple(counts), tuple(correct), sums, rows)


def state_distances(output: SpeechOutput) -> tuple[torch.Tensor, ...]:
    """How far each module's states are from the backbone's at the same tokens, which are not moved by it.

    Returns:
        For each module that has a row, a squared distance for every row that it has in any sample, over the squared
        length of the backbone's state there.
    """
    distances = []
    for stage, states in enumerate(output.stages[1:], start=1):
        rows = output.positions[:, stage:] >= stage
        wanted = output.stages[0][:, stage:][rows].detach().float()
        distance = (states[rows].float() - wanted).square().sum(-1)
        distances.append(distance / wanted.square().sum(-1).clamp_min(1e-6))
    return tuple(distances)


def backbone_trains(model: SpeechLM) -> bool:
    """Whether any parameter of the backbone, embedding and head included, takes gradients."""
    return any(parameter.requires_grad for parameter in model.backbone.parameters())


def _stage_loss(
    model: SpeechLM,
    output: SpeechOutput,
    labels: torch.Tensor,
    stage: int,
    num_items: int | None,
    targets: Targets,
) -> tuple[torch.Tensor, int, int]:
    if stage >= len(output.stages):  # the row is too short for this module
        return labels.new_zeros((), dtype=torch.float32), 0, 0
    wanted = targets(labels, output.positions, stage)
    rows = wanted != IGNORE
    count = int(rows.sum())
    # Only rows with a target meet the head, whose vocabulary makes it the widest layer of all.
    logits = model.head(output.stages[stage][rows]).float()
    correct = int((logits.argmax(-1) == wanted[rows]).sum())
    return cross_entropy(logits, wanted[rows], reduction="sum") / max(num_items or count, 1), count, correct
