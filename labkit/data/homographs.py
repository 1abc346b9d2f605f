"""Homographs in sentences: an earlier word decides the reading, minimal pairs differ in that word alone."""

from __future__ import annotations

import functools
import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.data.grammar import Entry, Grammar, Token, load_grammar
from labkit.data.sentences import Homograph, Sentence, check_split

SENSE_RATE = 0.65
"""Share of spoken homographs after which the text goes on in the same sense, as natural text does."""

LENGTHS = {"en": (6, 14), "cmn": (8, 18)}
"""Fewest and most words of a homograph's sentence."""


@dataclass(frozen=True)
class Cell:
    """A combination of deciding pair and frame, the unit that splits hold apart."""

    entry: Entry
    group: int
    pair: int
    frame: int

    @property
    def name(self) -> str:
        return f"{self.entry.word}:{self.group}.{self.pair}.{self.frame}"

    @property
    def split(self) -> str:
        """By diagonals of the table of pairs and frames: training sees every pair and every frame."""
        diagonal = (self.pair + 2 * self.frame + self.group) % 7
        return {0: "test", 3: "test", 5: "validation"}.get(diagonal, "train")


@functools.cache
def cells(language: str, split: str) -> tuple[tuple[Cell, ...], ...]:
    """For each homograph of the language, its combinations in that split."""
    check_split(split)
    return tuple(
        tuple(
            cell
            for g, group in enumerate(entry.groups)
            for pair in range(len(group.pairs))
            for frame in range(len(group.frames))
            if (cell := Cell(entry, g, pair, frame)).split == split
        )
        for entry in load_grammar(language).homographs
    )


def minimal_pair(
    language: str, split: str, rng: random.Random, *, entry: int | None = None, sense_rate: float = SENSE_RATE
) -> tuple[Sentence, Sentence]:
    """A homograph's two readings in one frame, the deciding word swapped.

    Args:
        entry: which homograph, counted round and round; None for any.
        sense_rate: probability that the text goes on in the sense of the reading, and not neutrally.
    """
    grammar = load_grammar(language)
    number = rng.randrange(len(grammar.homographs)) if entry is None else entry % len(grammar.homographs)
    cell = rng.choice(cells(language, split)[number])
    group = cell.entry.groups[cell.group]
    goes_on = rng.random() < sense_rate
    shortest, longest = LENGTHS[language]
    while True:
        frame = grammar.fill(group.frames[cell.frame], rng)
        neutral = grammar.fill(rng.choice(group.neutral), rng)
        pair = _pair(grammar, cell, frame, rng.choice(group.senses) if goes_on else (neutral, neutral))
        if all(shortest <= len(sentence.words) <= longest for sentence in pair):
            return pair


def paper_pair() -> tuple[Sentence, Sentence]:
    """The paper's own sentence (Fig. 1b) and its minimal pair: 一行人, a party, and 银行人, people of the bank."""
    grammar = load_grammar("cmn")
    entry = next(entry for entry in grammar.homographs if entry.word == "行")
    first, second = (grammar_text.partition("行") for grammar_text in grammar.paper)
    deciding = first[0][-1], second[0][-1]
    group, pair = next(
        (g, pairs.index(deciding))
        for g, group in enumerate(entry.groups)
        if deciding in (pairs := group.pairs)
    )
    cell = Cell(entry, group, pair, frame=0)
    return _pair(grammar, cell, first[0][:-1] + "{d}{h}", (first[2], second[2]), kind="paper", split="test")


def _pair(
    grammar: Grammar,
    cell: Cell,
    frame: str,
    endings: tuple[str, str],
    kind: str = "homograph",
    split: str | None = None,
) -> tuple[Sentence, Sentence]:
    sides = [_assemble(grammar, cell, side, frame, endings) for side in (0, 1)]
    pair = []
    for side, (tokens, index, deciding, sense) in enumerate(sides):
        words, readings = zip(*tokens, strict=True)
        partner = tuple(word for word, _ in sides[1 - side][0])
        homograph = Homograph(index, cell.entry.readings[side].name, deciding, sense, partner)
        pair.append(
            Sentence(grammar.language, kind, words, readings, split or cell.split, cell.name, homograph)
        )
    return pair[0], pair[1]


def _assemble(
    grammar: Grammar, cell: Cell, side: int, frame: str, endings: tuple[str, str]
) -> tuple[list[Token], int, tuple[int, ...], tuple[int, ...]]:
    """(words with readings, the homograph's place, the deciding word's places, the sense's places)."""
    tokens: list[Token] = []
    index, deciding = -1, ()
    for piece in re.split(r"(\{[dh]\})", frame):
        if piece == "{h}":
            index = len(tokens)
            tokens.append((cell.entry.word, cell.entry.readings[side].spoken))
        elif piece == "{d}":
            word = grammar.tokenize(cell.entry.groups[cell.group].pairs[cell.pair][side])
            deciding = tuple(range(len(tokens), len(tokens) + len(word)))
            tokens += word
        else:
            tokens += grammar.tokenize(piece)
    if not deciding or deciding[-1] >= index:
        raise ValueError(f"the deciding word must stand before the homograph in frame {frame!r}")
    own, other = (grammar.tokenize(endings[s]) for s in (side, 1 - side))
    sense = tuple(len(tokens) + place for place in _differing(own, other))
    return tokens + own, index, deciding, sense


def _differing(own: Sequence[Token], other: Sequence[Token]) -> list[int]:
    """Places in `own` of words that `other` does not have (as often)."""
    spare = Counter(word for word, _ in other)
    places = []
    for place, (word, _) in enumerate(own):
        if spare[word]:
            spare[word] -= 1
        else:
            places.append(place)
    return places
