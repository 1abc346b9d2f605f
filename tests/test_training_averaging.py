"""The mean of a model's weights before and after a training."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny import tiny_model

from labkit.training.averaging import average_weights


def moved(model, step=1.0):
    """A copy whose weights have all moved by as much."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for weight in other.parameters():
            weight += step
    return other


@pytest.mark.parametrize("tied", [True, False])
def test_every_weight_gives_back_that_share_of_its_way(tied) -> None:
    before = tiny_model(modules=2, tie_word_embeddings=tied)
    after = moved(before)
    assert average_weights(after, before, 0.25) is after
    for name, weight in after.named_parameters():
        torch.testing.assert_close(weight, dict(before.named_parameters())[name] + 0.75, msg=name)
        assert weight.requires_grad


def test_no_share_leaves_the_model_and_the_whole_leaves_nothing_of_its_training() -> None:
    before = tiny_model(modules=1)
    for share, expected in ((0.0, moved(before)), (1.0, before)):
        made = average_weights(moved(before), before, share)
        for own, other in zip(made.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(own, other)


def test_only_one_model_at_two_times_has_a_mean() -> None:
    with pytest.raises(ValueError, match="only the weights of one model before and after"):
        average_weights(tiny_model(modules=2), tiny_model(modules=1), 0.5)
    for share in (-0.1, 1.5):
        with pytest.raises(ValueError, match="between 0 and 1"):
            average_weights(tiny_model(modules=1), tiny_model(modules=1), share)
