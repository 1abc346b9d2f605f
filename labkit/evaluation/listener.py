"""From audio tokens to what somebody else hears in them: the codec speaks, the phoneme judge listens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from labkit.audio.codec import STREAMING_STEPS, Codec
from labkit.data.corpus import Utterance
from labkit.data.phonemes import SILENCE
from labkit.data.word_tokens import said_tokens
from labkit.evaluation.reading import judge_reading
from labkit.evaluation.recogniser import Heard, PhonemeJudge

CHUNK = 10
"""Audio tokens that a streaming codec gets at a time: what ten MCTP modules make from one backbone pass."""


@dataclass(frozen=True)
class Listener:
    """A codec and a judge. Where nothing was said (``None`` for a waveform), nothing is heard.

    Args:
        codec: turns audio tokens into sound.
        judge: hears phonemes in it.
        steps: Euler steps that the codec takes.
        streaming: speak as tokens come, `CHUNK` at a time, in one Euler step at first and in more from chunk to chunk
            (`labkit.audio.codec.STREAMING_STEPS`), as somebody hears it who does not wait for the end.
    """

    codec: Codec
    judge: PhonemeJudge
    steps: int = 2
    streaming: bool = False

    def speak(self, codes: Sequence[int]) -> torch.Tensor | None:
        """Waveform `(samples,)` of audio tokens; None if there are none."""
        if not len(codes):
            return None
        if not self.streaming:
            return self.codec.decode(codes, self.steps)
        stream = self.codec.stream(STREAMING_STEPS)
        pieces = [stream.push(codes[start : start + CHUNK]) for start in range(0, len(codes), CHUNK)]
        return torch.cat([*pieces, stream.finish()])

    def again(self, utterance: Utterance) -> torch.Tensor:
        """An utterance after the codec: all that a perfect model could have said."""
        return self.speak(said_tokens(self.codec, utterance).tolist())

    def original(self, utterance: Utterance) -> torch.Tensor:
        """An utterance as it is, at the codec's sample rate."""
        return torch.from_numpy(utterance.waveform)

    def hear(self, waveform: torch.Tensor | None, language: str) -> Heard:
        """What the judge hears."""
        if waveform is None:
            symbols = self.judge.symbols
            return Heard((), (), language, symbols, torch.zeros(0, len(symbols)))
        return self.judge.hear(waveform, self.codec.sample_rate, language)


def choose(heard: Heard, candidates: Mapping[str, Sequence[str]]) -> str | None:
    """Name of the candidate that was most likely said; None if the judge cannot prefer any."""
    if not len(heard.log_probabilities):
        return None
    verdict = judge_reading(heard, candidates)
    # Sound too short for any of the candidates gives each the probability zero, and the margin is no number.
    return None if math.isnan(verdict.margin) or verdict.margin == 0 else verdict.reading


def sounds(utterance: Utterance) -> list[str]:
    """The phonemes of an utterance, without silence."""
    return [phoneme.symbol for phoneme in utterance.phonemes if phoneme.symbol != SILENCE]
