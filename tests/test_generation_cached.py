"""Cached generation equals a full recompute: every mode, any prompt, padded batches, both kernels."""

import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import golden_model, random_prompts, tiny_model

from labkit.generation import GenerationState, generate, greedy
from labkit.generation.constraint import FullHead
from labkit.generation.decode import decode
from labkit.generation.makers import planned_makers
from labkit.interleave import MODES, parse
from labkit.model import SpeechLM

THOROUGH = bool(os.environ.get("LABKIT_THOROUGH"))  # many more examples; takes some minutes
EXAMPLES = 150 if THOROUGH else 6
TEN_MODULES = [*MODES, [2, 5, 1, 10]]
THREE_MODULES = ["vanilla", [1, 3], [1, 3, 4, 3], [1, 1, 3, 2, 4, 3]]
KERNELS = ["eager", "sdpa"]


def largest_difference(model: SpeechLM, prompts: list[list[int]], schedule: object, tokens: int) -> float:
    """Between the logits of each cached step and those of one uncached pass over all tokens."""
    mode = parse(schedule)
    state = GenerationState(model, prompts, tokens, mode.modules_needed)
    makers = planned_makers(mode, model.num_modules)
    steps = list(decode(model, state, makers, FullHead(model, greedy), tokens))
    worst = 0.0
    for row, prompt in enumerate(prompts):
        ids = prompt + [int(step.ids[row]) for step in steps]
        with torch.no_grad():
            logits = [model.head(hidden[0]) for hidden in model(torch.tensor([ids])).stages]
        for step in steps:
            stage = 0 if step.module is None else step.module + 1
            whole = logits[stage][len(prompt) + step.index - 1 - stage]
            worst = max(worst, float((whole - step.logits[row]).abs().max()))
    return worst


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@pytest.mark.parametrize("attention", KERNELS)
@pytest.mark.parametrize("schedule", TEN_MODULES, ids=str)
@settings(deadline=None, max_examples=EXAMPLES)
@given(lengths, st.integers(0, 99))
def test_ten_modules(attention: str, schedule: object, lengths: list[int], seed: int) -> None:
    model = tiny_model(10, attention)
    assert largest_difference(model, random_prompts(lengths, seed), schedule, 30) <= 1e-4


@pytest.mark.parametrize("attention", KERNELS)
@pytest.mark.parametrize("schedule", THREE_MODULES, ids=str)
@settings(deadline=None, max_examples=EXAMPLES)
@given(lengths, st.integers(0, 99))
def test_three_modules(attention: str, schedule: object, lengths: list[int], seed: int) -> None:
    model = tiny_model(3, attention, tie_word_embeddings=True)
    assert largest_difference(model, random_prompts(lengths, seed), schedule, 30) <= 1e-4


@pytest.mark.parametrize("attention", KERNELS)
@pytest.mark.parametrize("length", [1, 5, 40])
def test_golden_weights(attention: str, length: int) -> None:
    """Their modules amplify rounding some hundredfold, so the bound stands wider here."""
    for schedule in MODES:
        prompts = random_prompts([length, 3], length)
        assert largest_difference(golden_model("k10_untied", attention), prompts, schedule, 30) <= 3e-4


@settings(deadline=None, max_examples=EXAMPLES)
@given(lengths, st.sampled_from([*MODES]), st.sampled_from(KERNELS))
def test_tokens_in_a_padded_batch_are_those_of_single_runs(
    lengths: list[int], mode: str, attention: str
) -> None:
    model = tiny_model(10, attention)
    prompts = random_prompts(lengths)
    together = generate(model, prompts, mode, max_new_tokens=20).ids()
    for prompt, row in zip(prompts, together, strict=True):
        assert generate(model, prompt, mode, max_new_tokens=20).ids() == [row]


@pytest.mark.parametrize(
    ("schedule", "backfill"),
    [("turbo", [40] * 10 + [11] * 20), ("boost", [40] * 10 + [14] * 20)],
)
def test_a_module_catches_up_on_just_what_it_skipped(schedule: str, backfill: list[int]) -> None:
    """The whole prompt at first; then 11 rows in Turbo, 14 in Boost."""
    model, mode = tiny_model(10), parse(schedule)
    state = GenerationState(model, random_prompts([40]), 60, 10)
    steps = list(decode(model, state, mode.maker, FullHead(model, greedy), 60))
    assert [step.fed for step in steps if step.module is not None][:30] == backfill


def test_the_cache_is_no_larger_than_asked_for() -> None:
    model = tiny_model(10)
    run = generate(model, random_prompts([10]), "turbo", max_new_tokens=20)
    run.ids()
    layers, heads, head_dim = 12, 2, 8
    assert run.state.cache.nbytes == layers * 2 * heads * head_dim * 30 * 4
