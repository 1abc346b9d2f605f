"""The benchmarks asked of a tiny random release: what is counted, what is left out, and the same table after a kill."""

import json
from dataclasses import replace

import pytest
from benchmark_files import WRITERS, sound, text
from releases import assistant, release

from labkit.evaluation.benchmarks import __main__ as command
from labkit.evaluation.benchmarks.answering import BenchmarkRow, Examiner, holds_any
from labkit.evaluation.benchmarks.catalog import read_benchmark
from labkit.evaluation.benchmarks.run import batches, benchmark_measures, read_rows, run_items
from labkit.evaluation.judges.interface import WritingJudge
from labkit.evaluation.judges.paraformer import ParaformerJudge
from labkit.evaluation.judges.whisper import WhisperJudge
from labkit.interleave import TURBO, VANILLA


class Says(WritingJudge):
    """A judge that hears the same in any sound, and counts how often it was asked."""

    name = "says"

    def __init__(self, answer, spelling=()):
        self.answer, self.spelling, self.asked = answer, dict(spelling), 0

    def write_all(self, waveforms, sample_rate, language):
        self.asked += len(waveforms)
        return [self.answer if len(waveform) else "" for waveform in waveforms]


def examiner(judge=None, plus=False):
    return Examiner(assistant(plus), judge, max_new_tokens=12, steps=1)


@pytest.mark.parametrize("plus", [False, True], ids=["boost", "plus"])
@pytest.mark.parametrize("mode", [VANILLA, TURBO], ids=str)
def test_speech_is_written_down_in_a_batch(tmp_path, plus, mode):
    WRITERS["librispeech"](tmp_path)
    items = read_benchmark("librispeech", "test-clean", tmp_path)
    rows = examiner(plus=plus).examine(items, mode)
    assert [row.item for row in rows] == [item.name for item in items]
    for row in rows:
        assert row.fault is None
        assert row.written is not None
        assert row.units > 0
        assert row.errors > 0, "it babbles"
        assert row.right_text is None


def test_texts_are_spoken_and_judged_and_people_are_the_ceiling(tmp_path):
    WRITERS["libritts"](tmp_path)
    items = read_benchmark("libritts", "test-clean", tmp_path)
    judge = Says("He hoped there'd be stew", {"stew": "soup"})
    rows = examiner(judge).listen(items, through_codec=False)
    assert judge.asked == 2
    assert [(row.units, row.errors) for row in rows] == [(6, 0), (2, 6)], (
        "there'd is there would, two three is 2 3"
    )
    assert rows[0].heard == "He hoped there'd be stew"
    assert examiner(judge).listen(items, through_codec=True)[0].errors == 0
    spoken = examiner(judge).examine(items, TURBO)
    assert all(row.heard is not None and row.ended is not None for row in spoken)
    assert [row.errors for row in spoken] == [0 if row.seconds else row.units for row in spoken[:1]] + [
        6 if row.seconds else row.units for row in spoken[1:]
    ]
    with pytest.raises(ValueError, match="give a judge"):
        examiner().listen(items, through_codec=False)


def test_questions_are_right_where_an_answer_is_held(tmp_path):
    WRITERS["trivia-qa"](tmp_path)
    items = read_benchmark("trivia-qa", "validation", tmp_path)
    rows = examiner(Says("it was David Seville!")).examine(items, TURBO)
    assert all(row.right_speech == (row.seconds > 0) for row in rows)
    assert not any(row.right_text for row in rows)


@pytest.mark.parametrize(
    ("written", "answers", "right"),
    [
        ("The capital is Paris.", ("paris",), True),
        ("comparison", ("paris",), False),
        ("It was the colour red", ("blue", "color red"), True),
        ("twenty one", ("21",), True),
        ("", ("x",), False),
        ("anything", ("!",), False),
    ],
)
def test_holding_an_answer(written, answers, right):
    assert holds_any(written, answers, "en", {"colour": "color"}) is right


def test_one_bad_item_is_a_row_that_says_so(tmp_path):
    WRITERS["librispeech"](tmp_path)
    folder = tmp_path / "LibriSpeech/test-clean/1089/134686"
    (folder / "1089-134686-0000.flac").write_bytes(b"noise")
    text(folder / "1089-134686.trans.txt", "1089-134686-0000 A\n1089-134686-0001 B\n1089-134686-0002 ?!\n")
    items = read_benchmark("librispeech", "test-clean", tmp_path)
    rows = examiner().examine(items, VANILLA)
    assert "0000.flac is not audio" in rows[0].fault
    assert rows[1].fault is None
    assert "nothing to count" in rows[2].fault
    assert benchmark_measures(rows) == {"never ended": benchmark_measures(rows)["never ended"]}
    assert examiner().examine(items[:1], VANILLA)[0].fault


def test_a_prompt_that_fills_the_model_is_a_row_that_says_so(tmp_path, monkeypatch):
    WRITERS["librispeech"](tmp_path)
    items = read_benchmark("librispeech", "test-clean", tmp_path)
    monkeypatch.setattr(assistant(False).model.config, "max_position_embeddings", 8)
    assert "leaves no room" in examiner().examine(items, VANILLA)[0].fault


def test_batches_hold_one_kind_of_item():
    row = BenchmarkRow("a", "en", "asr", ("x",))
    items = [
        replace(row, item=name, language=language, task=task)
        for name, language, task in zip(
            "abcde", ["en", "cmn", "en", "en", "en"], ["asr"] * 4 + ["tts"], strict=True
        )
    ]

    class Item:
        def __init__(self, row):
            self.name, self.language, self.task, self.clips = row.item, row.language, row.task, ()

    found = [[item.name for item in batch] for batch in batches([Item(row) for row in items], 2)]
    assert found == [["a", "c"], ["d"], ["b"], ["e"]]


def test_what_a_killed_run_left_is_cut_to_whole_lines(tmp_path):
    WRITERS["librispeech"](tmp_path)
    items = read_benchmark("librispeech", "test-clean", tmp_path)
    asked = []

    def examine(chosen):
        asked.extend(item.name for item in chosen)
        return [BenchmarkRow(item.name, "en", "asr", item.references, units=1) for item in chosen]

    path = tmp_path / "rows.jsonl"
    whole = run_items(examine, items, path, 1, progress=False)
    content = path.read_bytes()
    for kept in (0, 5, len(content) // 2, len(content) - 1, len(content)):
        path.write_bytes(content[:kept])
        assert run_items(examine, items, path, 1, progress=False) == whole
        assert list(read_rows(path).values()) == whole
    assert len(asked) == 2 + 2 + 2 + 1 + 1 + 0


def test_measures_leave_out_what_has_no_result():
    asr = BenchmarkRow("a", "en", "asr", ("x",), written="", units=4, errors=1, ended=True)
    measures = benchmark_measures([asr, asr, replace(asr, fault="broken", errors=4)])
    assert measures["word error rate"][:1] == (0.25,)
    assert measures["never ended"].n == 2
    question = BenchmarkRow("q", "en", "qa", ("x",), right_text=True, right_speech=True, ended=True)
    rows = [question, question, question, replace(question, right_speech=False)]
    measures = benchmark_measures(rows)
    assert (measures["S -> T accuracy"].value, measures["S -> S accuracy"].value) == (1, 0.75)
    assert measures["S -> S relative to S -> T"].value == 0.75
    assert benchmark_measures([]) == {}


def run(tmp_path, monkeypatch, cache, table, *options):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / cache))
    files, out = release(), tmp_path / f"{cache}.json"
    where = ["--model", files.model, "--tokenizer", files.tokenizer, "--decoder", files.decoder]
    short = ["--max-new-tokens", 8, "--steps", 1, "--batch", 1, "--out", out]
    command.main([str(each) for each in (table, *where, *short, *options)])
    return json.loads(out.read_text())


def test_one_command_a_table_the_same_after_a_kill(tmp_path, monkeypatch, capsys):
    WRITERS["librispeech"](tmp_path)
    bad = tmp_path / "LibriSpeech/test-other/1089/134686/1089-134686-0001.flac"
    bad.write_bytes(b"")
    sound(bad.with_name("1089-134686-0002.flac"))
    text(bad.with_name("1089-134686.trans.txt"), "".join(f"1089-134686-000{n} SO BE IT\n" for n in range(3)))
    options = ("--data", f"librispeech={tmp_path}", "--modes", "vanilla", "turbo")
    whole = run(tmp_path, monkeypatch, "whole", 6, *options)
    cells = {(row["split"], row["mode"], row["measure"]) for row in whole["table"]}
    assert {
        (split, mode, "word error rate")
        for split in ("test-clean", "test-other")
        for mode in ("vanilla", "turbo")
    } <= cells
    assert len(whole["left_out"]) == 2, "the bad item, in each mode"
    assert "1089-134686-0001" in whole["left_out"][0]
    assert "without fleurs" in capsys.readouterr().out

    examine, left = Examiner.examine, [3]

    def dies(self, items, mode):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return examine(self, items, mode)

    monkeypatch.setattr(Examiner, "examine", dies)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, monkeypatch, "killed", 6, *options)
    left[0] = 7  # of ten
    assert run(tmp_path, monkeypatch, "killed", 6, *options) == whole


def test_texts_and_questions_by_command(tmp_path, monkeypatch):
    monkeypatch.setattr(WhisperJudge, "load", lambda *_, **__: Says("he hoped there would be stew"))
    monkeypatch.setattr(ParaformerJudge, "load", lambda *_, **__: Says("对这就是我"))
    for name in ("libritts", "seed-tts-eval", "llama-questions"):
        WRITERS[name](tmp_path)
    data = ("--data", f"libritts={tmp_path}", f"seed-tts-eval={tmp_path}")
    report = run(tmp_path, monkeypatch, "tts", 5, *data, "--voices", "--modes", "turbo")
    assert report["judge"] == "en: says, cmn: says"
    rates = {
        (row["benchmark"], row["split"], row["mode"]) for row in report["table"] if "error" in row["measure"]
    }
    assert ("libritts", "test-clean", "original") in rates
    assert ("libritts", "test-clean", "codec") in rates
    assert {("seed-tts-eval", split, "turbo") for split in ("test-zh", "test-en", "test-hard")} <= rates
    report = run(tmp_path, monkeypatch, "qa", 4, "--data", f"llama-questions={tmp_path}")
    assert any(row["measure"] == "S -> S accuracy" for row in report["table"])


def test_a_table_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "_read", lambda options: pytest.fail("read"))
    for out, message in ((tmp_path, "is a folder"), (tmp_path / "file" / "table.json", "cannot be made")):
        (tmp_path / "file").touch()
        with pytest.raises(SystemExit):
            command.main(["6", "--model", "m", "--data", "librispeech=/data", "--out", str(out)])
        assert message in capsys.readouterr().err


def test_rows_belong_to_the_weights_and_the_code_that_made_them(tmp_path, monkeypatch):
    parts = ("model", "tokenizer", "decoder", "toy-codec", "english-judge", "chinese-judge")
    for part in parts:
        text(tmp_path / part / "model.safetensors", part)
    places = [argument for part in parts for argument in (f"--{part}", str(tmp_path / part))]
    options = command._parser().parse_args(
        ["6", *places, "--data", "librispeech=/data", "--out", str(tmp_path / "table.json")]
    )
    keys = [command._key(options, [])]
    assert command._key(options, []) == keys[0]
    for part in parts:
        text(tmp_path / part / "model.safetensors", f"{part}, trained on")
        keys.append(command._key(options, []))
    monkeypatch.setattr(command, "code_digest", lambda: "other code")
    keys.append(command._key(options, []))
    assert len(set(keys)) == len(parts) + 2


def test_commands_that_cannot_be_are_refused(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="not of table 6"):
        run(tmp_path, monkeypatch, "x", 6, "--data", "libritts=/data")
    with pytest.raises(ValueError, match="no benchmark 'timit'"):
        run(tmp_path, monkeypatch, "x", 6, "--data", "timit=/data")
    with pytest.raises(FileNotFoundError, match="nothing at"):
        run(tmp_path, monkeypatch, "x", 6, "--data", f"librispeech={tmp_path}/nowhere")
