"""Knockouts: the edges cut are gone and no others; counted; alike cached, batched, eager, sdpa; loud if idle."""

import warnings

import pytest
import torch
from test_model_masks import flash_stand_in
from tiny import VOCABULARY, random_ids, random_prompts, tiny_model

from labkit.generation import generate
from labkit.model import (
    ALL_TOKENS,
    Knockout,
    KnockoutNeverFired,
    SpeechLM,
    Tokens,
    tokens_at,
    tokens_between,
    tokens_marked,
    tokens_where,
)
from labkit.model import attention as attention_module

KERNELS = ("eager", "sdpa")
AUDIO, TEXT = tokens_where(VOCABULARY.is_audio), tokens_where(VOCABULARY.is_text)


def spoken(text: int, audio: int, seed: int = 0) -> list[int]:
    """Text tokens, then audio tokens."""
    return random_ids(text, seed) + [VOCABULARY.audio_id(code) for code in random_ids(audio, seed + 1, 50)]


def patterns(model: SpeechLM, ids: torch.Tensor, **arguments: torch.Tensor) -> dict[str, torch.Tensor]:
    names = ["backbone.0.pattern", "backbone.1.pattern", "module.0.pattern", "module.1.pattern"]
    with model.traced(names) as trace:
        model(ids, **arguments)
    return {name: trace[name] for name in names}


def test_exactly_the_edges_named_are_cut() -> None:
    model, ids = tiny_model(2), torch.tensor([spoken(5, 4)])
    whole = patterns(model, ids)
    cut = Knockout(AUDIO, tokens_at(1, 3), layers=[1], heads=[0, 2], modules=[1])
    with model.knocked_out([cut]) as report:
        found = patterns(model, ids)
    for name, pattern in found.items():
        edges = torch.zeros(4, 9, 9, dtype=torch.bool)
        if name in ("backbone.1.pattern", "module.1.pattern"):
            for head in (0, 2):
                edges[head, 5:, [1, 3]] = True
            if name == "module.1.pattern":
                edges[:, :, :2] = False  # module 1 has no row for the first two tokens
        assert torch.equal(pattern[0][edges], torch.zeros(int(edges.sum())))
        seen = whole[name][0] > 0
        assert torch.equal(pattern[0] > 0, seen & ~edges)
    assert torch.equal(found["backbone.0.pattern"], whole["backbone.0.pattern"])
    assert report.fired == [4 * 2 * 2 + 4 * 1 * 2]
    assert report.active[0].by_layer == {1: 16, 3: 8}  # module 1's layer is number 3


@pytest.mark.parametrize("attention", KERNELS)
def test_both_kernels_agree_on_what_is_left(attention: str) -> None:
    ids = torch.tensor([spoken(5, 4), spoken(5, 4, 7)])
    cuts = [Knockout(AUDIO, TEXT, layers=[0]), Knockout(tokens_between(6, 9), tokens_at(2), heads=[1])]
    outputs = []
    for kernel in ("eager", attention):
        model = tiny_model(2, kernel)
        with model.knocked_out(cuts):
            outputs.append(model(ids).stages)
    for first, second in zip(*outputs, strict=True):
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", KERNELS)
def test_a_knockout_of_nothing_changes_not_one_bit(attention: str) -> None:
    model, ids = tiny_model(2, attention), torch.tensor([spoken(5, 4)])
    before = model(ids).stages
    future = Knockout(tokens_between(0, 3), tokens_between(3, 9), may_idle=True)
    for cuts in ([], [future]):
        with model.knocked_out(cuts) as report:
            after = model(ids).stages
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert not any(report.fired)
    assert all(torch.equal(a, b) for a, b in zip(before, model(ids).stages, strict=True)), (
        "nothing stays behind"
    )


@pytest.mark.parametrize("attention", KERNELS)
@pytest.mark.parametrize("schedule", [[8192, 0], [1, 3], [1, 3, 4, 3]])
def test_cached_equals_recomputed_with_tokens_yet_to_come(attention: str, schedule: list[int]) -> None:
    """Roles are decided by id, so generated audio is cut off from the text as well."""
    model, prompt = tiny_model(3, attention), spoken(6, 2)
    cuts = [
        Knockout(AUDIO, TEXT & tokens_between(0, 6), layers=[1], modules=[0, 2]),
        Knockout(AUDIO, tokens_at(7)),
    ]
    with model.knocked_out(cuts) as cached:
        events = list(
            generate(model, prompt, schedule, max_new_tokens=14, vocabulary=VOCABULARY, stop_ids=())
        )
    made = [event.id for event in events]
    assert any(VOCABULARY.is_audio(token) for token in made), "the test needs an audio token to be generated"
    with model.knocked_out(cuts), torch.no_grad():
        stages = model(torch.tensor([prompt + made])).stages
    for event in events:
        stage = 0 if event.module is None else event.module + 1
        logits = model.head(stages[stage][0, len(prompt) + event.index - 1 - stage])
        assert int(logits.argmax()) == event.id
    assert all(cached.fired)


def test_a_batch_of_padded_probes_equals_one_by_one() -> None:
    model = tiny_model(2)
    rows = [spoken(7, 3), spoken(3, 4, 5), spoken(4, 1, 9)]
    longest = max(map(len, rows))
    ids, mask = torch.zeros(3, longest, dtype=torch.long), torch.zeros(3, longest)
    for index, row in enumerate(rows):
        ids[index, longest - len(row) :], mask[index, longest - len(row) :] = torch.tensor(row), 1
    words = [[2, 3], [1], [0, 1]]
    with model.knocked_out([Knockout(AUDIO, tokens_at(*words))]) as together:
        batch = model(ids, attention_mask=mask).stages
    fired = 0
    for index, (row, word) in enumerate(zip(rows, words, strict=True)):
        with model.knocked_out([Knockout(AUDIO, tokens_at(*word))]) as single:
            alone = model(torch.tensor([row])).stages
        fired += single.fired[0]
        for stage, expected in enumerate(alone):
            found = batch[stage][index, longest - len(row) :]
            torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=1e-5)
    assert together.fired == [fired]


def test_generation_in_a_batch_with_knockouts_equals_one_by_one() -> None:
    model = tiny_model(3)
    prompts = random_prompts([9, 4, 6])
    starts, stops = [2, 0, 3], [5, 2, 4]
    with model.knocked_out([Knockout(tokens_between([9, 4, 6], [512] * 3), tokens_between(starts, stops))]):
        together = generate(model, prompts, [1, 3], max_new_tokens=12).ids()
    for index, prompt in enumerate(prompts):
        cut = Knockout(tokens_between(len(prompt), 512), tokens_between(starts[index], stops[index]))
        with model.knocked_out([cut]):
            assert generate(model, prompt, [1, 3], max_new_tokens=12).ids()[0] == together[index]


def test_a_knockout_that_never_fires_raises() -> None:
    model, ids = tiny_model(1), torch.tensor([random_ids(5)])
    with (
        pytest.raises(KnockoutNeverFired, match="speech from text cut no edge"),
        model.knocked_out([Knockout(AUDIO, TEXT, name="speech from text")]),
    ):
        model(ids)
    with pytest.raises(KnockoutNeverFired), model.knocked_out([Knockout(ALL_TOKENS, tokens_at(0))]):
        pass
    with pytest.raises(ZeroDivisionError), model.knocked_out([Knockout(AUDIO, TEXT)]):
        raise ZeroDivisionError  # an error inside is not hidden by ours


def test_a_token_must_be_left_something_to_see() -> None:
    model, ids = tiny_model(1), torch.tensor([random_ids(5)])
    blind = pytest.raises(ValueError, match="position 0 of sequence 0 nothing to look at in stage 0")
    with blind, model.knocked_out([Knockout(ALL_TOKENS, ALL_TOKENS)]):
        model(ids)
    assert not model._knockouts


@pytest.mark.parametrize(
    ("knockout", "message"),
    [
        (Knockout(AUDIO, TEXT, layers=[2]), "no layer 2, the model has 2"),
        (Knockout(AUDIO, TEXT, heads=[-1]), "no head -1"),
        (Knockout(AUDIO, TEXT, modules=[1]), "no module 1, the model has 1"),
    ],
)
def test_what_does_not_exist_cannot_be_cut(knockout: Knockout, message: str) -> None:
    with pytest.raises(ValueError, match=message), tiny_model(1).knocked_out([knockout]):
        pass


def test_flash_attention_falls_back_where_it_must_and_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(*args: torch.Tensor, **kwargs: object) -> torch.Tensor:
        calls.append(1)
        return flash_stand_in(*args, **kwargs)

    monkeypatch.setattr(attention_module, "_flash_attention_forward", counted)
    ids = torch.tensor([spoken(5, 4)])
    cut = Knockout(AUDIO, TEXT, layers=[1], modules=[0])
    model = tiny_model(2)
    with model.knocked_out([cut]):
        expected = model(ids).stages
    model.attention = "flash_attention_2"
    with warnings.catch_warnings(record=True) as warned, model.knocked_out([cut]):
        warnings.simplefilter("always")
        found = model(ids).stages
        model(ids)
    assert [str(w.message) for w in warned] == [
        "flash attention takes no mask: knocked-out layers run under sdpa"
    ]
    assert len(calls) == 2 * 2  # backbone layer 0 and module 1, twice
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


IDS, POSITIONS = torch.tensor([[7, 3, 9, 3], [0, 0, 3, 9]]), torch.tensor([[0, 1, 2, 3], [-2, -1, 0, 1]])


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (ALL_TOKENS, [[1, 1, 1, 1], [0, 0, 1, 1]]),
        (tokens_where(lambda ids: ids == 3), [[0, 1, 0, 1], [0, 0, 1, 0]]),
        (tokens_at(1), [[0, 1, 0, 0], [0, 0, 0, 1]]),
        (tokens_at([1, 3], [0]), [[0, 1, 0, 1], [0, 0, 1, 0]]),
        (tokens_between(1, 3), [[0, 1, 1, 0], [0, 0, 0, 1]]),
        (tokens_between([1, 0], [2, 1]), [[0, 1, 0, 0], [0, 0, 1, 0]]),
        (tokens_marked(torch.tensor([True, False])), [[1, 0, 0, 0], [0, 0, 1, 0]]),
        (tokens_marked(torch.tensor([[0, 1], [1, 1]])), [[0, 1, 0, 0], [0, 0, 1, 1]]),
        (~tokens_at(1) & tokens_between(0, 3), [[1, 0, 1, 0], [0, 0, 1, 0]]),
        (tokens_at(0) | tokens_at(3), [[1, 0, 0, 1], [0, 0, 1, 0]]),
        (tokens_at(), [[0, 0, 0, 0], [0, 0, 0, 0]]),
    ],
)
def test_token_sets(tokens: Tokens, expected: list[list[int]]) -> None:
    assert tokens(IDS, POSITIONS).int().tolist() == expected


def test_token_sets_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="for 3 sequences, the batch has 2"):
        tokens_at([0], [1], [2])(IDS, POSITIONS)
    with pytest.raises(ValueError, match="embeddings without ids"):
        AUDIO(None, POSITIONS)
