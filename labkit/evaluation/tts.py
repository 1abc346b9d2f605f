"""Text to speech, as in the paper's Table 5: the model says held-out sentences, somebody else says what was heard.

There Whisper and Paraformer transcribe; here the phoneme judge hears phonemes, and which reading a homograph got.
The same sentences straight through the codec stand beside: no model can be heard better than the tokens it learned
from, so what counts is the difference to that ceiling, sentence by sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from labkit.data.corpus import Utterance
from labkit.evaluation.answers import Answer, SpeechSystem, answer_measures
from labkit.evaluation.codec import reading_candidates
from labkit.evaluation.listener import Listener, choose, sounds
from labkit.evaluation.rates import edits
from labkit.interleave import InterleaveMode
from labkit.statistics import Estimate, clustered_proportion, proportion, ratio
from labkit.vocabulary.prompts import text_to_speech

Pair = tuple[Utterance, Utterance | None]
"""An utterance, and its minimal pair where it is a homograph probe."""


@dataclass(frozen=True)
class SpokenRow:
    """One utterance as the judge heard it.

    Attributes:
        utterance: its index in the corpus.
        kind: of sentence: homograph, plain or coverage.
        homograph: the word in question, empty if there is none.
        phonemes: how many should be said.
        phoneme_errors: edits from what was heard.
        heard: the phonemes heard, with spaces between.
        right_reading: whether the homograph was read as meant; None where there is none.
        right_text: whether the model wrote the sentence as it was given; None where no model was asked.
        answer: what the model made; None where none was asked (the codec's ceiling, the original).
    """

    utterance: int
    kind: str
    homograph: str
    phonemes: int
    phoneme_errors: int
    heard: str
    right_reading: bool | None
    right_text: bool | None = None
    answer: Answer | None = None


def evaluate_tts(
    system: SpeechSystem,
    listener: Listener,
    pairs: Sequence[Pair],
    mode: InterleaveMode,
    *,
    progress: bool = True,
) -> list[SpokenRow]:
    """Let the model say utterances in a mode, free-running, and listen. Every answer is judged, however broken.

    Nothing of the truth is given but the text to say. Decoding is greedy within the mode's layout, which says what
    tokens each slot may hold; the paper decodes freely.
    """
    prompts = [(text_to_speech(utterance.text), ()) for utterance, _ in pairs]
    answers = system.answer(prompts, mode, progress=progress)
    spoken = zip(pairs, answers, strict=True)
    return [
        _judge(listener, pair, listener.speak(answer.codes), answer)
        for pair, answer in tqdm(spoken, "listening", len(pairs), unit="utterance", disable=not progress)
    ]


def evaluate_originals(
    listener: Listener, pairs: Sequence[Pair], *, through_codec: bool, progress: bool = True
) -> list[SpokenRow]:
    """Listen to the utterances themselves: as they are, or what the codec makes of their true audio tokens."""
    sound = listener.again if through_codec else listener.original
    listened = tqdm(pairs, "listening to the truth", unit="utterance", disable=not progress)
    return [_judge(listener, pair, sound(pair[0])) for pair in listened]


def tts_measures(
    rows: Sequence[SpokenRow], others: Mapping[str, Sequence[SpokenRow]] | None = None
) -> dict[str, Estimate]:
    """What rows of one language and mode add up to, each with its 95% interval.

    Args:
        rows: at least two.
        others: by name, rows of the same utterances in the same order to compare with, pair by pair: the codec's
            ceiling, another mode. Differences above zero mean more errors than there.

    Raises:
        ValueError: others are of other utterances.
    """
    measures = {"phoneme error rate": _errors(rows)}
    for name, compared in (others or {}).items():
        if [row.utterance for row in rows] != [row.utterance for row in compared]:
            raise ValueError(f"the rows of {name!r} must be of the same utterances, in the same order")
        more = [row.phoneme_errors - other.phoneme_errors for row, other in zip(rows, compared, strict=True)]
        measures[f"phoneme error rate, minus {name}'s"] = ratio(more, [row.phonemes for row in rows])
    probes = [row for row in rows if row.right_reading is not None]
    if probes:
        measures["homograph reading accuracy"] = clustered_proportion(
            [row.right_reading for row in probes], [row.homograph for row in probes]
        )
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        if len(own) > 1:
            measures[f"phoneme error rate, {kind}"] = _errors(own)
    answered = [row for row in rows if row.answer is not None]
    if answered:
        measures["text as given"] = proportion(sum(row.right_text for row in answered), len(answered))
    return measures | answer_measures([row.answer for row in answered], spoken=True)


def _errors(rows: Sequence[SpokenRow]) -> Estimate:
    return ratio([row.phoneme_errors for row in rows], [row.phonemes for row in rows])


def _judge(
    listener: Listener, pair: Pair, waveform: torch.Tensor | None, answer: Answer | None = None
) -> SpokenRow:
    utterance, partner = pair
    meant, heard = sounds(utterance), listener.hear(waveform, utterance.language)
    right, word = None, ""
    if partner is not None:
        place, reading = utterance.homograph.index, utterance.homograph.reading
        candidates = reading_candidates(utterance, partner)
        right = choose(heard, candidates) == reading
        word = utterance.sentence.words[place]
    return SpokenRow(
        utterance.index,
        utterance.kind,
        word,
        len(meant),
        edits(meant, heard.phonemes),
        " ".join(heard.phonemes),
        right,
        answer.text == utterance.text if answer else None,
        answer,
    )
