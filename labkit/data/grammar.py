"""Sentences from templates: slots, homographs with two readings, combinations held out for validation and test.

A template is plain text with slots in braces. ``{d}`` is the deciding word, ``{h}`` the homograph, any other name is
looked up in the language's slots; brackets mark the words of a continuation that belong to one sense only:
``"the {d} {often} looked at the {h}"`` and ``"in the [river]"``.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from labkit.data.sentences import Homograph, Sentence

Tokenize = Callable[[str], list[tuple[str, str | None]]]
"""Text to (word, reading) pairs: English words or Mandarin characters."""


@dataclass(frozen=True)
class Reading:
    """One of a homograph's two readings: its name, what espeak is told to say, and English words' ARPAbet."""

    name: str
    spoken: str
    arpabet: str = ""


@dataclass(frozen=True)
class Group:
    """What combines freely: frames that suit either reading, and pairs of deciding words.

    pairs: (word for the first reading, word for the second).
    neutral: continuations that tell nothing.  senses: pairs of continuations, one for each reading.
    """

    frames: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    neutral: tuple[str, ...]
    senses: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Entry:
    """A homograph with its two readings and the groups of sentences it occurs in."""

    word: str
    readings: tuple[Reading, Reading]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Cell:
    """A combination of deciding pair and frame, the unit that splits hold out."""

    entry: Entry
    group: int
    pair: int
    frame: int

    @property
    def name(self) -> str:
        return f"{self.entry.word}:{self.group}.{self.pair}.{self.frame}"

    @property
    def split(self) -> str:
        """Diagonals of the table of pairs and frames, so that every pair and every frame is seen in training."""
        diagonal = (self.pair + 2 * self.frame + self.group) % 7
        return {0: "test", 3: "test", 5: "validation"}.get(diagonal, "train")


def cells(entries: Sequence[Entry], split: str) -> list[list[Cell]]:
    """For each entry, its combinations in that split."""
    return [
        [
            cell
            for g, group in enumerate(entry.groups)
            for pair in range(len(group.pairs))
            for frame in range(len(group.frames))
            if (cell := Cell(entry, g, pair, frame)).split == split
        ]
        for entry in entries
    ]


def sample_pair(
    cell: Cell,
    rng: random.Random,
    *,
    language: str,
    slots: Mapping[str, Sequence[str]],
    tokenize: Tokenize,
    sense_rate: float,
) -> tuple[Sentence, Sentence]:
    """The minimal pair of one combination, first and second reading; with `sense_rate` it goes on in that sense."""
    group = cell.entry.groups[cell.group]
    frame = _fill(group.frames[cell.frame], slots, rng)
    if group.senses and rng.random() < sense_rate:
        endings = rng.choice(group.senses)
        endings = tuple(_fill(ending, slots, rng) for ending in endings)
    else:
        endings = (_fill(rng.choice(group.neutral), slots, rng),) * 2
    built = [
        _build(frame, group.pairs[cell.pair][side], cell.entry, side, endings[side], tokenize)
        for side in (0, 1)
    ]
    pair = []
    for side, (tokens, index, deciding, sense) in enumerate(built):
        partner = tuple(word for word, _ in built[1 - side][0])
        words, readings = zip(*tokens, strict=True)
        homograph = Homograph(index, cell.entry.readings[side].name, deciding, sense, partner)
        pair.append(Sentence(language, "homograph", words, readings, cell.split, cell.name, homograph))
    return pair[0], pair[1]


def _build(
    frame: str, deciding_text: str, entry: Entry, side: int, ending: str, tokenize: Tokenize
) -> tuple[list[tuple[str, str | None]], int, int, tuple[int, ...]]:
    tokens: list[tuple[str, str | None]] = []
    index = deciding = -1
    sense: list[int] = []
    for piece in re.split(r"(\{\w+\}|\[[^]]*\])", f"{frame} {ending}"):
        if piece == "{h}":
            index = len(tokens)
            tokens.append((entry.word, entry.readings[side].spoken))
        elif piece == "{d}":
            tokens += tokenize(deciding_text)
            deciding = len(tokens) - 1
        else:
            start = len(tokens)
            tokens += tokenize(piece.strip("[]"))
            if piece.startswith("["):
                sense += range(start, len(tokens))
    if not 0 <= deciding < index:
        raise ValueError(f"the deciding word must stand before the homograph in frame {frame!r}")
    return tokens, index, deciding, tuple(sense)


def fill(template: str, slots: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    """The template with every slot but ``{d}`` and ``{h}`` replaced, slots within slots included."""
    return _fill(template, slots, rng)


def _fill(template: str, slots: Mapping[str, Sequence[str]], rng: random.Random) -> str:
    while match := re.search(r"\{(?!d\}|h\})(\w+)\}", template):
        choice = rng.choice(slots[match[1]])
        template = template[: match.start()] + choice + template[match.end() :]
    return template
