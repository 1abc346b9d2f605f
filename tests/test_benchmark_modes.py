"""The benchmark of the modes, on a model small enough to run at once."""

import json
from pathlib import Path

import pytest
import torch
from tiny import tiny_model

from labkit.benchmark import modes
from labkit.benchmark.modes import (
    WellFormed,
    benchmark,
    contenders,
    main,
    plain_greedy,
    plain_twin,
    summarize,
)
from labkit.generation import generate
from labkit.interleave import BOOST, Content


def test_the_yardstick_makes_vanillas_tokens() -> None:
    model = tiny_model(3)
    assert (
        plain_greedy(plain_twin(model), [1, 2, 3], 20)
        == generate(model, [1, 2, 3], max_new_tokens=20).ids()[0]
    )


def test_the_twin_shares_its_weights() -> None:
    model = tiny_model(1)
    twin = plain_twin(model)
    assert twin.model.layers[0].mlp.up_proj.weight.data_ptr() == model.layers[0].mlp.up_proj.weight.data_ptr()
    assert twin.config._attn_implementation == "sdpa"


def test_chunks_begin_and_end_where_the_content_says() -> None:
    choose = WellFormed(BOOST)
    logits = torch.tensor([[9.0, 1.0, 2.0]])
    for slot in range(30):
        chosen = int(choose(logits))
        expected = {Content.TEXT: 0, Content.AUDIO: 2}.get(BOOST.holds(slot), 0)
        assert chosen == expected


def test_summary_compares_within_rounds() -> None:
    found = summarize({"transformers": [2.0, 4.0, 6.0], "turbo": [1.0, 1.0, 2.0]}, tokens=10)
    assert found["turbo"]["speedup"] == 3
    assert found["turbo"]["tokens_per_second"] == 10
    assert found["transformers"]["speedup"] == 1


def test_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def small(name: str, **_: object):
        return tiny_model(0, vocab_size=168072, hidden_size=16, num_attention_heads=2).config

    monkeypatch.setattr(modes, "size_config", small)
    out = tmp_path / "modes.json"
    main(["--tokens", "16", "--prompt-tokens", "3", "--rounds", "1", "--threads", "1", "--out", str(out)])
    found = json.loads(out.read_text())
    assert set(found["results"]) == {
        "transformers",
        *(f"{mode}{cut}" for mode in ("vanilla", "boost", "balance", "turbo") for cut in ("", ", cut head")),
    }
    assert found["threads"] == 1
    assert all(result["seconds"] > 0 for result in found["results"].values())
    assert benchmark(tokens=2, rounds=1)["tokens"] == 2


def test_a_small_vocabulary_has_no_cut_head() -> None:
    assert set(contenders(tiny_model(10), [1], 2)) == {"transformers", "vanilla", "boost", "balance", "turbo"}
