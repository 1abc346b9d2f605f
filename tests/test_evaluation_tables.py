"""The paper's tables in miniature: every stage in what it can run, the same after a kill; and the paper's own rows."""

import json
from collections import Counter

import pytest
from speech import SPEC
from tiny import tiny_model

from labkit.audio.toy import ToyCodec
from labkit.data.plan import plan
from labkit.evaluation import cells, speech_lm
from labkit.evaluation.tables import __main__ as command
from labkit.evaluation.tables import stages
from labkit.evaluation.tables.paper import paper_rows
from labkit.evaluation.tables.stages import (
    HELD_OUT,
    TABLES,
    evaluate_table,
    read_table,
    runnable_modes,
    write_table,
)
from labkit.model import save_speech_lm
from labkit.vocabulary import Chat, train_toy_tokenizer

SHORT = {"utterances": 4, "steps": 1, "max_new_tokens": 12, "batch": 8, "corpus": SPEC}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Random models of stages without and with modules, in the layout of those that ship."""
    folder = tmp_path_factory.mktemp("models")
    own = train_toy_tokenizer(["a b c"], ToyCodec.load().size, vocab_size=300)
    for stage, modules in ((1, 0), (4, 10)):
        model = tiny_model(modules, vocab_size=Chat(own).vocabulary.padded_size)
        save_speech_lm(model, folder / f"speech-lm-stage-{stage}")
        own.save_pretrained(folder / f"speech-lm-stage-{stage}")
    return folder


@pytest.fixture
def world(tmp_path, monkeypatch):
    """The small corpus, made once, and a cache of this test's own."""

    def cache(*parts):
        folder = tmp_path.joinpath("cache", *parts)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    corpus = cells.generate(SPEC, progress=False)
    monkeypatch.setattr(cells, "generate", lambda spec, progress: corpus)
    monkeypatch.setattr(stages, "generate", lambda spec, progress: corpus)
    monkeypatch.setattr(speech_lm, "cache_folder", cache)


def both(models):
    return {"S1": models / "speech-lm-stage-1", "S4": models / "speech-lm-stage-4"}


@pytest.mark.parametrize("number", TABLES)
def test_a_table_has_every_stage_in_what_it_can_run(models, world, tmp_path, number):
    spec = TABLES[number]
    table = evaluate_table(spec, both(models), **SHORT)
    found = {(row["stage"], row["language"], row["mode"], row["measure"]) for row in table["rows"]}
    assert len(found) == len(table["rows"]), "tidy: a row is named by its first four columns"
    every = ("turbo", "boost", "balance", "vanilla")
    for language in spec.languages:
        measured = {
            (stage, mode)
            for stage, own, mode, measure in found
            if own == language and measure in spec.measures
        }
        assert {("S1", "vanilla")} | {("S4", mode) for mode in every} <= measured
        assert not any(stage == "S1" and mode != "vanilla" for stage, mode in measured)
        assert ((None, "codec") in measured) == (spec.task != "asr"), "the judge's ceiling"
    differences = {
        (stage, mode, measure) for stage, _, mode, measure in found if measure.startswith("errors")
    }
    assert differences == {("S4", mode, "errors, minus S1's") for mode in every} | {
        ("S4", mode, "errors, minus vanilla's") for mode in every[:-1]
    }
    assert table["worst"], "random models are wrong"
    for case in table["worst"]:
        assert case["errors"] > 0
        assert case["asked"]
        assert len(case["meant"]) == case["units"]
        assert ("codes" in case) == (spec.task != "asr")
    written = write_table(table, tmp_path / "out")
    assert read_table(number, written.parent) == json.loads(json.dumps(table))


def test_a_killed_table_ends_the_same_and_a_finished_one_is_taken(models, world, monkeypatch):
    whole = evaluate_table(TABLES[7], both(models), **SHORT)
    evaluated, evaluate_cell = [], speech_lm.evaluate_cell

    def dies(settings, cell, *, progress):
        if len(evaluated) == 2:
            raise KeyboardInterrupt
        evaluated.append((settings.model, cell))
        return evaluate_cell(settings, cell, progress=False)

    monkeypatch.setattr(speech_lm, "evaluate_cell", dies)
    assert evaluate_table(TABLES[7], both(models), **SHORT) == whole
    assert not evaluated
    with pytest.raises(KeyboardInterrupt):
        evaluate_table(TABLES[7], both(models), anew=True, **SHORT)
    monkeypatch.setattr(
        speech_lm,
        "evaluate_cell",
        lambda settings, cell, *, progress: [
            evaluated.append((settings.model, cell)),
            evaluate_cell(settings, cell, progress=False),
        ][1],
    )
    assert evaluate_table(TABLES[7], both(models), **SHORT) == whole
    assert len(evaluated) == len(set(evaluated)) == 5, "one mode of S1, four of S4, each once"


def test_a_missing_stage_is_told_before_anything_is_evaluated(models, world, monkeypatch):
    monkeypatch.setattr(speech_lm, "evaluate_cell", lambda *_, **__: pytest.fail("evaluated"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        evaluate_table(TABLES[6], both(models) | {"S3": models / "nowhere"}, **SHORT)


def test_modes_are_those_that_the_modules_suffice_for(models):
    assert runnable_modes(models / "speech-lm-stage-1") == ("vanilla",)
    assert "turbo" in runnable_modes(models / "speech-lm-stage-4")


@pytest.mark.parametrize("language", ["en", "cmn"])
def test_every_cell_of_the_shipped_tables_can_have_400_items(language):
    kinds = Counter(each.sentence.kind for each in plan(HELD_OUT) if each.sentence.language == language)
    assert kinds["question"] == kinds["answer"] == 400
    assert kinds["plain"] >= 200
    assert kinds["homograph"] >= 200, "probes and their minimal pairs"
    assert {each.sentence.split for each in plan(HELD_OUT)} == {"test"}


def test_one_command_a_table(models, monkeypatch, tmp_path, capsys):
    asked = {}

    def made(spec, folders, **options):
        asked.update(options, folders=folders)
        row = {"stage": "S4", "language": "en", "mode": "turbo", "measure": "word error rate"}
        rows = [row | {"value": 0.5, "low": 0.4, "high": None, "n": 4}]
        return {"table": spec.number, "rows": rows, "worst": []}

    monkeypatch.setattr(command, "evaluate_table", made)
    command.main(["6", "--models", str(models), "--out", str(tmp_path), "--workers", "1"])
    assert asked["folders"] == both(models), "all that are there"
    command.main(["6", "--models", str(models), "--stages", "S4", "--out", str(tmp_path)])
    assert list(asked["folders"]) == ["S4"]
    with pytest.raises(FileNotFoundError, match="no folder speech-lm-stage-1"):
        command.main(["6", "--models", str(tmp_path), "--out", str(tmp_path)])
    assert json.loads((tmp_path / "table-6.json").read_text())["table"] == 6
    assert "S4  en   turbo     word error rate" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match=r"labkit\.evaluation\.tables 4"):
        read_table(4, tmp_path)


def test_the_papers_numbers_are_the_papers():
    rows = {row[1:4]: row.percent for number in TABLES for row in paper_rows(number)}
    assert rows["Vanilla", "TriviaQA", "S -> T"] == 31.9
    assert rows["Turbo (S2)", "Seed-TTS test-zh", "CER"] == 0.96
    assert rows["Turbo", "LibriSpeech test-other", "WER"] == 12.86
    assert rows["Plus-Vanilla", "WenetSpeech test-net", "WER"] == 6.90
    for model, scores in (("Boost", 3), ("Vanilla", 3)):
        for way in ("S -> T", "S -> S"):
            three = [rows[model, name, way] for name in ("LLaMA-Questions", "TriviaQA", "Web-Questions")]
            assert rows[model, "mean", way] == pytest.approx(sum(three) / scores, abs=0.06)
    with pytest.raises(ValueError, match="Tables 4 to 7"):
        paper_rows(8)
