"""What was said, in writing, by somebody who never learned from this lab's models."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from labkit.evaluation.recogniser import PhonemeJudge
from labkit.evaluation.words import WordJudge


@dataclass(frozen=True)
class Transcriber:
    """Writes down English as words, Mandarin as phonemes: no judge of the lab knows Chinese words.

    Args:
        phonemes: the judge of both languages.
        words: the judge of English words; without one, English is written in phonemes, too.
    """

    phonemes: PhonemeJudge
    words: WordJudge | None = None

    def write(self, waveform: torch.Tensor, sample_rate: int, language: str) -> str:
        """What is heard in a waveform ``(samples,)``; empty where there is no sound.

        Raises:
            ValueError: a language that the lab does not speak.
        """
        if not len(waveform):
            return ""
        if language == "en" and self.words is not None:
            return self.words.hear(waveform, sample_rate).text
        return " ".join(self.phonemes.hear(waveform, sample_rate, language).phonemes)
