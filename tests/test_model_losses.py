"""Losses on packed rows against each target worked out alone; no target in another sample; who gets gradients."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import random_ids, tiny_model
from torch.nn.functional import cross_entropy

from labkit.model import SpeechLM, speech_losses, stage_targets
from labkit.model.layout import released_key
from labkit.model.losses import state_distances
from labkit.vocabulary import IGNORE

lengths = st.lists(st.integers(1, 9), min_size=1, max_size=4)


def packed(rows: list[list[int]], masked: int) -> dict[str, torch.Tensor]:
    """A packed row whose samples' first ``masked`` tokens are no targets."""
    return {
        "ids": torch.tensor([[token for row in rows for token in row]]),
        "labels": torch.tensor(
            [[IGNORE if p < masked else token for row in rows for p, token in enumerate(row)]]
        ),
        "positions": torch.tensor([[p for row in rows for p in range(len(row))]]),
    }


def worked_out(model: SpeechLM, rows: list[list[int]], masked: int) -> tuple[list[float], list[int]]:
    """Sum of losses and number of targets of each stage: sample by sample, token by token."""
    sums, counts = [0.0] * (model.num_modules + 1), [0] * (model.num_modules + 1)
    for row in rows:
        for stage, hidden in enumerate(model(torch.tensor([row])).stages):
            logits = model.head(hidden[0])
            for position in range(stage, len(row) - 1):
                if position + 1 >= masked:
                    target = torch.tensor(row[position + 1])
                    sums[stage] += cross_entropy(logits[position - stage], target).item()
                    counts[stage] += 1
    return sums, counts


@settings(deadline=None, max_examples=20)
@given(lengths, st.integers(0, 4), st.sampled_from(["eager", "sdpa"]))
def test_packed_losses_are_those_of_the_samples(lengths: list[int], masked: int, attention: str) -> None:
    model = tiny_model(3, attention)
    rows = [random_ids(length, seed) for seed, length in enumerate(lengths)]
    sums, counts = worked_out(model, rows, masked)
    for num_items in (None, 7):
        losses = speech_losses(model, **packed(rows, masked), num_items=num_items)
        assert list(losses.targets) == counts
        for loss, total, count in zip((losses.next_token, *losses.modules), sums, counts, strict=True):
            assert loss.item() == pytest.approx(total / (num_items or max(count, 1)), abs=1e-4)
        mean = sum(loss.item() for loss in losses.modules) / 3
        assert losses.total.item() == pytest.approx(losses.next_token.item() + mean, abs=1e-5)


@given(lengths, st.integers(0, 11))
def test_no_target_lies_in_another_sample(lengths: list[int], stage: int) -> None:
    positions = torch.tensor([[p for length in lengths for p in range(length)]])
    sample = torch.tensor([s for s, length in enumerate(lengths) for _ in range(length)])
    labels = torch.arange(positions.shape[1])[None]  # each token is its own column
    if stage >= labels.shape[1]:
        return
    for column, target in enumerate(stage_targets(labels, positions, stage)[0].tolist(), start=stage):
        if target != IGNORE:
            assert target == column + 1
            assert sample[target] == sample[column]
            assert positions[0, column] >= stage


def test_a_padded_batch_loses_what_its_rows_lose() -> None:
    model = tiny_model(2)
    rows = [random_ids(8), random_ids(5, 1)]
    ids, labels, mask = torch.zeros(2, 8, dtype=torch.long), torch.full((2, 8), IGNORE), torch.zeros(2, 8)
    for index, row in enumerate(rows):
        ids[index, 8 - len(row) :] = labels[index, 8 - len(row) :] = torch.tensor(row)
        mask[index, 8 - len(row) :] = 1
    losses = speech_losses(model, ids, labels, attention_mask=mask)
    sums, counts = worked_out(model, rows, 0)
    assert list(losses.targets) == counts
    for loss, total, count in zip((losses.next_token, *losses.modules), sums, counts, strict=True):
        assert loss.item() == pytest.approx(total / count, abs=1e-4)


def test_a_frozen_backbone_leaves_the_chain_to_train() -> None:
    model = tiny_model(2).freeze_backbone()
    model.module_loss_weight = 0.5
    losses = speech_losses(model, **packed([random_ids(8)], 0))
    losses.total.backward()
    assert losses.total.item() == pytest.approx(0.5 * torch.stack(losses.modules).mean().item())
    names = {released_key(name, 2) for name, p in model.named_parameters() if p.grad is not None}
    assert names == {
        released_key(name, 2) for name, _ in model.named_parameters() if name.startswith("chain.")
    }
    assert model.freeze_backbone(False).backbone.lm_head.weight.requires_grad


def test_gradients_flow_between_modules_and_into_a_training_backbone() -> None:
    model = tiny_model(2)
    last = speech_losses(model, **packed([random_ids(8)], 0)).modules[1]
    last.backward()
    assert model.chain[0].projection.weight.grad.any()
    assert model.layers[0].mlp.up_proj.weight.grad.any()


@settings(deadline=None, max_examples=20)
@given(lengths, st.integers(0, 4), st.sampled_from(["eager", "sdpa"]))
def test_packed_state_losses_are_those_of_the_samples(
    lengths: list[int], masked: int, attention: str
) -> None:
    model = tiny_model(3, attention)
    rows = [random_ids(length, seed) for seed, length in enumerate(lengths)]
    sums, counts = [0.0] * 3, [0] * 3
    for row in rows:
        backbone, *modules = (stage[0] for stage in model(torch.tensor([row])).stages)
        for k, states in enumerate(modules):
            for state, wanted in zip(states, backbone[k + 1 :], strict=True):
                sums[k] += ((state - wanted).norm() / wanted.norm()).square().item()
                counts[k] += 1
    batch = packed(rows, masked)
    losses = speech_losses(model, **batch, num_items=7, state_weight=0.5)
    known = len(losses.states)  # the last modules have no row where all samples are short
    assert [each.item() for each in losses.states] == pytest.approx(sums[:known], rel=1e-4, abs=1e-5)
    assert list(losses.state_rows) == counts[:known]
    assert not any(counts[known:])
    without = speech_losses(model, **batch, num_items=7)
    assert (without.states, without.state_rows) == ((), ())
    assert without.modules == losses.modules
    expected = without.total.item() + 0.5 * sum(sums) / 3 / 7
    assert losses.total.item() == pytest.approx(expected, rel=1e-4)


def test_a_loss_on_states_moves_modules_towards_the_backbone_and_not_it_towards_them() -> None:
    model = tiny_model(2)
    losses = speech_losses(model, **packed([random_ids(8)], 0), state_weight=1.0)
    sum(losses.states).backward()
    assert model.chain[0].layer.mlp.up_proj.weight.grad.any()
    # What moves modules reaches the backbone's states too, which they are made from; as their goal those stay put.
    model.zero_grad()
    output = model(torch.tensor([random_ids(8)]))
    backbone, first = (output.stages[k].detach().requires_grad_() for k in (0, 1))
    output = replace(output, stages=(backbone, first))
    state_distances(output)[0].sum().backward()
    assert backbone.grad is None
    assert first.grad.any()
    assert all(
        not each.any() for each in state_distances(replace(output, stages=(backbone, backbone[:, 1:])))
    )


def test_without_modules_it_is_the_next_token_loss() -> None:
    model = tiny_model(0)
    losses = speech_losses(model, **packed([random_ids(5)], 0))
    assert torch.equal(losses.total, losses.next_token)


def test_nothing_to_predict_is_no_loss() -> None:
    losses = speech_losses(tiny_model(2), **packed([[1], [2]], 0))
    assert losses.total.item() == 0
    losses.total.backward()


def test_labels_must_fit() -> None:
    with pytest.raises(ValueError, match="must have the shape of the ids"):
        speech_losses(tiny_model(1), torch.tensor([[1, 2]]), torch.tensor([[1]]))
