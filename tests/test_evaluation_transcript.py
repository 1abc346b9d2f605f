"""English is written down in words by a judge who knows words, everything else in phonemes."""

from types import SimpleNamespace

import pytest
import torch

from labkit.evaluation.transcript import Transcriber

SOUND = torch.zeros(160)


class Words:
    def hear(self, waveform, sample_rate):
        return SimpleNamespace(text="the bass")


class Phonemes:
    def hear(self, waveform, sample_rate, language):
        if language not in ("en", "cmn"):
            raise ValueError(f"no judge of {language}")
        return SimpleNamespace(phonemes=("b", "ae", language))


def test_english_in_words():
    assert Transcriber(Phonemes(), Words()).write(SOUND, 16_000, "en") == "the bass"


def test_mandarin_in_phonemes_and_english_without_a_judge_of_words():
    assert Transcriber(Phonemes(), Words()).write(SOUND, 16_000, "cmn") == "b ae cmn"
    assert Transcriber(Phonemes()).write(SOUND, 16_000, "en") == "b ae en"


def test_nothing_is_heard_in_no_sound():
    assert Transcriber(Phonemes(), Words()).write(SOUND[:0], 16_000, "en") == ""


def test_other_languages_are_refused():
    with pytest.raises(ValueError, match="no judge of fr"):
        Transcriber(Phonemes()).write(SOUND, 16_000, "fr")
