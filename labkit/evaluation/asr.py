"""Speech recognition, as in the paper's Tables 6 and 7: held-out speech in, text out, errors by word or character.

Both texts go through Whisper's normalizers, as is the custom of these benchmarks; their list of British spellings
ships with Whisper's tokenizer and is only there with it. English is counted by words, Mandarin by characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

from labkit.data.corpus import Utterance
from labkit.data.phonemes import check_language
from labkit.evaluation.answers import Answer, SpeechSystem, answer_measures
from labkit.evaluation.rates import edits
from labkit.interleave import InterleaveMode
from labkit.statistics import Estimate, ratio
from labkit.vocabulary.prompts import speech_recognition

UNITS = {"en": "word", "cmn": "character"}
MANDARIN_UNIT = re.compile(r"[a-z0-9]+|\S")


@dataclass(frozen=True)
class WrittenRow:
    """One utterance as the model wrote it down.

    Attributes:
        utterance: its index in the corpus.
        kind: of sentence: homograph, plain or coverage.
        units: words or characters that should be written.
        errors: edits from what was written.
        answer: what the model wrote.
    """

    utterance: int
    kind: str
    units: int
    errors: int
    answer: Answer


def evaluate_asr(
    system: SpeechSystem, utterances: Sequence[Utterance], mode: InterleaveMode, *, progress: bool = True
) -> list[WrittenRow]:
    """Let the model write down utterances in a mode, free-running. Every answer is scored, however broken."""
    prompts = [(speech_recognition(), [system.heard(utterance)]) for utterance in utterances]
    rows = []
    for utterance, answer in zip(
        utterances, system.answer(prompts, mode, spoken=False, progress=progress), strict=True
    ):
        meant = text_units(utterance.text, utterance.language)
        written = text_units(answer.text, utterance.language)
        rows.append(WrittenRow(utterance.index, utterance.kind, len(meant), edits(meant, written), answer))
    return rows


def asr_measures(rows: Sequence[WrittenRow], language: str) -> dict[str, Estimate]:
    """What rows of one language and mode add up to, each with its 95% interval: over all, and by kind of sentence."""
    name = f"{UNITS[check_language(language)]} error rate"
    measures = {name: _errors(rows)}
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        if len(own) > 1:
            measures[f"{name}, {kind}"] = _errors(own)
    return measures | answer_measures([row.answer for row in rows], spoken=False)


def text_units(text: str, language: str, spelling: Mapping[str, str] | None = None) -> list[str]:
    """Normalized words (English) or characters (Mandarin, where a run of Latin letters or digits is one) of a text.

    Args:
        text: as it was written.
        language: "en" or "cmn".
        spelling: British spellings and the American ones to count in their place, from Whisper's tokenizer.
    """
    if check_language(language) == "en":
        return EnglishTextNormalizer(dict(spelling or {}))(text).split()
    return MANDARIN_UNIT.findall(BasicTextNormalizer()(text))


def _errors(rows: Sequence[WrittenRow]) -> Estimate:
    return ratio([row.errors for row in rows], [row.units for row in rows])
