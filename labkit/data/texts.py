"""Text without speech, for the language-model pre-training that stands in for a large model's.

After a homograph the text nearly always goes on in the same sense, so that a model has reason to know the sense at the
homograph itself, before any speech asks for it.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator

from labkit.data.homographs import minimal_pair
from labkit.data.phonemes import check_language
from labkit.data.plain import plain_sentence
from labkit.data.questions import question_and_answer
from labkit.data.sentences import Sentence

TEXT_SENSE_RATE = 0.9
TEXT_MIXTURE = {"homograph": 0.6, "plain": 0.25, "question": 0.15}


def text_sentences(language: str, count: int, *, seed: int = 0, split: str = "train") -> Iterator[Sentence]:
    """`count` sentences of kind "text", from the combinations of a split only; a question comes with its answer.

    The homograph's marks are kept, so that a language model's surprise at the sense can be measured.
    Raises ValueError for an unknown language or split, or a negative count.
    """
    check_language(language)
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    kinds, weights = tuple(TEXT_MIXTURE), tuple(TEXT_MIXTURE.values())
    for index in range(count):
        rng = random.Random(f"{seed}/{language}/text/{split}/{index}")
        kind = rng.choices(kinds, weights)[0]
        if kind == "homograph":
            sentence = rng.choice(minimal_pair(language, split, rng, sense_rate=TEXT_SENSE_RATE))
        elif kind == "plain":
            sentence = plain_sentence(language, split, rng)
        else:
            question, answer = question_and_answer(language, split, rng.randrange(1_000_000))
            words, readings = question.words + answer.words, question.readings + answer.readings
            sentence = dataclasses.replace(answer, words=words, readings=readings)
        yield dataclasses.replace(sentence, kind="text")
