"""Growing a model between stages: 0 -> 1 -> 10 modules, and new rows for new tokens."""

import json

import pytest
import torch
from tiny import GOLDEN, golden_model, random_ids, tiny_model

from labkit.model import grow_chain, grow_vocabulary, load_speech_lm, save_speech_lm
from labkit.model.growth import grow_backbone, place_audio_tokens
from labkit.model.layout import released_state


def test_the_first_module_is_the_last_layer_with_a_random_projection() -> None:
    model = tiny_model(0, hidden_size=64)
    grow_chain(model, 1, torch.Generator().manual_seed(5))
    module = model.chain[0]
    for name, tensor in model.layers[-1].state_dict().items():
        assert torch.equal(tensor, module.layer.state_dict()[name])
    assert module.layer.self_attn.layer_idx == 2
    assert torch.equal(module.embed_norm.weight, torch.ones(64))
    assert torch.equal(module.hidden_norm.weight, torch.ones(64))
    expected = torch.empty(64, 128).normal_(0, 0.02, generator=torch.Generator().manual_seed(5))
    assert torch.equal(module.projection.weight, expected)
    model.layers[-1].mlp.up_proj.weight.data.zero_()
    assert module.layer.mlp.up_proj.weight.any(), "a copy, not the same tensor"


def test_one_to_ten_modules_as_the_public_code_grows() -> None:
    recorded = json.loads((GOLDEN / "expand_k1_to_k10" / "case.json").read_text())
    model = load_speech_lm(GOLDEN / "k1_untied", tell=None)
    before = set(released_state(model))
    grow_chain(model, 10)
    state = released_state(model)
    assert set(state) - before == set(recorded["missing_keys"])
    for what, source, target in recorded["copies"]:
        prefix = "model.layers" if what == "layer" else what
        copied = [key for key in state if key.startswith(f"{prefix}.{target}.")]
        assert copied
        for key in copied:
            assert torch.equal(state[key], state[key.replace(f"{prefix}.{target}.", f"{prefix}.{source}.")])
    assert [module.layer.self_attn.layer_idx for module in model.chain] == list(range(3, 13))


def test_a_grown_chain_trains_runs_and_saves(tmp_path) -> None:
    model = grow_chain(tiny_model(1), 3)
    assert all(parameter.requires_grad for parameter in model.parameters())
    pointers = {parameter.data_ptr() for parameter in model.chain.parameters()}
    assert len(pointers) == len(list(model.chain.parameters())), "modules share no tensor"
    model(torch.tensor([random_ids(6)])).stages[-1].sum().backward()
    save_speech_lm(model, tmp_path)
    assert load_speech_lm(tmp_path, tell=None).num_modules == 3


def test_growing_needs_a_direction_and_a_generator() -> None:
    with pytest.raises(ValueError, match="has 3 modules already"):
        grow_chain(tiny_model(3), 2)
    with pytest.raises(ValueError, match=r"give a torch\.Generator"):
        grow_chain(tiny_model(0), 1)
    assert grow_chain(tiny_model(3), 3).num_modules == 3


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_are_the_mean_of_the_old(tied: bool, tmp_path) -> None:
    model = tiny_model(1, tie_word_embeddings=tied)
    old = model.embed(torch.arange(90)).detach().clone()
    grow_vocabulary(model, 400, used_rows=90)
    assert model.config.vocab_size == 400
    assert torch.equal(model.embed(torch.arange(90)), old)
    torch.testing.assert_close(model.embed(torch.arange(90, 400)), old.mean(0).expand(310, -1))
    assert (model.backbone.lm_head.weight is model.backbone.model.embed_tokens.weight) == tied
    assert model.head(model(torch.tensor([[399, 1]])).stages[0]).shape == (1, 2, 400)
    save_speech_lm(model, tmp_path)
    assert load_speech_lm(tmp_path, tell=None).config.vocab_size == 400


def test_a_vocabulary_cannot_shrink_into_its_tokens() -> None:
    with pytest.raises(ValueError, match="cannot grow to 50"):
        grow_vocabulary(tiny_model(0), 50)


def test_audio_tokens_begin_where_the_codec_has_them() -> None:
    model = tiny_model(0)
    before = model.backbone.model.embed_tokens.weight.detach().clone()
    codes = torch.randn(6, 4, generator=torch.Generator().manual_seed(3))
    codes[5] = codes[2] + 0.01
    place_audio_tokens(model, 10, codes, torch.Generator().manual_seed(0))
    after = model.backbone.model.embed_tokens.weight.detach()
    assert torch.equal(before[:10], after[:10])
    assert torch.equal(before[16:], after[16:])
    distances = torch.cdist(after[10:16], after[10:16]).fill_diagonal_(torch.inf)
    assert distances.argmin(1)[2] == 5, "codes that are near each other stay so"
    torch.testing.assert_close(after[10:16].mean(0), before[10:16].mean(0))
    with pytest.raises(ValueError, match="do not fit"):
        place_audio_tokens(model, model.config.vocab_size - 3, codes, torch.Generator())


def test_golden_models_are_left_alone() -> None:
    assert golden_model("k1_untied").num_modules == 1


def test_a_deeper_backbone_computes_the_same_and_can_learn(tmp_path) -> None:
    model, ids = tiny_model(0), torch.tensor([random_ids(9)])
    deeper = grow_backbone(model, 2)
    assert (len(model.layers), len(deeper.layers)) == (2, 4)
    assert torch.equal(deeper(ids).stages[0], model(ids).stages[0])
    deeper(ids).stages[0].square().sum().backward()
    for layer in deeper.layers[2:]:
        assert layer.self_attn.o_proj.weight.grad.any()
        assert layer.mlp.down_proj.weight.grad.any()
        assert torch.equal(layer.self_attn.q_proj.weight, model.layers[-1].self_attn.q_proj.weight)
    save_speech_lm(deeper, tmp_path)
    assert torch.equal(load_speech_lm(tmp_path, tell=None)(ids).stages[0], model(ids).stages[0])
    module = grow_chain(deeper, 1, torch.Generator()).chain[0]
    assert module.layer.self_attn.layer_idx == 4


def test_a_backbone_grows_before_its_chain() -> None:
    with pytest.raises(ValueError, match="under a chain of 3 modules"):
        grow_backbone(tiny_model(3), 1)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        grow_backbone(tiny_model(0), 0)
