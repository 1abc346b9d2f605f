"""Verified decoding equals Vanilla, token for token, whatever the chain drafts."""

import os

import pytest
import torch
from tiny import VOCABULARY, golden_model, random_ids, random_prompts, tiny_model

from labkit.generation import Sampler, generate
from labkit.model import SpeechLM, grow_chain

PROMPTS = 200 if os.environ.get("LABKIT_THOROUGH") else 40


def predictable_model(modules: int = 3) -> SpeechLM:
    """A model whose chain often guesses what its backbone will say: both mostly repeat the last token."""
    model = tiny_model(0, tie_word_embeddings=True, initializer_range=0.1)
    grow_chain(model, modules, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for module in model.chain:
            module.projection.weight[:, :32] += 0.5 * torch.eye(32)
    return model


@pytest.mark.parametrize("name", ["k1_untied", "k3_tied", "k10_untied"])
def test_random_prompts(name: str) -> None:
    model = golden_model(name)
    for seed in range(PROMPTS // 4):
        prompt = random_ids(1 + seed % 40, seed, 200)
        run = generate(model, prompt, max_new_tokens=16, verified=True)
        assert run.ids() == generate(model, prompt, max_new_tokens=16).ids(), seed


def test_random_prompts_with_drafts_that_hold() -> None:
    model = predictable_model()
    accepted = drafted = 0
    for seed in range(PROMPTS):
        prompt = random_ids(1 + seed % 40, seed)
        run = generate(model, prompt, max_new_tokens=24, verified=True)
        assert run.ids() == generate(model, prompt, max_new_tokens=24).ids(), seed
        accepted, drafted = accepted + run.report.accepted, drafted + run.report.drafted
    assert 0.1 < accepted / drafted < 0.99, "both fates of a draft are met"


def test_the_report_adds_up() -> None:
    run = generate(predictable_model(), random_ids(7), max_new_tokens=40, verified=True)
    events = list(run)
    report = run.report
    assert report.slots == len(events) == 40
    assert report.accepted == sum(event.module is not None for event in events)
    assert report.backbone_passes == 40 - report.accepted
    assert report.module_steps == report.drafted
    assert report.acceptance_length == pytest.approx(sum(report.acceptance) / len(report.acceptance))
    assert report.acceptance_length > 1.3
    assert (
        generate(predictable_model(), [1], max_new_tokens=1, verified=True).report.acceptance_length is None
    )


@pytest.mark.parametrize("drafts", [1, 2, 3])
def test_any_number_of_drafts(drafts: int) -> None:
    model, prompt = predictable_model(), random_ids(7)
    run = generate(model, prompt, max_new_tokens=30, verified=True, drafts=drafts)
    assert run.ids() == generate(model, prompt, max_new_tokens=30).ids()
    assert max(run.report.acceptance) <= drafts + 1


def test_batches_and_stops() -> None:
    model, prompts = predictable_model(), random_prompts([9, 2, 5, 1])
    plain = generate(model, prompts, max_new_tokens=30).ids()
    assert generate(model, prompts, max_new_tokens=30, verified=True).ids() == plain
    stop = plain[2][4]
    expected = generate(model, prompts, max_new_tokens=30, stop_ids=[stop]).ids()
    assert generate(model, prompts, max_new_tokens=30, stop_ids=[stop], verified=True).ids() == expected


def test_sampling_spends_its_random_numbers_as_vanilla_does() -> None:
    model, prompts = predictable_model(), random_prompts([9, 2, 5])

    def sampler() -> Sampler:
        return Sampler(torch.Generator().manual_seed(3), temperature=0.8, top_k=40)

    plain = generate(model, prompts, max_new_tokens=30, choose=sampler())
    assert generate(model, prompts, max_new_tokens=30, choose=sampler(), verified=True).ids() == plain.ids()


def test_constrained_too() -> None:
    model, prompt = predictable_model(), random_ids(7)
    options = {"max_new_tokens": 40, "vocabulary": VOCABULARY, "constrained": True, "stop_ids": ()}
    assert generate(model, prompt, verified=True, **options).ids() == generate(model, prompt, **options).ids()
