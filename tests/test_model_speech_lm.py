"""SpeechLM against transformers and against section 3.2 spelled out; batches, packing, errors, no memory."""

import copy

import pytest
import torch
from tiny import random_ids, tiny_config, tiny_model
from transformers import Qwen2Config, Qwen2ForCausalLM

from labkit.generation import generate
from labkit.model import SpeechLM


def test_the_backbone_is_transformers_qwen2() -> None:
    model = tiny_model(2)
    twin = Qwen2ForCausalLM(Qwen2Config(**{**model.config.to_dict(), "attn_implementation": "eager"})).eval()
    twin.load_state_dict(model.backbone.state_dict())
    ids = torch.tensor([random_ids(11), random_ids(11, 1)])
    ours = model.head(model(ids).stages[0])
    torch.testing.assert_close(ours, twin(ids).logits, atol=1e-4, rtol=1e-4)


def test_module_zero_is_equation_3() -> None:
    """One row of module 0, written out with nothing but matrix products."""
    model = tiny_model(1, num_attention_heads=1, num_key_value_heads=1)
    ids = torch.tensor([random_ids(2)])
    output = model(ids)
    module, weights = model.chain[0], model.chain[0].layer

    def norm(x: torch.Tensor, by: torch.nn.Module) -> torch.Tensor:
        return by.weight * x / (x.square().mean() + by.variance_epsilon).sqrt()

    embedding, previous = model.embed(ids)[0, 1], output.stages[0][0, 0]
    x = module.projection.weight @ torch.cat(
        [norm(embedding, module.embed_norm), norm(previous, module.hidden_norm)]
    )
    # The first row of the module sees itself alone, so attention returns its own value.
    seen = norm(x, weights.input_layernorm)
    attention = weights.self_attn
    x = x + attention.o_proj.weight @ (attention.v_proj.weight @ seen + attention.v_proj.bias)
    y = norm(x, weights.post_attention_layernorm)
    gate = torch.nn.functional.silu(weights.mlp.gate_proj.weight @ y)
    x = x + weights.mlp.down_proj.weight @ (gate * (weights.mlp.up_proj.weight @ y))
    torch.testing.assert_close(
        norm(x, model.backbone.model.norm), output.stages[1][0, 0], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(attention: str, side: str) -> None:
    model = tiny_model(3, attention)
    rows = [random_ids(length, length) for length in (9, 4, 1)]
    ids, mask = torch.full((3, 9), 5), torch.zeros(3, 9, dtype=torch.long)
    spans = [slice(9 - len(row), 9) if side == "left" else slice(0, len(row)) for row in rows]
    for index, (row, span) in enumerate(zip(rows, spans, strict=True)):
        ids[index, span], mask[index, span] = torch.tensor(row), 1
    batch = model(ids, attention_mask=mask).stages
    for index, (row, span) in enumerate(zip(rows, spans, strict=True)):
        for stage, alone in enumerate(model(torch.tensor([row])).stages):
            first = span.start + stage  # of the module's own rows
            found = batch[stage][index, first - stage : span.stop - stage]
            torch.testing.assert_close(found, alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_packed_samples_do_not_see_each_other(attention: str) -> None:
    model = tiny_model(3, attention)
    rows = [random_ids(length, length) for length in (6, 2, 8)]
    ids = torch.tensor([[token for row in rows for token in row]])
    positions = torch.tensor([[p for row in rows for p in range(len(row))]])
    packed = model(ids, positions=positions).stages
    column = 0
    for row in rows:
        for stage, alone in enumerate(model(torch.tensor([row])).stages):
            found = packed[stage][0, column : column + len(row) - stage]
            torch.testing.assert_close(found, alone[0], atol=1e-5, rtol=1e-5)
        column += len(row)


def test_embeddings_may_stand_in_for_ids() -> None:
    model = tiny_model(2)
    ids = torch.tensor([random_ids(7)])
    for given, expected in zip(model(embeds=model.embed(ids)).stages, model(ids).stages, strict=True):
        assert torch.equal(given, expected)


def test_a_short_sequence_reaches_only_the_first_modules() -> None:
    assert len(tiny_model(3)(torch.tensor([[1, 2]])).stages) == 2


def test_nothing_is_remembered_between_calls() -> None:
    model = tiny_model(3)
    ids = torch.tensor([random_ids(9)])

    def everything() -> dict[str, dict]:
        return {name: copy.copy(vars(module)) for name, module in model.named_modules()}

    before, first = everything(), model(ids).stages[-1]
    generate(model, random_ids(5), [1, 3], max_new_tokens=12).ids()
    generate(model, random_ids(5), max_new_tokens=12, verified=True).ids()
    after = everything()
    assert after.keys() == before.keys()
    for name, attributes in before.items():
        assert attributes.keys() == after[name].keys()
        assert all(
            after[name][key] is value or after[name][key] == value for key, value in attributes.items()
        ), name
    assert torch.equal(model(ids).stages[-1], first)


def test_fresh_weights_come_from_the_generator_alone() -> None:
    state = torch.get_rng_state()
    first, second = (tiny_model(2, seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.chain[0].projection.weight.std().item() == pytest.approx(0.2, rel=0.1)
    assert torch.equal(first.backbone.model.norm.weight, torch.ones(32))


def test_dtype_and_tying() -> None:
    generator = torch.Generator().manual_seed(0)
    config = tiny_config(tie_word_embeddings=True)
    model = SpeechLM.from_config(config, 1, generator=generator, dtype=torch.bfloat16)
    assert model.dtype == torch.bfloat16
    assert model.backbone.lm_head.weight is model.backbone.model.embed_tokens.weight
    assert model.backbone.model.rotary_emb.inv_freq.dtype == torch.float32
    assert model(torch.tensor([[1, 2, 3]])).stages[1].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give ids, or embeds"),
        ({"ids": torch.tensor([[1, 2]]), "modules": 4}, "4 modules asked for, the chain has 3"),
        ({"ids": torch.zeros(1, 513, dtype=torch.long)}, "513 tokens, but the model has 512 positions"),
    ],
)
def test_bad_input_is_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_model(3)(**arguments)


def test_sliding_windows_are_refused() -> None:
    config = tiny_config(use_sliding_window=True, sliding_window=4, max_window_layers=0)
    with pytest.raises(ValueError, match="sliding-window"):
        SpeechLM.empty(config)
