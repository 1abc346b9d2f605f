"""What every judge that writes can do, and which judge listens to which language."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch

from labkit.data.phonemes import check_language


class JudgeError(RuntimeError):
    """A judge that cannot be had: not installed, not there, or not of this kind. The message says what to do."""


class WritingJudge(ABC):
    """A speech recogniser that had no part in making what it judges.

    Attributes:
        name: as results name it.
    """

    name: str

    @abstractmethod
    def write_all(self, waveforms: Sequence[torch.Tensor], sample_rate: int, language: str) -> list[str]:
        """What is heard in each waveform `(samples,)`, as the judge spells it; empty where there is no sound.

        Args:
            waveforms: of any lengths, in any number; the judge makes its own batches.
            sample_rate: of all of them, in Hz.
            language: that is spoken, "en" or "cmn".

        Raises:
            ValueError: a language that the lab does not speak, or the judge does not know.
        """

    def write(self, waveform: torch.Tensor, sample_rate: int, language: str) -> str:
        """What is heard in one waveform."""
        return self.write_all([waveform], sample_rate, language)[0]


class Panel(WritingJudge):
    """A judge for each language, as in the paper: Whisper-large-v3 for English, Paraformer for Chinese.

    Args:
        judges: by language.
    """

    def __init__(self, judges: Mapping[str, WritingJudge]) -> None:
        for language in judges:
            check_language(language)
        self.judges = dict(judges)
        self.name = ", ".join(f"{language}: {judge.name}" for language, judge in self.judges.items())

    def write_all(self, waveforms: Sequence[torch.Tensor], sample_rate: int, language: str) -> list[str]:
        """See `WritingJudge.write_all`."""
        if check_language(language) not in self.judges:
            raise ValueError(f"nobody here listens to {language!r}; there are {self.name or 'no judges'}")
        return self.judges[language].write_all(waveforms, sample_rate, language)


def audible(waveforms: Sequence[torch.Tensor]) -> list[int]:
    """Indices of waveforms that hold sound at all, the longest first, so that a batch is of like length."""
    heard = [index for index, waveform in enumerate(waveforms) if len(waveform)]
    return sorted(heard, key=lambda index: -len(waveforms[index]))
