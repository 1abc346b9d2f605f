"""Which optimizer moves which parameter."""

from dataclasses import replace

import pytest
import torch
from tiny import tiny_model

from labkit.training.loop import LoopSettings
from labkit.training.optimizers import MUON_RATE, learning_rates, make_optimizers
from labkit.training.stages import Part, stage

RATES = {Part.BACKBONE: 1e-3, Part.CHAIN: 2e-3}


@pytest.mark.parametrize("number", [0, 2, 4])
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_every_parameter_of_the_stage_is_in_one_optimizer(number, kind):
    model = tiny_model(2 if number == 4 else 0)
    where = stage(number).prepare(model, torch.Generator().manual_seed(0))
    made = make_optimizers(where, stage(number), RATES, kind)
    held = [id(p) for each in made for group in each.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for _, _, p in stage(number).parameters(where))


def test_muon_takes_the_matrices_of_the_layers_and_nothing_else():
    model = tiny_model(2)
    _, muon = make_optimizers(model, stage(4), RATES, "muon")
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    taken = {named[id(each)] for group in muon.param_groups for each in group["params"]}
    assert {"backbone.model.layers.0.mlp.up_proj.weight", "chain.1.projection.weight"} <= taken
    assert not any(
        "embed_tokens" in name or "lm_head" in name or "norm" in name or "bias" in name for name in taken
    )
    assert len(taken) == 2 * 7 + 2 * (7 + 1)


def test_each_part_keeps_its_learning_rate():
    made = make_optimizers(tiny_model(2), stage(4), RATES, "muon")
    assert learning_rates(made) == RATES
    assert [group["lr"] for group in made[1].param_groups] == [MUON_RATE * rate for rate in RATES.values()]
    assert [group["weight_decay"] for each in made for group in each.param_groups] == [0.1] * 4


def test_the_papers_optimizer_is_the_default_and_an_unknown_one_is_refused():
    settings = LoopSettings(steps=1)
    assert settings.optimizer == "adamw"
    with pytest.raises(ValueError, match="no optimizer 'sgd'"):
        make_optimizers(tiny_model(0), stage(1), RATES, "sgd")
    with pytest.raises(ValueError, match="optimizer is adamw or muon, not 'sgd'"):
        replace(settings, optimizer="sgd")
