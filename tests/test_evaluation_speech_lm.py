"""One command for all tables: complete, tidy, and the same after an interruption."""

import json
from dataclasses import replace

import pytest
from speech import SPEC
from tiny import tiny_model

from labkit.audio.toy import ToyCodec
from labkit.data.corpus import generate
from labkit.data.plan import plan
from labkit.evaluation import cells, speech_lm
from labkit.evaluation.cells import VALIDATION, WORLD, Cell, Settings, read_rows
from labkit.evaluation.codec import held_out
from labkit.evaluation.speech_lm import evaluate, rows_folder, tidy_table
from labkit.evaluation.spoken_qa import held_out_questions
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

    # This run starts anew and is killed in the middle; the next goes on from there.
    evaluated = []

    def dies(settings, cell, *, progress):
        if len(evaluated) == 7:
            raise KeyboardInterrupt
        evaluated.append(cell)
        return rows[cell]

    monkeypatch.setattr(speech_lm, "evaluate_cell", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate(settings, anew=True)
    assert evaluated == settings.cells()[:7]
    assert read_rows(rows_folder(settings), evaluated[3]) == rows[evaluated[3]]
    monkeypatch.setattr(
        speech_lm,
        "evaluate_cell",
        lambda settings, cell, *, progress: [evaluated.append(cell), rows[cell]][1],
    )
    assert evaluate(settings) == rows
    assert evaluated == settings.cells(), "each once"
    assert evaluate(settings) == rows
    assert evaluated == settings.cells(), "a finished run is taken as it is"


def forced_row(settings, cell, *, progress=False):
    return [cells.ForcedRow(index, 2, (1, 2), (0.5, 0.25)) for index in range(2)]


def arguments(folder):
    return ["--model", str(folder), "--tasks", "modules", "--languages", "en", "--workers", "1"]


@pytest.fixture
def forced(settings, monkeypatch):
    """The command with a corpus and rows that are there at once."""
    monkeypatch.setattr(speech_lm, "generate", lambda spec: None)
    monkeypatch.setattr(speech_lm, "evaluate_cell", forced_row)


def test_the_folder_of_the_scores_is_made_before_anything_is_evaluated(folder, forced, tmp_path, monkeypatch):
    out = tmp_path / "new" / "scores.json"

    def evaluates(settings, cell, *, progress):
        assert out.parent.is_dir()
        return forced_row(settings, cell)

    monkeypatch.setattr(speech_lm, "evaluate_cell", evaluates)
    speech_lm.main([*arguments(folder), "--out", str(out)])
    report = json.loads(out.read_text())
    assert report["table"]
    assert report["corpus"]["sentences"] == 0
    monkeypatch.setattr(
        speech_lm, "evaluate_cell", lambda *_, **__: pytest.fail("evaluated what was finished")
    )
    speech_lm.main([*arguments(folder), "--out", str(out)])
    assert json.loads(out.read_text()) == report


def test_scores_that_could_not_be_written_cost_no_evaluation(folder, forced, tmp_path, monkeypatch):
    out = tmp_path / "scores.json"
    with monkeypatch.context() as full:
        full.setattr(speech_lm, "tidy_table", lambda rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            speech_lm.main([*arguments(folder), "--out", str(out)])
    monkeypatch.setattr(speech_lm, "evaluate_cell", lambda *_, **__: pytest.fail("evaluated again"))
    speech_lm.main([*arguments(folder), "--out", str(out)])
    assert json.loads(out.read_text())["table"]


@pytest.mark.parametrize(
    ("options", "file"),
    [
        (["--streaming"], "scores-streaming.json"),
        (["--split", "validation"], "scores-validation.json"),
        (["--split", "validation", "--streaming"], "scores-validation-streaming.json"),
    ],
)
def test_scores_of_another_kind_lie_beside_the_others(folder, forced, monkeypatch, options, file):
    monkeypatch.setattr(speech_lm, "write_card", lambda _: pytest.fail("the card is of other scores"))
    asked = []

    def evaluates(settings, cell, *, progress):
        asked.append((settings.split, settings.streaming, settings.corpus))
        return forced_row(settings, cell)

    monkeypatch.setattr(speech_lm, "evaluate_cell", evaluates)
    speech_lm.main([*arguments(folder), *options])
    split, streaming = ("validation" if "validation" in options else "test"), "--streaming" in options
    assert set(asked) == {(split, streaming, VALIDATION if split == "validation" else WORLD)}
    report = json.loads((folder / file).read_text())
    assert (report["split"], report["streaming"]) == (split, streaming)
    assert not (folder / "scores.json").exists()


def test_models_are_chosen_by_sentences_that_score_none():
    chosen, scored = plan(VALIDATION), plan(WORLD)
    assert {each.sentence.split for each in chosen} == {"validation"}
    for kinds in (("plain", "homograph"), ("question",)):  # answers are alike to questions that are not
        texts = [
            {each.sentence.text for each in planned if each.sentence.kind in kinds}
            for planned in (chosen, scored)
        ]
        assert all(texts)
        assert not texts[0] & texts[1]
    corpus = generate(replace(VALIDATION, validation=40), progress=False)
    for language in LANGUAGES:
        of_language = [each for each in chosen if each.sentence.language == language]
        usable = [each for each in of_language if each.sentence.kind in ("plain", "homograph")]
        assert len(usable) >= 500, "as many as are scored"
        pairs = held_out(corpus, language, 12, ("plain",), "validation")
        assert len(pairs) == 12
        assert all(each.split == "validation" for each, _ in pairs)
        homographs = [(each, partner) for each, partner in pairs if each.kind == "homograph"]
        assert len(homographs) >= 6
        for each, partner in homographs:
            assert each.homograph.reading != partner.homograph.reading
        questions = held_out_questions(corpus, language, 3, "validation")
        assert {each.split for pair in questions for each in pair} == {"validation"}
        with pytest.raises(ValueError, match="other validation utterances"):
            held_out(corpus, language, 500, ("plain",), "validation")
    with pytest.raises(ValueError, match="no test questions in en"):
        held_out_questions(corpus, "en", 3)


def test_a_hub_ids_scores_need_a_place(monkeypatch, capsys):
    monkeypatch.setattr(speech_lm, "evaluate", lambda *_, **__: pytest.fail("evaluated"))
    with pytest.raises(SystemExit):
        speech_lm.main(["--model", "someone/model"])
    assert "say with --out where to write its scores" in capsys.readouterr().err


def test_leaving_out_what_is_learned_from_changes_nothing_that_is_tested():
    def tested(spec):
        planned = plan(spec)
        first = next(place for place, each in enumerate(planned) if each.sentence.split == "test")
        return [
            replace(each, partner=None if each.partner is None else each.partner - first)
            for each in planned[first:]
        ]

    small = replace(WORLD, sentences=200, validation=20, test=6, probes=8)
    assert tested(small) == tested(replace(small, sentences=0, validation=0))
    assert {each.sentence.split for each in plan(WORLD)} == {"test"}


def test_changed_code_and_another_corpus_find_no_old_rows(settings, monkeypatch):
    key = settings.key()
    assert settings.key() == key
    with monkeypatch.context() as changed:
        changed.setattr(cells, "code_digest", lambda: "other code")
        assert settings.key() != key
    monkeypatch.setattr(cells, "corpus_key", lambda spec: "other sentences")
    assert settings.key() != key


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
    with pytest.raises(ValueError, match="unknown split 'train': choose from test, validation"):
        Settings("any", split="train")
    with pytest.raises(ValueError, match="at least 2"):
        Settings("any", utterances=1)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        evaluate(Settings("./no/such/model"))
