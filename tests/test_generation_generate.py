"""The stream of events, stopping, sampling, and what is refused."""

import itertools

import pytest
import torch
from tiny import VOCABULARY, random_ids, random_prompts, tiny_model

from labkit.generation import Event, Sampler, generate, greedy
from labkit.generation.makers import public_makers
from labkit.interleave import BOOST, Content, ScheduleError
from labkit.model import SpeechLM


def test_events_say_who_made_what_and_when() -> None:
    model = tiny_model(10)
    run = generate(model, random_ids(6), "boost", max_new_tokens=30, vocabulary=VOCABULARY, stop_ids=())
    events = list(run)
    assert [event.index for event in events] == list(range(30))
    assert [event.module for event in events] == [BOOST.maker(index) for index in range(30)]
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(events))
    assert events[0].seconds > 0
    for event in events:
        assert (event.modality is Content.AUDIO) == VOCABULARY.is_audio(event.id)
        assert (event.modality is Content.BEGIN_OF_AUDIO) == (event.id == VOCABULARY.begin_of_audio)
    assert (run.report.backbone_passes, run.report.module_steps, run.report.slots) == (9, 21, 30)
    assert run.state.ids[0, 6:].tolist() == [event.id for event in events]


def test_events_come_one_by_one() -> None:
    model = tiny_model(3)
    run = generate(model, random_ids(6), [1, 3], max_new_tokens=500)
    assert isinstance(next(run), Event)
    assert run.report.slots == 1, "nothing is made before it is asked for"


@pytest.mark.parametrize("maker", [None, 0, 2])
def test_a_sequence_stops_at_a_stop_token_of_any_maker(maker: int | None) -> None:
    model, prompts = tiny_model(3), random_prompts([6, 9, 2])
    events = list(generate(model, prompts, [1, 3], max_new_tokens=24))
    stop = next(event.id for event in events if event.row == 1 and event.module == maker and event.index > 3)
    stopped = generate(model, prompts, [1, 3], max_new_tokens=24, stop_ids=[stop]).ids()
    for row, tokens in enumerate(stopped):
        whole = [event.id for event in events if event.row == row]
        end = whole.index(stop) + 1 if stop in whole else len(whole)
        assert tokens == whole[:end]
    assert stopped[1][-1] == stop


def test_the_vocabulary_knows_where_a_turn_ends() -> None:
    model, prompt = tiny_model(0), random_ids(4)
    with torch.no_grad():
        model.backbone.lm_head.weight[VOCABULARY.im_end] = (
            100 * model(torch.tensor([prompt])).stages[0][0, -1]
        )
    events = list(generate(model, prompt, vocabulary=VOCABULARY))
    assert [event.id for event in events] == [VOCABULARY.im_end]
    assert events[0].modality is Content.TEXT


def test_without_a_limit_it_stops_where_positions_end() -> None:
    model = tiny_model(0, max_position_embeddings=20)
    assert len(generate(model, random_ids(15)).ids()[0]) == 5


@pytest.mark.parametrize("mode", ["vanilla", [1, 3]])
def test_sampled_rows_equal_single_runs(mode: object) -> None:
    model, prompts = tiny_model(3), random_prompts([3, 8, 5])

    def generators() -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in range(3)]

    state = torch.get_rng_state()
    together = generate(
        model, prompts, mode, max_new_tokens=20, choose=Sampler(generators(), 1.2, 30, 0.9)
    ).ids()
    for prompt, own, row in zip(prompts, generators(), together, strict=True):
        sampler = Sampler([own], 1.2, 30, 0.9)
        assert generate(model, prompt, mode, max_new_tokens=20, choose=sampler).ids() == [row]
    assert torch.equal(torch.get_rng_state(), state), "the global random state is left alone"
    assert together != generate(model, prompts, mode, max_new_tokens=20).ids()


def test_sampling_follows_its_settings() -> None:
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    generator = torch.Generator().manual_seed(0)
    expected = (logits / 0.5).softmax(-1)
    torch.testing.assert_close(Sampler(generator, 0.5).probabilities(logits), expected)
    assert (Sampler(generator, top_k=2).probabilities(logits) > 0).tolist() == [[True, True, False, False]]
    assert (Sampler(generator, top_p=0.7).probabilities(logits) > 0).tolist() == [[True, True, False, False]]
    assert (Sampler(generator, top_p=1e-9).probabilities(logits) > 0).tolist() == [
        [True, False, False, False]
    ]
    assert Sampler(generator, temperature=0)(logits).tolist() == greedy(logits).tolist() == [0]
    drawn = torch.cat([Sampler(generator, 0.5)(logits) for _ in range(4000)]).bincount(minlength=4) / 4000
    torch.testing.assert_close(drawn, expected[0], atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_k": 0}, "top_k"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
    ],
)
def test_sampling_settings_out_of_range(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sampler(torch.Generator(), **settings)


def test_generators_must_fit_the_batch() -> None:
    with pytest.raises(ValueError, match="1 generators for a batch of 2"):
        Sampler([torch.Generator()])(torch.zeros(2, 3))


def test_continuous_audio_stands_in_for_placeholders() -> None:
    model, prompts = tiny_model(3), random_prompts([6, 3])
    plain = generate(model, prompts, [1, 3], max_new_tokens=12).ids()
    embeds = [model.embed(torch.tensor(prompt)).detach() for prompt in prompts]
    assert generate(model, prompts, [1, 3], max_new_tokens=12, prompt_embeds=embeds).ids() == plain
    placeholders = [[0] * len(prompt) for prompt in prompts]
    assert generate(model, placeholders, [1, 3], max_new_tokens=12, prompt_embeds=embeds).ids() == plain
    with pytest.raises(ValueError, match="one row per prompt token"):
        generate(model, prompts, prompt_embeds=embeds[:1])


@pytest.mark.parametrize(
    ("prompt", "options", "error", "message"),
    [
        ([], {}, ValueError, "the prompt is empty"),
        ([[1], []], {}, ValueError, "the prompt is empty"),
        ([1], {"mode": "boost"}, ScheduleError, "needs 10 MCTP modules, the model has 3"),
        ([1], {"mode": []}, ScheduleError, "schedule is empty"),
        ([1], {"mode": [1, 3, 2]}, ScheduleError, "pairs of counts"),
        ([1], {"mode": [0, 3]}, ScheduleError, "the first token needs a backbone pass"),
        ([1], {"mode": "fast"}, ScheduleError, "no interleave mode"),
        ([1, 999], {}, ValueError, "id 999 is outside the vocabulary"),
        ([1, -1], {}, ValueError, "id -1 is outside"),
        ([1], {"max_new_tokens": 0}, ValueError, "max_new_tokens must be at least 1"),
        ([1], {"max_new_tokens": 512}, ValueError, "513 tokens, but the model has 512 positions"),
        ([1], {"constrained": True}, ValueError, "needs the vocabulary"),
        ([1], {"drafts": 2}, ValueError, "pass verified=True"),
        ([1], {"drafts": 4, "verified": True}, ValueError, "4 drafts asked for; the chain has 3"),
        ([1], {"mode": [1, 3], "verified": True}, ValueError, "makes Vanilla's tokens"),
        ([1], {"fallback": "quiet"}, ValueError, 'fallback is None or "public"'),
        ([1], {"fallback": "public"}, ValueError, "takes a plain list of counts"),
        ([1], {"fallback": "public", "mode": [1, 0, 0, 0]}, ValueError, "pairs of counts that make tokens"),
    ],
)
def test_bad_input_is_refused_with_a_way_out(prompt, options, error, message) -> None:
    with pytest.raises(error, match=message):
        generate(tiny_model(3), prompt, **{"max_new_tokens": 4, **options})


def test_a_model_without_modules_cannot_verify() -> None:
    with pytest.raises(ValueError, match="the chain has 0 modules"):
        generate(tiny_model(0), [1], max_new_tokens=4, verified=True)


@pytest.mark.parametrize(
    ("counts", "modules", "made_by"),
    [
        ([1, 10], 3, "M012M012M01M012M012M01M0"),
        ([0, 3], 3, "M012M012M012M012M012M012"),
        ([0, 10], 10, "M0123456789M0123456789M0"),
        ([1, 3, 0, 3], 10, "M0123456789M0123456789M0"),
        ([2, 0, 1, 1], 1, "MMM0M0M0M0M0M0M0M0M0M0M0"),
        ([1, 2], 0, "MMMMMMMMMMMMMMMMMMMMMMMM"),
        ([8192, 10], 10, "MMMMMMMMMMMMMMMMMMMMMMMM"),
    ],
)
def test_the_public_fallback_by_hand(counts: list[int], modules: int, made_by: str) -> None:
    makers = public_makers(counts, modules, 24)
    assert "".join("M" if makers(t) is None else str(makers(t)) for t in range(24)) == made_by


def test_the_public_fallback_is_only_for_those_who_ask() -> None:
    model: SpeechLM = tiny_model(3)
    with pytest.raises(ScheduleError):
        generate(model, [1, 2], [1, 10], max_new_tokens=8)
    run = generate(model, [1, 2], [1, 10], max_new_tokens=8, fallback="public")
    assert [event.module for event in run] == [None, 0, 1, 2, None, 0, 1, 2]
