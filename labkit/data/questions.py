"""Questions about a small closed world, with answers in a sentence; ways of asking about a fact are held out."""

from __future__ import annotations

import functools
import random

from labkit.data.grammar import Relation, load_grammar
from labkit.data.sentences import Sentence, check_split


@functools.cache
def question_cells(language: str, split: str) -> tuple[tuple[Relation, int, int], ...]:
    """(relation, fact, phrasing) of a split, shuffled once.

    Training sees every fact and every phrasing, but not every fact in every phrasing.
    """
    check_split(split)
    cells = []
    for number, relation in enumerate(load_grammar(language).relations):
        for fact in range(len(relation.facts)):
            for phrasing in range(len(relation.questions)):
                diagonal = (fact + 2 * phrasing + number) % 7
                if {0: "test", 3: "validation"}.get(diagonal, "train") == split:
                    cells.append((relation, fact, phrasing))
    random.Random(f"{language}/{split}").shuffle(cells)
    return tuple(cells)


def question_and_answer(language: str, split: str, index: int) -> tuple[Sentence, Sentence]:
    """The index-th question of a split, round and round, and its answer."""
    cells = question_cells(language, split)
    relation, number, phrasing = cells[index % len(cells)]
    subject, fact = relation.facts[number]
    combination = f"{relation.name}:{subject}.{phrasing}"
    tokenize = load_grammar(language).tokenize
    sentences = []
    for kind, template in (("question", relation.questions[phrasing]), ("answer", relation.answer)):
        words, readings = zip(*tokenize(template.format(x=subject, y=fact)), strict=True)
        sentences.append(Sentence(language, kind, words, readings, split, combination, fact=fact))
    return sentences[0], sentences[1]
