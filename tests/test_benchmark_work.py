"""The work behind each token, the rooflines and cost models that follow from it, and the paper's own totals."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import VOCABULARY, random_ids, tiny_model

from labkit.benchmark import paper
from labkit.benchmark.cost import CostModel, fit_steps, fit_totals
from labkit.benchmark.work import Bytes, roofline, work
from labkit.generation import FastPath, GenerationReport, GenerationState, generate
from labkit.generation.constraint import ConstrainedHead
from labkit.generation.decode import decode
from labkit.interleave import BALANCE, BOOST, MODES, TURBO, VANILLA
from labkit.model import estimate_memory, size_config
from labkit.vocabulary import released_vocabulary

CONFIG = size_config("0.5B")


@pytest.mark.parametrize("mode", MODES.values(), ids=str)
def test_it_is_what_decoding_does(mode) -> None:
    """Columns and head rows counted from the schedule are those of a run."""
    model, prompt = tiny_model(10), random_ids(9)
    state = GenerationState(model, [prompt], 60, mode.modules_needed)

    def first_audio_or_tag(logits: torch.Tensor) -> torch.Tensor:
        slot = mode.holds(len(state.ids[0, len(prompt) : state.length]))
        return torch.tensor([1 if slot == "audio" else 0])

    head = ConstrainedHead(model, first_audio_or_tag, mode, VOCABULARY, [prompt], GenerationReport())
    made = [
        (step.module, step.fed, step.logits.shape[1]) for step in decode(model, state, mode.maker, head, 60)
    ]
    counted = work(mode, 60, len(prompt), VOCABULARY.padded_size, VOCABULARY)
    assert made == [(each.module, each.columns, each.head_rows) for each in counted]


def test_the_whole_head_is_scored_without_a_vocabulary() -> None:
    assert {each.head_rows for each in work(BOOST, 30, 5, 1000)} == {1000}
    with pytest.raises(ValueError, match="at least one token"):
        list(work(BOOST, 30, 0, 1000))


def test_bytes_are_those_of_the_parameters() -> None:
    size = Bytes.of(CONFIG, 4)
    whole = estimate_memory(CONFIG, 10, torch.float32).parameter_bytes
    final_norm = CONFIG.hidden_size * 4
    assert size.backbone + 10 * size.module + CONFIG.vocab_size * size.head_row + final_norm == whole
    assert size.column == 2 * 2 * 64 * 4


def test_the_roofline_counts_weights_once_a_pass() -> None:
    size = Bytes.of(CONFIG, 2)
    one = roofline(VANILLA, 1, 1, CONFIG, 2, bandwidth=1e9)
    expected = size.backbone + 168072 * size.head_row + 24 * size.column
    assert one == pytest.approx(expected / 1e9)
    # Ideal speed-ups over Vanilla, the whole head scored everywhere: of a small model most of a module is the head.
    ideal = {("0.5B", BOOST): 1.9, ("0.5B", TURBO): 2.6, ("7B", BOOST): 2.7, ("7B", TURBO): 5.0}
    for (name, mode), speedup in ideal.items():
        config, vocabulary = size_config(name), released_vocabulary()
        vanilla, full = (roofline(each, 1120, 1, config, 2, 1e9) for each in (VANILLA, mode))
        assert vanilla / full == pytest.approx(speedup, rel=0.05)
        assert roofline(mode, 1120, 1, config, 2, 1e9, vocabulary) < full


@pytest.mark.parametrize("size", paper.SIZES)
def test_two_constants_say_the_papers_totals(size: str) -> None:
    constants = paper.constants(size)
    for name, mode in MODES.items():
        total = constants.predict(*mode.passes(paper.TOKENS))
        assert total == pytest.approx(paper.TABLE_8[size, name], rel=0.0055)
    assert constants.main > 4 * constants.module


def test_the_papers_constants() -> None:
    assert paper.constants("7B") == pytest.approx((0.01541, 0.00205), rel=0.01)
    with pytest.raises(ValueError, match="two totals"):
        fit_totals([(1, 0, 1.0)])


seconds = st.floats(1e-6, 1.0)


@settings(deadline=None, max_examples=20)
@given(st.tuples(seconds, seconds, seconds, seconds, st.floats(1e-9, 1e-5), st.floats(0, 1e-5)))
def test_the_fit_finds_the_constants_that_made_the_times(constants: tuple[float, ...]) -> None:
    truth = CostModel(*constants, layers=24)
    vocabulary = released_vocabulary()
    steps = [
        each
        for mode in (BOOST, TURBO, VANILLA)
        for own in (None, vocabulary)
        for each in work(mode, 64, 12, 168072, own)
    ]
    found = fit_steps(((each, truth.step(each)) for each in steps), 24, truth.key)
    for mode in MODES.values():
        unseen = list(work(mode, 512, 12, 168072, vocabulary))
        assert found.predict(unseen) == pytest.approx(truth.predict(unseen), rel=1e-3)


def test_a_pause_of_the_machine_does_not_weigh() -> None:
    truth = CostModel(0.05, 0.003, 0.001, 0.0001, 2e-7, 0.0, 24)
    steps = [(each, truth.step(each)) for each in itertools.islice(work(TURBO, 300, 12, 5000), 20, None)]
    steps[7] = steps[7][0], 5.0
    found = fit_steps(steps, 24)
    again = list(work(TURBO, 300, 12, 5000))
    assert found.predict(again) == pytest.approx(truth.predict(again), rel=0.05)


def test_both_makers_are_needed() -> None:
    with pytest.raises(ValueError, match="Turbo"):
        fit_steps(((each, 1.0) for each in work(VANILLA, 30, 5, 1000)), 24)


def test_a_model_scales_with_its_bytes() -> None:
    model = CostModel(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 24)
    wider = model.scaled(CONFIG, size_config("7B"))
    small, large = Bytes.of(CONFIG, 4), Bytes.of(size_config("7B"), 4)
    assert wider.main == wider.column == pytest.approx(large.backbone / small.backbone)
    assert wider.module == pytest.approx(large.module / small.module)
    assert wider.head_row == 4
    assert wider.key == pytest.approx(28 / 24 * 4)  # layers, and bytes of keys and values in each
    assert wider.layers == 28
    assert model.scaled(CONFIG, CONFIG) == model


def test_events_and_work_go_together() -> None:
    model, prompt = tiny_model(10), random_ids(9)
    events = list(generate(model, prompt, BALANCE, max_new_tokens=40, fast=FastPath(model, 60)))
    steps = work(BALANCE, 40, 9, VOCABULARY.padded_size)
    assert [event.module for event in events] == [each.module for each in steps]
