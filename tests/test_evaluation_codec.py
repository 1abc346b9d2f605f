"""What rows of a codec's evaluation add up to, and where the command writes it."""

import json
from types import SimpleNamespace

import pytest

from labkit.evaluation import codec as command
from labkit.evaluation.codec import ORIGINAL, CodecScores, Row


def scores() -> CodecScores:
    rows = []
    for number in range(10):
        words = 0 if number == 9 else 5  # pocketsphinx did not hear the last one
        rows.append(Row("en", ORIGINAL, 20, 0, words, int(number < 4 and words > 0), number != 0))
        for steps in (1, 10):
            heard = words if steps == 10 else 0
            rows.append(
                Row("en", steps, 20, number % 2, heard, int(number < 7 and heard > 0), True, 0.5, 1.0)
            )
    return CodecScores(rows)


def test_rates_are_sums_over_sums():
    made = scores()
    assert made.phoneme_error("en", 10).value == pytest.approx(5 / 200)
    assert made.word_error("en", ORIGINAL)[0] == pytest.approx(4 / 45)
    assert made.word_error("en", 10)[0] == pytest.approx(7 / 45)
    assert made.reading_accuracy("en", ORIGINAL).value == pytest.approx(0.9)


def test_extra_word_errors_are_paired():
    extra = scores().extra_word_error("en", 10)
    assert extra.value == pytest.approx(3 / 45)
    assert extra.n == 9
    assert extra.low < extra.value < extra.high


def test_the_table_says_what_was_measured_and_no_more():
    table = scores().table()
    by_steps = {
        steps: {row["measure"] for row in table if row["steps"] == steps} for steps in ("original", 1, 10)
    }
    assert "word error rate above the originals'" in by_steps[10] - by_steps["original"]
    assert not any("word" in measure for measure in by_steps[1])
    assert {"log-mel distance", "multi-resolution STFT distance"} <= by_steps[1]
    assert not any("distance" in measure for measure in by_steps["original"])


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Folders of a codec and a judge, whose numbers are there at once, and the cards that were written."""
    codec, judge, cards = tmp_path / "codec", tmp_path / "judge", []
    codec.mkdir()
    report = {"table": scores().table(), "vocoder": {"vocoder": {"value": 1.0, "low": 0.5, "high": 2.0}}}
    monkeypatch.setattr(command, "score_codec", lambda *_, **__: report)
    monkeypatch.setattr(command, "generate", lambda spec: SimpleNamespace(seconds=3600.0))
    monkeypatch.setattr(command, "write_cards", lambda *where, **_: cards.append(where[:2]))
    return codec, judge, cards


def test_the_command_writes_the_numbers_and_the_cards_beside_the_weights(folders, capsys):
    codec, judge, cards = folders
    command.main(["--codec", str(codec), "--judge", str(judge)])
    assert json.loads((codec / "scores.json").read_text())["table"]
    assert cards == [(codec, judge)]
    assert "1.0000 [0.5000, 2.0000]" in capsys.readouterr().out


def test_numbers_that_go_elsewhere_leave_scores_and_cards_alone(folders, tmp_path):
    codec, judge, cards = folders
    out = tmp_path / "no" / "such" / "folder" / "mine.json"
    command.main(["--codec", str(codec), "--judge", str(judge), "--out", str(out)])
    assert json.loads(out.read_text())["table"]
    assert list(codec.iterdir()) == []
    assert cards == []


def test_a_folder_in_place_of_a_file_is_refused_before_any_work(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "score_codec", lambda *_, **__: pytest.fail("scored"))
    with pytest.raises(SystemExit):
        command.main(["--out", str(tmp_path)])
    assert "is a folder; name a file in it" in capsys.readouterr().err
