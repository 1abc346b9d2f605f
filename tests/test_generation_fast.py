"""The fast path beside the readable one: the same tokens, in every mode, alone and in padded batches."""

from collections.abc import Callable, Hashable

import pytest
import torch
from tiny import VOCABULARY, golden_model, random_ids, random_prompts, tiny_model

from labkit.generation import FastPath, GenerationState, Sampler, generate
from labkit.generation.constraint import FullHead
from labkit.generation.decode import decode
from labkit.generation.fast import MOST_FIXED_ROWS, FastState
from labkit.generation.layers import MOST_ROWS, decoder_layer
from labkit.generation.sampling import greedy
from labkit.interleave import MODES, parse
from labkit.model import SpeechLM, tokens_at
from labkit.model.knockouts import Knockout

SCHEDULES = [*MODES, [2, 5, 1, 10], [1, 3, 4, 3]]
PROMPTS = {"alone": [9], "one token": [1], "padded": [7, 1, 20, 12]}


class Repeats:
    """Stands for CUDA graphs: after the second call of a key, only that call's function is ever run again."""

    def __init__(self) -> None:
        self.calls: dict[Hashable, int] = {}
        self.recorded: dict[Hashable, Callable[[], torch.Tensor]] = {}

    def run(self, key: Hashable, function: Callable[[], torch.Tensor]) -> torch.Tensor:
        self.calls[key] = self.calls.get(key, 0) + 1
        if self.calls[key] == 2:
            self.recorded[key] = function
        return self.recorded.get(key, function)()


def sampler() -> Sampler:
    return Sampler(torch.Generator().manual_seed(3), temperature=0.9, top_k=20, top_p=0.9)


@pytest.mark.parametrize("lengths", PROMPTS.values(), ids=PROMPTS)
@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("recorded", [False, True])
def test_the_tokens_are_the_same(schedule: object, lengths: list[int], recorded: bool) -> None:
    model, prompts = tiny_model(10), random_prompts(lengths)
    fast = FastPath(model, capacity=max(lengths) + 40, batch=len(lengths))
    if recorded:
        fast._graphs = Repeats()
    for options in ({}, {"vocabulary": VOCABULARY, "constrained": True, "stop_ids": ()}):
        for choose in (lambda: greedy, sampler):
            slow = generate(model, prompts, schedule, max_new_tokens=40, choose=choose(), **options)
            quick = generate(
                model, prompts, schedule, max_new_tokens=40, choose=choose(), fast=fast, **options
            )
            assert quick.ids() == slow.ids()
            assert quick.report == slow.report
    if recorded:
        assert fast._graphs.recorded


@pytest.mark.parametrize("schedule", ["turbo", "boost"])
def test_logits_differ_by_rounding_alone(schedule: str) -> None:
    """Weights of a size at which an error anywhere in the chain of ten would show a hundredfold."""
    model, prompts, mode = golden_model("k10_untied"), random_prompts([40]), parse(schedule)
    states = [
        GenerationState(model, prompts, 40, mode.modules_needed),
        FastState(FastPath(model, 80), prompts, 40, mode.modules_needed),
    ]
    pairs = zip(*(decode(model, s, mode.maker, FullHead(model, greedy), 40) for s in states), strict=True)
    for slow, quick in pairs:
        torch.testing.assert_close(quick.logits, slow.logits, atol=3e-4, rtol=0)
        assert (quick.module, quick.first_column, quick.fed) == (slow.module, slow.first_column, slow.fed)


def test_large_weights_are_laid_out_anew() -> None:
    model = tiny_model(
        2, hidden_size=1024, intermediate_size=768, num_attention_heads=16, tie_word_embeddings=True
    )
    fast = FastPath(model, 60)
    prompt = random_ids(30)
    for schedule in ("vanilla", [1, 2]):
        slow = generate(model, prompt, schedule, max_new_tokens=20).ids()
        assert generate(model, prompt, schedule, max_new_tokens=20, fast=fast).ids() == slow
    layer = 1024 * 1024 * 2 + 2 * 1024 * 128 + 3 * 1024 * 768
    assert fast.weight_bytes == 4 * (4 * layer + 2 * 2 * 1024 * 1024)


def test_small_weights_are_held_once() -> None:
    model = tiny_model(1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fast = FastPath(model, 30)
    attention = model.layers[0].self_attn
    assert fast.weight_bytes == 0
    assert attention.k_proj.weight.untyped_storage().data_ptr() == (
        attention.q_proj.weight.untyped_storage().data_ptr()
    )
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_verified_decoding() -> None:
    model, prompts = tiny_model(4), random_prompts([9, 2])
    fast = FastPath(model, 60, batch=2)
    slow = generate(model, prompts, max_new_tokens=40, verified=True)
    quick = generate(model, prompts, max_new_tokens=40, verified=True, fast=fast)
    assert quick.ids() == slow.ids()
    assert quick.report == slow.report


def test_continuous_audio() -> None:
    model, prompts = tiny_model(3), random_prompts([6, 3])
    drawn = torch.Generator().manual_seed(0)
    embeds = [torch.randn(len(prompt), 32, generator=drawn) for prompt in prompts]
    options = {"max_new_tokens": 20, "prompt_embeds": embeds}
    fast = FastPath(model, 30, batch=2)
    assert generate(model, prompts, [1, 3], fast=fast, **options).ids() == (
        generate(model, prompts, [1, 3], **options).ids()
    )


def test_passes_of_one_shape_are_recorded_once() -> None:
    """Turbo takes 11 columns everywhere, so that backbone and ten modules come to eleven recordings."""
    model = tiny_model(10)
    fast = FastPath(model, 400)
    fast._graphs = Repeats()
    generate(model, random_ids(MOST_FIXED_ROWS + 1), "turbo", max_new_tokens=300, fast=fast).ids()
    assert len(fast._graphs.calls) == 11
    assert {key[1] for key in fast._graphs.calls} == {11}
    fast._graphs = Repeats()
    generate(model, random_ids(MOST_FIXED_ROWS + 1), "boost", max_new_tokens=300, fast=fast).ids()
    assert {key[:2] for key in fast._graphs.calls} == {
        (0, 1),
        (0, 11),
        *((stage, 14) for stage in range(1, 11)),
    }


def test_a_compiled_layer_meets_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = set()

    def compiled(rows, weights, keys, values, reach, *rest):
        shapes.add((rows.shape[1], reach.keys, rest[-1]))
        return decoder_layer(rows, weights, keys, values, reach, *rest)

    monkeypatch.setattr(torch, "compile", lambda function, dynamic: compiled)
    model, prompt = tiny_model(10), random_ids(MOST_FIXED_ROWS + 1)
    fast = FastPath(model, 512, compiled=True)
    slow = generate(model, prompt, "turbo", max_new_tokens=200)
    assert generate(model, prompt, "turbo", max_new_tokens=200, fast=fast).ids() == slow.ids()
    assert shapes == {(11, 512, False), (11, 512, True)}


def test_long_prompts_look_in_blocks() -> None:
    model, prompts = (
        tiny_model(3, max_position_embeddings=1024),
        random_prompts([MOST_ROWS + 50, MOST_ROWS + 3]),
    )
    for batch in (prompts[:1], prompts):
        fast = FastPath(model, MOST_ROWS + 80, batch=len(batch))
        slow = generate(model, batch, [1, 3], max_new_tokens=20).ids()
        assert generate(model, batch, [1, 3], max_new_tokens=20, fast=fast).ids() == slow


def test_the_memory_does_not_grow() -> None:
    model = tiny_model(3)
    fast = FastPath(model, 100)
    caches = [cache.data_ptr() for stage in fast._caches for pair in stage for cache in pair]
    keys_and_values = 5 * 2 * 2 * 8 * 100 * 4
    assert fast.cache_bytes == keys_and_values + 3 * 100 * 32 * 4
    run = generate(model, random_ids(10), [1, 3], max_new_tokens=90, fast=fast)
    run.ids()
    assert caches == [cache.data_ptr() for stage in fast._caches for pair in stage for cache in pair]
    assert run.state.cache.nbytes == 0


def test_one_generation_at_a_time() -> None:
    model = tiny_model(3)
    fast = FastPath(model, 100)
    first = generate(model, random_ids(5), [1, 3], max_new_tokens=20, fast=fast)
    next(first)
    generate(model, random_ids(6), [1, 3], max_new_tokens=20, fast=fast).ids()
    with pytest.raises(RuntimeError, match="taken this fast path over"):
        first.ids()


def looked_into(model: SpeechLM) -> list:
    return [
        model.traced(["backbone.0.resid_pre"]),
        model.patched({"backbone.0.resid_pre": lambda value, p: value}),
        model.knocked_out([Knockout(tokens_at([2]), tokens_at([0]))]),
    ]


@pytest.mark.parametrize("way", range(3))
def test_it_cannot_be_looked_into(way: int) -> None:
    model = tiny_model(1)
    fast = FastPath(model, 30)
    with pytest.raises(ValueError, match="readable path"), looked_into(model)[way]:
        generate(model, random_ids(5), max_new_tokens=3, fast=fast).ids()


def test_what_is_refused() -> None:
    model = tiny_model(1)
    with pytest.raises(ValueError, match="room for a token"):
        FastPath(model, 0)
    with pytest.raises(ValueError, match="512 positions"):
        FastPath(model, 513)
    with pytest.raises(ValueError, match="NVIDIA"):
        FastPath(model, 10, graphs=True)
    with pytest.raises(ValueError, match="another model"):
        generate(tiny_model(1), [1], fast=FastPath(model, 10))
    with pytest.raises(ValueError, match="room for 1 x 10 tokens"):
        generate(model, [1], max_new_tokens=10, fast=FastPath(model, 10))
    with pytest.raises(ValueError, match="room for 1 x 10 tokens"):
        generate(model, [[1], [2]], max_new_tokens=3, fast=FastPath(model, 10))
    scaled = tiny_model(1, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0})
    with pytest.raises(ValueError, match="change with the length"):
        FastPath(scaled, 10)
