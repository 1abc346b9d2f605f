"""One command for all tables: complete, tidy, and the same after an interruption."""

import json

import pytest
from speech import SPEC
from tiny import tiny_model

from labkit.audio.toy import ToyCodec
from labkit.evaluation import cells, speech_lm
from labkit.evaluation.cells import Cell, Settings, read_rows
from labkit.evaluation.speech_lm import evaluate, rows_folder, tidy_table
from labkit.model import save_speech_lm
from labkit.vocabulary import Chat, train_toy_tokenizer

LANGUAGES, MODES = ("en", "cmn"), ("vanilla", "turbo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random model in the released layout, its tokenizer beside it, for the shipped codec."""
    folder = tmp_path_factory.mktemp("model")
    own = train_toy_tokenizer(["a b c"], ToyCodec.load().size, vocab_size=300)
    own.save_pretrained(folder)
    save_speech_lm(tiny_model(10, vocab_size=Chat(own).vocabulary.padded_size), folder)
    return folder


@pytest.fixture
def settings(folder, tmp_path, monkeypatch):
    world = cells.generate(SPEC, progress=False)
    monkeypatch.setattr(cells, "generate", lambda spec, progress: world)
    monkeypatch.setattr(speech_lm, "cache_folder", lambda *parts: made(tmp_path.joinpath(*parts)))
    return Settings(str(folder), modes=MODES, utterances=4, steps=1, max_new_tokens=12, corpus=SPEC, batch=8)


def made(path):
    path.mkdir(parents=True, exist_ok=True)
    return path


def test_the_table_has_every_cell_and_an_interrupted_run_ends_the_same(settings, monkeypatch):
    rows = evaluate(settings)
    table = tidy_table(rows)
    assert list(rows) == settings.cells()
    assert {tuple(row) for row in table} == {
        ("language", "task", "mode", "measure", "value", "low", "high", "n")
    }
    keys = {(row["language"], row["task"], row["mode"], row["measure"]) for row in table}
    assert len(keys) == len(table), "tidy: a row is named by its first four columns"
    for language in LANGUAGES:
        assert (language, "tts", "turbo", "phoneme error rate, minus codec's") in keys
        assert (language, "tts", "turbo", "phoneme error rate, minus vanilla's") in keys
        assert (language, "tts", "vanilla", "phoneme error rate, minus vanilla's") not in keys
        assert (language, "tts", "original", "phoneme error rate, minus codec's") not in keys
        assert (language, "tts", "original", "phoneme error rate") in keys
        assert (language, "qa", "vanilla", "S -> S accuracy") in keys
        assert (language, "modules", "turbo", "module 9 accuracy") in keys
        unit = {"en": "word", "cmn": "character"}[language]
        assert (language, "asr", "vanilla", f"{unit} error rate") in keys
    json.dumps(table, allow_nan=False)

    # A finished run starts anew; this one is killed in the middle, and the next goes on from there.
    evaluated = []

    def dies(settings, cell, *, progress):
        if len(evaluated) == 7:
            raise KeyboardInterrupt
        evaluated.append(cell)
        return rows[cell]

    monkeypatch.setattr(speech_lm, "evaluate_cell", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate(settings)
    assert evaluated == settings.cells()[:7]
    assert read_rows(rows_folder(settings), evaluated[3]) == rows[evaluated[3]]
    monkeypatch.setattr(
        speech_lm,
        "evaluate_cell",
        lambda settings, cell, *, progress: [evaluated.append(cell), rows[cell]][1],
    )
    assert evaluate(settings) == rows
    assert evaluated == settings.cells(), "each once"


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one(folder, settings):
    # Its own corpus, since other processes know nothing of this one's patches.
    few = Settings(**vars(settings) | {"tasks": ("asr",), "languages": ("en",)})
    assert evaluate(few, workers=2) == {cell: cells.evaluate_cell(few, cell) for cell in few.cells()}


def test_teacher_forcing_is_done_once_for_modes_that_hold_the_same():
    every = Settings("any").cells()
    assert [cell.mode for cell in every if cell.task == "modules" and cell.language == "en"] == [
        "turbo",
        "balance",
    ]
    assert Cell("en", "tts", "codec") in every
    assert Cell("en", "asr", "codec") not in every


def test_settings_that_cannot_be_are_refused(settings, folder):
    with pytest.raises(ValueError, match="unknown task 'sing'"):
        Settings("any", tasks=("sing",))
    with pytest.raises(ValueError, match="no interleave mode"):
        Settings("any", modes=("warp",))
    with pytest.raises(ValueError, match="unknown language"):
        Settings("any", languages=("fr",))
    with pytest.raises(ValueError, match="at least 2"):
        Settings("any", utterances=1)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        evaluate(Settings("./no/such/model"))
