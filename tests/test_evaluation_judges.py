"""The judges' machinery: decoding, scoring, verdicts and error rates, apart from how well they were trained."""

import json

import numpy as np
import pytest
import torch

from labkit.audio.codec import WeightsError
from labkit.audio.io import AudioInputError
from labkit.data.espeak import Synthesizer
from labkit.data.typed import spoken_words
from labkit.evaluation.language_model import write_bigram_model
from labkit.evaluation.rates import edits, error_rate
from labkit.evaluation.reading import judge_reading
from labkit.evaluation.recogniser import PhonemeJudge, PhonemeRecogniser, RecogniserConfig
from labkit.evaluation.words import WordJudge

SYMBOLS = ("_", "en/a", "en/b", "cmn/a1")


class Spelled(PhonemeRecogniser):
    """A network that hears a given row of symbols, whatever is played."""

    def __init__(self, row: list[int]) -> None:
        super().__init__(RecogniserConfig(symbols=SYMBOLS, width=8, blocks=1))
        self.row = row

    def forward(self, mel):
        logits = torch.full((1, mel.shape[1] // 2, len(SYMBOLS)), -5.0)
        heard = (self.row + [0] * logits.shape[1])[: logits.shape[1]]
        logits[0, torch.arange(len(heard)), torch.tensor(heard)] = 5.0
        return logits, logits


def judge_of(row: list[int]) -> PhonemeJudge:
    return PhonemeJudge(Spelled(row), mel_mean=0.0, mel_scale=1.0)


def test_repeats_merge_blanks_part_and_times_follow():
    heard = judge_of([0, 1, 1, 0, 1, 2]).hear(np.zeros(16_000), 16_000, "en")
    assert heard.phonemes == ("a", "a", "b")
    # A tenth of a second of silence is put in front, so the second step of 20 ms ends at -0.06 s.
    assert heard.times[0] == pytest.approx((-0.08, -0.04))


def test_the_other_language_is_ruled_out():
    heard = judge_of([3, 3, 3]).hear(np.zeros(16_000), 16_000, "en")
    assert "a1" not in heard.phonemes
    assert judge_of([3, 3, 3]).hear(np.zeros(16_000), 16_000, "cmn").phonemes == ("a1",)


def test_what_was_heard_scores_above_what_was_not():
    judge = judge_of([0, 1, 0, 2])
    heard = judge.hear(np.zeros(16_000), 16_000, "en")
    right, wrong = heard.log_probability(["a", "b"]), heard.log_probability(["b", "a"])
    assert right > wrong
    verdict = judge_reading(heard, {"ab": ["a", "b"], "ba": ["b", "a"]})
    assert verdict.reading == "ab"
    assert verdict.margin == pytest.approx(right - wrong)


def test_verdicts_that_cannot_be_given_are_refused():
    judge = judge_of([1])
    heard = judge.hear([0.0], 16_000, "en")
    with pytest.raises(ValueError, match="at least two"):
        judge_reading(heard, {"ab": ["a"]})
    with pytest.raises(ValueError, match="sound alike"):
        judge_reading(heard, {"x": ["a"], "y": ["a"]})
    with pytest.raises(ValueError, match="no phonemes of 'en': a1"):
        heard.log_probability(["a1"])
    with pytest.raises(ValueError, match="unknown language"):
        judge.hear([0.0], 16_000, "fr")
    with pytest.raises(AudioInputError):
        judge.hear([], 16_000, "en")


def test_a_judge_survives_its_file(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        judge = PhonemeJudge(
            PhonemeRecogniser(RecogniserConfig(symbols=SYMBOLS, width=8, blocks=1)),
            mel_mean=-3.0,
            mel_scale=2.0,
        )
    judge.save(tmp_path)
    sound = np.random.default_rng(0).normal(size=8_000) * 0.1
    again = PhonemeJudge.load(tmp_path).log_probabilities(sound, 16_000, "en")
    assert torch.allclose(again.exp(), judge.log_probabilities(sound, 16_000, "en").exp(), atol=1e-2)
    config = json.loads((tmp_path / "config.json").read_text())
    config["network"]["width"] = 16
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="not a phoneme judge"):
        PhonemeJudge.load(tmp_path)
    with pytest.raises(WeightsError, match="is missing"):
        PhonemeJudge.load(tmp_path / "nowhere")


def test_edits_and_rates_count_units():
    assert edits(["a", "b", "c"], ["a", "c"]) == 1
    assert edits(["a"], []) == 1
    assert edits(["tS;", "A4"], ["tS;h", "A4"]) == 1
    rate = error_rate([["a", "b"], ["c", "d"]], [["a", "b"], ["c", "x"]])
    assert rate.value == 0.25
    assert rate.low <= 0.25 <= rate.high
    with pytest.raises(ValueError, match="pair up"):
        error_rate([["a"]], [])


def test_the_language_model_sums_to_one(tmp_path):
    text = [["the", "cat", "sat"], ["the", "dog", "sat"], ["a", "cat", "ran"]]
    words = write_bigram_model(text, tmp_path / "words.arpa")
    assert words == {"the", "cat", "sat", "dog", "a", "ran"}
    chance, backoff, pairs = read_arpa(tmp_path / "words.arpa")
    for first in ("<s>", "the", "cat"):
        listed = {second for one, second in pairs if one == first}
        seen = sum(10 ** pairs[first, second] for second in listed)
        unseen = sum(10 ** (backoff[first] + chance[w]) for w in chance if w not in listed and w != "<s>")
        assert seen + unseen == pytest.approx(1, abs=2e-3)
    with pytest.raises(ValueError, match="at least one word"):
        write_bigram_model([], tmp_path / "empty.arpa")


def read_arpa(path):
    chance, backoff, pairs = {}, {}, {}
    for line in path.read_text().splitlines():
        match line.split("\t"):
            case [log, word, weight]:
                chance[word], backoff[word] = float(log), float(weight)
            case [log, words]:
                pairs[tuple(words.split())] = float(log)
    return chance, backoff, pairs


def test_pocketsphinx_hears_words_and_which_pronunciation(tmp_path):
    dictionary = {
        "we": ("W IY",),
        "saw": ("S AO",),
        "the": ("DH AH",),
        "bass": ("B AE S", "B EY S"),
        "again": ("AH G EH N",),
    }
    judge = WordJudge(dictionary, [["we", "saw", "the", "bass", "again"]], tmp_path)
    for sounds, spoken in (("B EY S", "b'eIs"), ("B AE S", "b'as")):
        words = spoken_words("we saw the bass again", "en")
        words[3] = type(words[3])("bass", spoken)
        speech = Synthesizer("en", rate=130).speak(words)
        heard = judge.hear(speech.waveform, speech.sample_rate)
        assert heard.text == "we saw the bass again"
        assert heard.pronunciation("bass") == sounds
        assert heard.pronunciation("cat") is None


def test_a_word_without_a_pronunciation_is_named(tmp_path):
    with pytest.raises(ValueError, match="no pronunciation for dog"):
        WordJudge({"a": ("AH",)}, [["a", "dog"]], tmp_path)
