"""What the paper decided against: independent heads see no further than the backbone, a restart forgets its copy."""

from dataclasses import replace

import torch
from tiny import random_ids, tiny_model

from labkit.model.growth import grow_chain
from labkit.training.ablations import IndependentHeads, attached, restart_layer
from labkit.training.stages import STAGES, Part


def test_independent_heads_do_not_see_what_was_said_in_between():
    model = tiny_model(3)
    heads = IndependentHeads(model.backbone, model.chain)
    ids = torch.tensor([random_ids(12)])
    other = ids.clone()
    other[0, 8:] = (other[0, 8:] + 7) % 100
    with torch.no_grad():
        ours, theirs = heads(ids), heads(other)
        cascade, changed = model(ids), model(other)
    # Module 2's row at column 9 and 10 rest on the backbone at columns 6 and 7, before the change.
    assert torch.allclose(ours.stages[3][:, :8], theirs.stages[3][:, :8], atol=1e-6)
    assert not torch.allclose(ours.stages[3][:, 8:], theirs.stages[3][:, 8:], atol=1e-3)
    # The cascade has read the token at its own column.
    assert not torch.allclose(cascade.stages[3][:, 5:6], changed.stages[3][:, 5:6], atol=1e-3)
    assert [each.shape for each in ours.stages] == [each.shape for each in cascade.stages]


def test_a_restarted_layer_is_no_copy_and_the_rest_stays():
    model = grow_chain(tiny_model(0), 1, torch.Generator().manual_seed(0))
    copied = model.chain[0].layer.mlp.up_proj.weight.clone()
    projection = model.chain[0].projection.weight.clone()
    assert torch.equal(copied, model.layers[-1].mlp.up_proj.weight)
    restart_layer(model, 0, torch.Generator().manual_seed(1))
    assert not torch.equal(copied, model.chain[0].layer.mlp.up_proj.weight)
    assert torch.equal(projection, model.chain[0].projection.weight)


def test_attached_lets_the_backbone_move():
    stage = attached(replace(STAGES[3], modules=2), 1e-3)
    model = stage.prepare(tiny_model(1), torch.Generator().manual_seed(0))
    assert {part for part, _, _ in stage.parameters(model)} == {Part.BACKBONE, Part.CHAIN}
    assert all(parameter.requires_grad for parameter in model.parameters())
