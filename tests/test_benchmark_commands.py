"""The benchmarks as a whole, on models small enough to run at once."""

import json
from pathlib import Path

import pytest
import torch
from speech import recorder
from tiny import VOCABULARY, random_ids, tiny_model

from labkit.benchmark import __main__ as command
from labkit.benchmark import modes
from labkit.benchmark import recorded as recorded_reports
from labkit.benchmark.contenders import contenders, plain_generate, plain_twin
from labkit.benchmark.first_audio import benchmark_first_audio, chunk_tokens
from labkit.benchmark.length import benchmark_length
from labkit.benchmark.modes import Setting, benchmark_modes, table_8, vocabulary_of
from labkit.generation import FastPath, InLayout, generate
from labkit.interleave import BALANCE, BOOST, MODES, TURBO, VANILLA, Content
from labkit.model import size_config
from labkit.vocabulary import released_vocabulary

MODE_NAMES = {f"{mode}{cut}" for mode in MODES for cut in ("", ", cut head")}


def small(name: str, vocab_size: int | None = None):
    """Every size as a tiny one with its own number of rows."""
    rows = released_vocabulary().padded_size if vocab_size is None else vocab_size
    wide = {"toy": 16, "0.5B": 32, "7B": 64}[name]
    return tiny_model(
        0, vocab_size=rows, hidden_size=wide, num_attention_heads=2, num_key_value_heads=1
    ).config


@pytest.fixture
def small_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "size_config", small)
    monkeypatch.setattr(command, "size_config", small)
    monkeypatch.setattr(modes, "FIT_TOKENS", 30)


def test_the_yardstick_makes_vanillas_tokens() -> None:
    model = tiny_model(3)
    plain = plain_generate(plain_twin(model), [1, 2, 3], 20)
    assert plain == generate(model, [1, 2, 3], max_new_tokens=20).ids()[0]


def test_the_twin_shares_its_weights() -> None:
    model = tiny_model(1)
    FastPath(model, 10)
    twin = plain_twin(model)
    for part in ("mlp.up_proj", "self_attn.k_proj"):
        ours, theirs = (each.model.layers[0].get_submodule(part).weight for each in (model.backbone, twin))
        assert ours.data_ptr() == theirs.data_ptr()
    assert twin.config._attn_implementation == "sdpa"


def test_chunks_begin_and_end_where_the_content_says() -> None:
    choose = InLayout(BOOST)
    logits = torch.tensor([[9.0, 1.0, 2.0]])
    for slot in range(30):
        assert int(choose(logits)) == {Content.TEXT: 0, Content.AUDIO: 2}.get(BOOST.holds(slot), 0)


def test_contenders_make_what_their_names_say() -> None:
    model = tiny_model(10)
    found = contenders(FastPath(model, 40), random_ids(5), 30, VOCABULARY)
    assert set(found) == {"transformers", *MODE_NAMES}
    for each in found.values():
        each()
    assert found["transformers"].events == [event.id for event in found["vanilla"].events]
    audio = [VOCABULARY.is_audio(event.id) for event in found["turbo, cut head"].events]
    assert audio == [TURBO.holds(index) is Content.AUDIO for index in range(30)]
    narrow = tiny_model(10, vocab_size=100)
    assert set(contenders(FastPath(narrow, 40), [1], 2, VOCABULARY)) == {"transformers", *MODES}


def test_modes_at_two_sizes_and_a_third_predicted(small_sizes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "has_room", lambda config, setting: config.hidden_size < 64)
    found = benchmark_modes(
        ["7B", "toy", "0.5B"], Setting(tokens=16, prompt_tokens=3, repeats=1, progress=False)
    )
    assert list(found["sizes"]) == ["toy", "0.5B", "7B"]
    assert [found["sizes"][size]["predicted"] for size in found["sizes"]] == [False, False, True]
    measured, predicted = found["sizes"]["0.5B"]["modes"], found["sizes"]["7B"]["modes"]
    assert set(measured) == {"transformers", *MODE_NAMES}
    assert set(predicted) == MODE_NAMES
    assert all(row["seconds"]["median"] > 0 for row in measured.values())
    assert all("seconds" not in row and row["cost_model_seconds"] > 0 for row in predicted.values())
    assert measured["turbo"]["paper"]["speedup_over_vanilla"] == pytest.approx(53.89 / 11.83)
    assert "paper" not in measured["turbo, cut head"]
    line = found["sizes"]["0.5B"]["timelines"]["boost"]
    assert [mark["module"] for mark in line] == [BOOST.maker(index) for index in range(16)]
    assert found["sizes"]["toy"]["bytes"]["caches"] > 0
    json.dumps(found)
    assert "7B predicted" in table_8(found)


def test_attention_is_measured_only_where_runs_are_long_enough_to_show_it(
    small_sizes: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modes, "attention_seconds", lambda fast, length, least: (length - least) * 1e-6)

    def key(tokens: int) -> float:
        setting = Setting(tokens=tokens, prompt_tokens=3, repeats=1, progress=False)
        return benchmark_modes(["toy"], setting)["sizes"]["toy"]["cost_model"]["key"]

    assert key(32) == 0.0, "two tokens more tell nothing"
    assert key(64) == pytest.approx(1e-6)


def test_recorded_reports_are_found_by_kind_and_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reports = recorded_reports.recorded("modes")
    assert next(iter(reports)) == "cpu"
    assert set(reports["cpu"]["sizes"]["0.5B"]["modes"]) == {"transformers", *MODE_NAMES}
    monkeypatch.setattr(recorded_reports, "RESULTS", tmp_path)
    for name in ("modes-a-gpu", "modes-cpu", "length-cpu"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"of": name}), encoding="utf-8")
    assert recorded_reports.recorded("modes") == {"cpu": {"of": "modes-cpu"}, "a-gpu": {"of": "modes-a-gpu"}}
    with pytest.raises(ValueError, match=r"labkit\.benchmark first-audio --out"):
        recorded_reports.recorded("first-audio")


def test_nothing_to_predict_from(small_sizes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "has_room", lambda config, setting: False)
    found = benchmark_modes(["7B"], Setting(progress=False))
    assert "no smaller size" in found["sizes"]["7B"]["skipped"]
    assert "no smaller size" in table_8(found)


def test_what_fits() -> None:
    assert modes.has_room(size_config("toy"), Setting())
    assert not modes.has_room(size_config("72B", num_hidden_layers=8000), Setting())


def test_first_audio() -> None:
    model = tiny_model(10)
    fast = FastPath(model, 60)
    found = benchmark_first_audio(fast, random_ids(6), Quiet(), VOCABULARY, repeats=2)
    assert list(found) == list(MODES)
    for row in found.values():
        assert 0 < row["first_pass"]["median"] <= row["chunk"]["median"] < row["total"]["median"]
    assert found["boost"]["audio_generation_delay"] == found["turbo"]["audio_generation_delay"] == 0
    assert found["vanilla"]["audio_generation_delay"] > found["balance"]["audio_generation_delay"] > 0
    assert found["boost"]["paper"]["chunk"] == 0.053
    assert "paper" not in found["turbo"]
    assert [chunk_tokens(mode) for mode in (BOOST, TURBO, BALANCE, VANILLA)] == [10, 10, 15, 15]


class Quiet(type(recorder())):
    """The recorder, with a stream."""

    def stream(self, steps: int = 1, *, seed: int = 0):
        assert steps == 1
        return self

    def push(self, tokens: list[int]) -> torch.Tensor:
        assert len(tokens) == 8
        return torch.zeros(8)


def test_length() -> None:
    model = tiny_model(1)
    fast = FastPath(model, 300)
    found = benchmark_length(fast, random_ids(5), VOCABULARY, (200, 290), repeats=1)
    assert set(found["seconds_per_token"]) == {200, 290}
    assert found["growth"] > 0
    assert found["cache_bytes"] == fast.cache_bytes
    with pytest.raises(ValueError, match="greater than 159"):
        benchmark_length(fast, random_ids(5), VOCABULARY, (150, 290))


@pytest.mark.parametrize(
    "arguments",
    [
        ["modes", "--sizes", "toy", "--tokens", "16"],
        ["first-audio", "--size", "toy"],
        ["length", "--size", "toy", "--lengths", "180", "200"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_the_command(
    arguments: list[str], small_sizes: None, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "new" / "found.json"
    command.main([*arguments, "--prompt-tokens", "3", "--repeats", "1", "--threads", "1", "--out", str(out)])
    found = json.loads(out.read_text())
    assert found["machine"]["threads"] == 1
    assert found["setting"]["dtype"] == "float32"
    assert capsys.readouterr().out


def test_sizes_have_their_own_vocabularies() -> None:
    assert vocabulary_of("7B") == released_vocabulary()
    assert vocabulary_of("toy").audio_count == 4096
    assert VANILLA.name in MODES
