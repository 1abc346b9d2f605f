"""The questions of `labkit.evaluation.spoken_qa` in writing: what a model knows, apart from what it hears.

What S -> T lacks to T -> T was lost in hearing; what T -> T lacks to one, the model does not know.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.spoken_qa import Question, asked_about, holds_answer
from labkit.interleave import VANILLA
from labkit.statistics import Estimate, clustered_proportion
from labkit.vocabulary.prompts import text_only


def written_accuracy(
    system: SpeechSystem, questions: Sequence[Question], *, progress: bool = True
) -> Estimate:
    """T -> T: share of the questions whose written answer holds the fact, asked in writing.

    Answers come from the backbone alone, token by token. The interval takes questions about one fact as one.

    Raises:
        ValueError: no questions, or an answer that is none of the corpus.
    """
    prompts = [(text_only(question.text), []) for question, _ in questions]
    written = system.answer(prompts, VANILLA, spoken=False, progress=progress)
    truths = [truth for _, truth in questions]
    right = [holds_answer(answer.text, truth) for answer, truth in zip(written, truths, strict=True)]
    return clustered_proportion(right, [asked_about(truth) for truth in truths])
