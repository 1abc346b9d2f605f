"""Muon in the parameters' own precision, beside torch's in bfloat16."""

import pytest
import torch
from torch import nn
from torch.optim import Muon

from labkit.training.muon import PreciseMuon, orthogonalize

SHAPES = ((24, 24), (16, 48), (48, 16))
COEFFICIENTS = (3.4445, -4.775, 2.0315)


def matrices() -> list[nn.Parameter]:
    drawn = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=drawn)) for shape in SHAPES]


def moved(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], steps: int = 5
) -> list[torch.Tensor]:
    drawn = torch.Generator().manual_seed(1)
    before = [each.detach().clone() for each in parameters]
    for _ in range(steps):
        for each in parameters:
            each.grad = torch.randn(each.shape, generator=drawn)
        optimizer.step()
    return [each.detach() - was for each, was in zip(parameters, before, strict=True)]


@pytest.mark.parametrize("options", [{}, {"nesterov": False}, {"weight_decay": 0.0, "momentum": 0.5}])
def test_it_moves_as_torchs_does_up_to_bfloat16(options):
    ours, theirs = matrices(), matrices()
    own = moved(PreciseMuon(ours, lr=1e-2, **options), ours)
    other = moved(Muon(theirs, lr=1e-2, adjust_lr_fn="match_rms_adamw", **options), theirs)
    for one, two in zip(own, other, strict=True):
        assert (one - two).norm() < 0.02 * two.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one(shape):
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    found = orthogonalize(drawn, COEFFICIENTS, 5, 1e-7)
    assert found.shape == drawn.shape
    assert found.dtype == drawn.dtype
    values = torch.linalg.svdvals(found)
    # As the coefficients have it, which are chosen for speed at small values, not for an exact one.
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_a_gradient_of_zeros_moves_nothing_but_by_weight_decay():
    parameters = matrices()
    before = [each.detach().clone() for each in parameters]
    for each in parameters:
        each.grad = torch.zeros_like(each)
    PreciseMuon(parameters, lr=0.1, weight_decay=0.5).step()
    for each, was in zip(parameters, before, strict=True):
        assert torch.equal(each, was * 0.95)


def test_what_has_no_gradient_stays_and_a_state_goes_on():
    parameters = matrices()
    parameters[0].grad = None
    optimizer = PreciseMuon(parameters)
    parameters[1].grad = torch.ones_like(parameters[1])
    before = parameters[0].detach().clone()
    assert optimizer.step(lambda: 3.0) == 3.0
    assert torch.equal(parameters[0], before)
    again = Muon(matrices(), adjust_lr_fn="match_rms_adamw")
    again.load_state_dict(optimizer.state_dict())
    assert list(again.state) == [again.param_groups[0]["params"][1]]
