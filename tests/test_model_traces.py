"""Traces and patches: the contract of names, what is captured, and that eager looks do not change the meaning."""

import pytest
import torch
from tiny import random_ids, random_prompts, tiny_model

from labkit.generation import generate
from labkit.model import Pass, hook_names, trace_memory

EXPECTED_NAMES = [
    "backbone.0.resid_pre",
    "backbone.0.pattern",
    "backbone.0.z",
    "backbone.0.attn_out",
    "backbone.0.mlp_out",
    "backbone.0.resid_post",
    "backbone.1.resid_pre",
    "backbone.1.pattern",
    "backbone.1.z",
    "backbone.1.attn_out",
    "backbone.1.mlp_out",
    "backbone.1.resid_post",
    "backbone.final",
    "module.0.embed",
    "module.0.hidden",
    "module.0.resid_pre",
    "module.0.pattern",
    "module.0.z",
    "module.0.attn_out",
    "module.0.mlp_out",
    "module.0.resid_post",
    "module.0.final",
]


def test_hook_names_are_a_contract() -> None:
    assert hook_names(tiny_model(1)) == EXPECTED_NAMES


def test_every_hook_catches_what_its_name_says() -> None:
    model, ids = tiny_model(1), torch.tensor([random_ids(7)])
    with model.traced(EXPECTED_NAMES) as trace:
        output = model(ids)
    assert trace.names == EXPECTED_NAMES
    for name in EXPECTED_NAMES:
        shape = {"pattern": (1, 4, 7, 7), "z": (1, 7, 4, 8)}.get(name.rpartition(".")[2], (1, 7, 32))
        assert trace[name].shape == shape, name
    assert torch.equal(trace["backbone.0.resid_pre"], model.embed(ids))
    assert torch.equal(trace["backbone.1.resid_pre"], trace["backbone.0.resid_post"])
    assert torch.equal(trace["backbone.final"], output.stages[0])
    for layer, name in ((model.layers[0], "backbone.0"), (model.chain[0].layer, "module.0")):
        first = 1 if name == "module.0" else 0
        pre, attention, mlp = (
            trace[f"{name}.{part}"][:, first:] for part in ("resid_pre", "attn_out", "mlp_out")
        )
        torch.testing.assert_close(pre + attention + mlp, trace[f"{name}.resid_post"][:, first:])
        heads = trace[f"{name}.z"][:, first:].flatten(2)
        torch.testing.assert_close(layer.self_attn.o_proj(heads), attention)
        torch.testing.assert_close(
            trace[f"{name}.pattern"][:, :, first:].sum(-1), torch.ones(1, 4, 7 - first)
        )
    joined = torch.cat([trace["module.0.embed"], trace["module.0.hidden"]], -1)[:, 1:]
    torch.testing.assert_close(model.chain[0].projection(joined), trace["module.0.resid_pre"][:, 1:])
    assert torch.equal(trace["module.0.final"][:, 1:], output.stages[1])
    assert trace["module.0.final"][:, 0].isnan().all(), "module 0 has no row at position 0"


def test_looking_at_one_layer_leaves_the_others_fast_and_the_masks_alike() -> None:
    """Pattern rows come from eager attention, all else from sdpa; both must mean the same mask."""
    ids = torch.tensor([random_ids(9), random_ids(9, 1)])
    mask = torch.ones(2, 9)
    mask[1, :4] = 0
    runs = {}
    for kernel in ("eager", "sdpa"):
        model = tiny_model(2, kernel)
        with model.traced(["backbone.1.pattern", "module.1.pattern"]) as trace:
            runs[kernel] = model(ids, attention_mask=mask), trace
    for name in ("backbone.1.pattern", "module.1.pattern"):
        eager, mixed = (runs[kernel][1][name] for kernel in ("eager", "sdpa"))
        assert torch.equal(eager.isnan(), mixed.isnan())
        torch.testing.assert_close(eager, mixed, equal_nan=True, atol=1e-5, rtol=1e-5)
        assert torch.equal(mixed[0, 0].nan_to_num().triu(1), torch.zeros(9, 9))
    for stage in range(3):
        eager, mixed = (runs[kernel][0].stages[stage] for kernel in ("eager", "sdpa"))
        torch.testing.assert_close(eager[0], mixed[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(eager[1, 4:], mixed[1, 4:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("schedule", [[8192, 0], [1, 3], [1, 3, 4, 3]])
def test_a_traced_generation_looks_like_one_pass(schedule: list[int]) -> None:
    model, prompts = tiny_model(3), random_prompts([9, 4])
    names = ["backbone.0.pattern", "backbone.final", "module.0.pattern", "module.1.z", "module.2.resid_post"]
    if schedule == [8192, 0]:
        names = names[:2]
    with model.traced(names) as cached:
        made = generate(model, prompts, schedule, max_new_tokens=16).ids()
    for row, prompt in enumerate(prompts):
        with model.traced(names) as whole:
            model(torch.tensor([prompt + made[row]]))
        for name in names:
            found, expected = cached[name][row], whole[name][0]
            if name.endswith("pattern"):
                last = min(found.shape[2], expected.shape[2])
                found, expected = found[..., :last].transpose(0, 1), expected[..., :last].transpose(0, 1)
            reached = ~found.flatten(1).isnan().any(1)
            assert reached.sum() >= len(prompt)
            found, expected = found[reached], expected[: len(reached)][reached[: len(expected)]]
            torch.testing.assert_close(found[: len(expected)], expected, atol=1e-4, rtol=1e-4)


def test_chosen_positions_only() -> None:
    model = tiny_model(2)
    ids, mask = torch.tensor([random_ids(8), random_ids(8, 1)]), torch.ones(2, 8)
    mask[1, :3] = 0
    names = ["backbone.0.pattern", "module.1.final"]
    with model.traced(names) as everything:
        model(ids, attention_mask=mask)
    with model.traced(names, positions=[4, 2, 40]) as some:
        model(ids, attention_mask=mask)
    assert some["backbone.0.pattern"].shape == (2, 4, 3, 8)
    for name in names:
        axis = 2 if name.endswith("pattern") else 1
        expected = everything[name].index_select(axis, torch.tensor([4, 2]))
        torch.testing.assert_close(some[name].narrow(axis, 0, 2), expected, equal_nan=True)
        assert some[name].select(axis, 2).isnan().all(), "no token at position 40"
    assert some.nbytes < everything.nbytes


def test_positions_that_all_lie_beyond_the_sequence_are_nan() -> None:
    model, names = tiny_model(1), ["backbone.0.pattern", "backbone.final"]
    with model.traced(names, positions=[40, 50]) as trace:
        model(torch.tensor([random_ids(8)]))
    for name, shape in zip(names, [(1, 4, 2, 8), (1, 2, 32)], strict=True):
        assert trace[name].shape == shape
        assert trace[name].isnan().all()


def test_memory_is_known_beforehand_and_limited() -> None:
    model, ids = tiny_model(2), torch.tensor([random_ids(10), random_ids(10, 1)])
    names = ["backbone.0.pattern", "backbone.1.z", "backbone.final"]
    with model.traced(names) as trace:
        model(ids)
    assert trace.nbytes == trace_memory(model, names, batch=2, tokens=10)
    assert trace_memory(model, names, batch=2, tokens=10, positions=3) == trace.nbytes * 3 // 10
    with pytest.raises(MemoryError, match="would pass its limit of 1000 B"), model.traced(names, limit=1000):
        model(ids)
    assert not model._taps
    model(ids)  # and no hook is left behind


def test_a_new_sequence_replaces_the_old() -> None:
    model = tiny_model(1)
    with model.traced(["backbone.final"]) as trace:
        model(torch.tensor([random_ids(8)]))
        held = trace.nbytes
        expected = model(torch.tensor([random_ids(5, 1)])).stages[0]
    assert torch.equal(trace["backbone.final"], expected)
    assert trace.nbytes == held * 5 // 8


def test_what_cannot_be_traced_is_refused() -> None:
    model = tiny_model(1)
    with pytest.raises(ValueError, match=r"no hook point 'backbone\.7\.z'"), model.traced(["backbone.7.z"]):
        pass
    with model.traced(["backbone.final"]) as trace:
        pass
    with pytest.raises(ValueError, match="saw no pass"):
        trace["backbone.final"]
    with pytest.raises(KeyError, match="was not traced"):
        trace["module.0.final"]
    packed = {"positions": torch.tensor([[0, 1, 0, 1]])}
    with pytest.raises(ValueError, match="packed"), model.traced(["backbone.final"]):
        model(torch.tensor([[1, 2, 3, 4]]), **packed)


@pytest.mark.parametrize("name", [name for name in EXPECTED_NAMES if not name.endswith("pattern")])
def test_patching_replaces_what_a_trace_would_show(name: str) -> None:
    model, clean, other = tiny_model(1), torch.tensor([random_ids(6)]), torch.tensor([random_ids(6, 1)])
    with model.traced([name]) as source:
        model(other)
    kept = source[name]

    def replace(activation: torch.Tensor, p: Pass) -> torch.Tensor:
        return kept[:, p.start : p.stop]

    with model.patched({name: replace}), model.traced([name, "module.0.final"]) as patched:
        output = model(clean)
    plain = model(clean)
    torch.testing.assert_close(patched[name], kept, equal_nan=True)
    assert not torch.equal(output.stages[1], plain.stages[1]), "the patch reaches the end"
    with model.patched({name: lambda activation, p: None}):
        assert torch.equal(model(clean).stages[1], plain.stages[1])


def test_a_pattern_cannot_be_patched() -> None:
    model = tiny_model(1)
    with (
        pytest.raises(ValueError, match="can only be read"),
        model.patched({"backbone.0.pattern": lambda a, p: a}),
    ):
        model(torch.tensor([[1, 2]]))
