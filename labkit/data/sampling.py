"""Sentences by the number: which kind, in which language and split, from a seed.

Each sentence has a random generator of its own, so that a larger corpus begins with the smaller one.
"""

from __future__ import annotations

import functools
import random
import zlib
from collections.abc import Sequence

from labkit.data import english, mandarin
from labkit.data.coverage import coverage_sentence
from labkit.data.grammar import Cell, Entry, Tokenize, cells, fill, sample_pair
from labkit.data.phonemes import check_language
from labkit.data.pinyin import pinyin
from labkit.data.sentences import Sentence

SENSE_RATE = 0.65
"""Share of homographs after which the text goes on in the same sense."""


def _split_english(text: str) -> list[tuple[str, str | None]]:
    return [(word, None) for word in text.split()]


_GRAMMARS = {"en": (english, _split_english), "cmn": (mandarin, pinyin)}


def grammar(language: str) -> tuple[Sequence[Entry], dict[str, tuple[str, ...]], Sequence[str], Tokenize]:
    """(homograph entries, slots, plain templates, tokenizer) of a language."""
    module, tokenize = _GRAMMARS[check_language(language)]
    return module.ENTRIES, module.SLOTS, module.PLAIN, tokenize


@functools.cache
def _cells(language: str, split: str) -> list[list[Cell]]:
    return cells(grammar(language)[0], split)


def homograph_pair(
    language: str, split: str, rng: random.Random, *, entry: int | None = None, sense_rate: float = SENSE_RATE
) -> tuple[Sentence, Sentence]:
    """A minimal pair of a homograph's two readings, from combinations of that split; `entry` chooses the homograph."""
    entries, slots, _, tokenize = grammar(language)
    choices = _cells(language, split)[rng.randrange(len(entries)) if entry is None else entry % len(entries)]
    return sample_pair(
        rng.choice(choices), rng, language=language, slots=slots, tokenize=tokenize, sense_rate=sense_rate
    )


def plain_sentence(language: str, split: str, rng: random.Random) -> Sentence:
    """A sentence of the plain grammar; a tenth of all combinations of its first three choices is held out."""
    _, slots, templates, tokenize = grammar(language)
    while True:
        number = rng.randrange(len(templates))
        text = fill(templates[number], slots, rng)
        words, readings = zip(*tokenize(text), strict=True)
        combination = f"plain{number}:{text[: 2 * len(text) // 3]}"
        if _held_out(combination) == split:
            return Sentence(language, "plain", words, readings, split, combination)


def _held_out(combination: str) -> str:
    return {0: "test", 1: "validation"}.get(zlib.crc32(combination.encode()) % 10, "train")


def training_sentence(language: str, kind: str, split: str, rng: random.Random, index: int) -> Sentence:
    """The index-th sentence of a kind; homographs come in turn, their readings evenly."""
    if kind == "homograph":
        return rng.choice(homograph_pair(language, split, rng, entry=index))
    if kind == "plain":
        return plain_sentence(language, split, rng)
    if kind == "coverage":
        return coverage_sentence(language, split, rng)
    raise ValueError(f"no sentences of kind {kind!r} can be drawn")
