"""What rows of a codec's evaluation add up to."""

import pytest

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
