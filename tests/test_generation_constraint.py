"""Constrained decoding: only what can stand in a slot wins, from a smaller matrix product; the change is counted."""

import math

import pytest
import torch
from tiny import VOCABULARY, random_ids, random_prompts, tiny_model

from labkit.generation import GenerationReport, Sampler, generate, greedy
from labkit.generation import constraint as constraint_module
from labkit.generation.constraint import ConstrainedHead
from labkit.interleave import BOOST, MODES, Content, deinterleave
from labkit.vocabulary import released_vocabulary

V = VOCABULARY


def head(
    prompts: list[list[int]], measure: bool = False, report: GenerationReport | None = None
) -> ConstrainedHead:
    return ConstrainedHead(tiny_model(0), greedy, BOOST, V, prompts, report or GenerationReport(), measure)


def allowed(ranges) -> set[int]:
    return {token for first, last in ranges for token in range(first, last)}


def test_what_may_stand_where() -> None:
    made = head([[1]])
    audio = set(range(V.audio_offset, V.size))
    inside = audio | {V.end_of_audio}
    for slot in Content:
        assert allowed(made.candidates(True, slot)) == inside
    assert allowed(made.candidates(False, Content.BEGIN_OF_AUDIO)) == {V.begin_of_audio, *V.end_of_turn}
    outside = set(range(V.audio_offset)) - {V.end_of_audio}
    for slot in (Content.TEXT, Content.AUDIO, Content.END_OF_AUDIO):
        assert allowed(made.candidates(False, slot)) == outside


def test_the_first_chunk_is_as_long_as_the_schedule_says() -> None:
    made = head([[1]])
    audio = set(range(V.audio_offset, V.size))
    assert allowed(made.candidates(True, Content.AUDIO, first=True)) == audio
    assert allowed(made.candidates(True, Content.END_OF_AUDIO, first=True)) == audio | {V.end_of_audio}
    # A model that would end every chunk at once, and its turn sooner than begin another.
    hidden = torch.zeros(1, 32)
    hidden[0, 0] = 1.0
    with torch.no_grad():
        for token, score in ((V.end_of_audio, 9.0), (V.begin_of_audio, 5.0), (V.im_end, 4.0)):
            made._model.backbone.lm_head.weight[token, 0] = score
    tokens = [int(made(hidden, index)[0]) for index in range(1, 18)]
    assert tokens[0] == V.begin_of_audio
    assert set(tokens[1:9]) <= audio
    assert tokens[9] == V.end_of_audio
    assert tokens[14:16] == [V.begin_of_audio, V.end_of_audio], "later chunks end when the model ends them"


@pytest.mark.parametrize(("odds", "ends"), [(0.25, True), (0.01, False)])
def test_a_first_chunk_ends_on_schedule_where_the_model_is_torn_but_not_where_text_is_over(
    odds, ends
) -> None:
    """The end of the chunk has these odds against the best audio token; later chunks end only when it is likelier."""
    audio = V.audio_offset + 3
    for others in ([[1]], [[1], [2, V.begin_of_audio]]):  # one place, and a batch at different places
        made = head(others)
        with torch.no_grad():
            made._model.backbone.lm_head.weight.zero_()
            for token, score in (
                (V.begin_of_audio, 5.0),
                (audio, 9.0),
                (V.end_of_audio, 9.0 + math.log(odds)),
            ):
                made._model.backbone.lm_head.weight[token, 0] = score
        hidden = torch.zeros(len(others), 32)
        hidden[:, 0] = 1.0
        tokens = [int(made(hidden, index)[0][0]) for index in range(1, 17)]
        assert tokens[:9] == [V.begin_of_audio] + 8 * [audio]
        assert tokens[9] == (V.end_of_audio if ends else audio)
        assert V.end_of_audio not in tokens[10:]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampled", [False, True])
def test_the_output_is_well_formed(mode: str, sampled: bool) -> None:
    model = tiny_model(10)
    for seed in range(4):
        choose = Sampler(torch.Generator().manual_seed(seed), 2.0) if sampled else greedy
        run = generate(
            model, random_ids(5, seed), mode, max_new_tokens=60, vocabulary=V, constrained=True, choose=choose
        )
        tokens = run.ids()[0]
        deinterleave(tokens, V)  # raises if audio and tags do not fit
        assert run.report.constrained_slots == len(tokens)
        assert run.report.constrained_rate is None


def test_fewer_rows_are_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []

    def linear(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        rows.append(weight.shape[0])
        return torch.nn.functional.linear(hidden, weight)

    monkeypatch.setattr(constraint_module, "few_rows_linear", linear)
    made = head([[V.begin_of_audio]])
    ids, logits = made(torch.randn(1, 32, generator=torch.Generator().manual_seed(0)), 0)
    assert rows == [1, 50]
    assert logits.shape == (1, 51)
    assert int(ids) in range(V.audio_offset, V.size) or int(ids) == V.end_of_audio
    assert sum(last - first for first, last in released_candidates()) == 16385


def released_candidates():
    made = head([[1]])
    made._vocabulary = released_vocabulary()
    return made.candidates(True, Content.AUDIO)


def test_the_best_of_the_candidates_wins() -> None:
    model, prompt = tiny_model(3), random_ids(5)
    run = generate(model, prompt, [1, 3], max_new_tokens=20, vocabulary=V, constrained=True, stop_ids=())
    inside = False
    stages = None
    events = list(run)
    with torch.no_grad():
        stages = model(torch.tensor([prompt + [event.id for event in events]])).stages
    made = ConstrainedHead(model, greedy, run_mode(), V, [prompt], GenerationReport())
    for event in events:
        stage = 0 if event.module is None else event.module + 1
        logits = model.head(stages[stage][0, len(prompt) + event.index - 1 - stage])
        candidates = sorted(allowed(made.candidates(inside, run_mode().holds(event.index))))
        assert event.id == candidates[int(logits[candidates].argmax())]
        inside = event.id == V.begin_of_audio or (inside and event.id != V.end_of_audio)


def run_mode():
    from labkit.interleave import parse

    return parse([1, 3])


def test_how_often_it_changed_a_token_is_counted() -> None:
    model, prompts = tiny_model(10), random_prompts([5, 3])
    plain = generate(model, prompts, "boost", max_new_tokens=1).ids()
    options = {"vocabulary": V, "constrained": True, "measure_constraint": True, "stop_ids": ()}
    run = generate(model, prompts, "boost", max_new_tokens=1, **options)
    changed = sum(a != b for a, b in zip(plain, run.ids(), strict=True))
    assert run.report.constrained_changed == changed
    run = generate(model, prompts, "boost", max_new_tokens=40, **options)
    unmeasured = generate(
        model, prompts, "boost", max_new_tokens=40, **{**options, "measure_constraint": False}
    )
    assert run.ids() == unmeasured.ids()
    assert run.report.constrained_slots == 80
    assert 0 < run.report.constrained_rate < 1


def test_an_end_that_wins_by_its_odds_alone_counts_as_changed() -> None:
    torn, begins = torch.zeros(2, 32), torch.zeros(2, 32)
    torn[:, 0], begins[:, 1] = 1.0, 1.0
    for others in ([[1], [2]], [[1], [2, V.begin_of_audio]]):  # one place, and a batch at different places
        report = GenerationReport()
        made = head(others, measure=True, report=report)
        with torch.no_grad():
            weight = made._model.backbone.lm_head.weight.zero_()
            weight[V.begin_of_audio, 1] = 5.0
            weight[V.audio_offset + 3, :2] = torch.tensor([9.0, 1.0])
            weight[V.end_of_audio, 0] = 9.0 + math.log(0.25)
        made(begins, 1)
        before = report.constrained_changed
        for index in range(2, 10):
            made(torn, index)
        assert report.constrained_changed == before, "the audio token is the likeliest of all"
        ends = made(torn, 10)[0] == V.end_of_audio
        assert ends[0]
        assert report.constrained_changed - before == int(ends.sum())


def test_under_sampling_chance_is_no_change() -> None:
    model, prompt = tiny_model(10), random_ids(5)
    counts = []
    for choose in (greedy, Sampler(torch.Generator().manual_seed(0), 5.0)):
        report = GenerationReport()
        made = ConstrainedHead(model, choose, BOOST, V, [prompt], report, measure=True)
        made(torch.randn(1, 32, generator=torch.Generator().manual_seed(1)), 0)
        counts.append(report.constrained_changed)
    assert counts[0] == counts[1]


def test_rows_of_a_batch_at_different_places_equal_single_runs() -> None:
    model = tiny_model(10)
    prompts = [random_ids(4), [*random_ids(3, 1), V.begin_of_audio, V.audio_id(3)], random_ids(7, 2)]
    options = {"max_new_tokens": 30, "vocabulary": V, "constrained": True, "stop_ids": ()}
    together = generate(model, prompts, "balance", **options).ids()
    for prompt, row in zip(prompts, together, strict=True):
        assert generate(model, prompt, "balance", **options).ids() == [row]
