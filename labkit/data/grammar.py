"""The grammars as data, read from ``grammars/en.toml`` and ``grammars/cmn.toml``.

A template is plain text with slots in braces: ``{d}`` is the word that decides, ``{h}`` the homograph it decides, any
other name one of the grammar's slots. ``"the {d} {often} looked at the {h}"``
"""

from __future__ import annotations

import functools
import random
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.data.phonemes import check_language
from labkit.data.pinyin import Pinyin

Token = tuple[str, str | None]
"""A word and its reading: espeak phonemes (None: espeak's dictionary), or pinyin."""


@dataclass(frozen=True)
class Reading:
    """One of a homograph's readings: its name, what espeak is told to say, and an English word's ARPAbet."""

    name: str
    spoken: str
    arpabet: str = ""


@dataclass(frozen=True)
class Group:
    """What combines freely for one homograph.

    frames: templates that suit either reading.
    pairs: deciding words, (for the first reading, for the second).
    neutral: continuations that tell nothing.  senses: pairs of continuations, one for each reading.
    """

    frames: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    neutral: tuple[str, ...]
    senses: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Entry:
    """A homograph, its two readings and the sentences it occurs in."""

    word: str
    readings: tuple[Reading, Reading]
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class Relation:
    """Facts of one sort, several ways to ask for them and one to answer: ``{x}`` is asked about, ``{y}`` the fact."""

    name: str
    questions: tuple[str, ...]
    answer: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Grammar:
    """Everything that can be said in one language of the toy speech world.

    tokenize: text to words with readings.  paper: the paper's sentence and its minimal pair (Mandarin only).
    """

    language: str
    plain: tuple[str, ...]
    slots: Mapping[str, tuple[str, ...]]
    homographs: tuple[Entry, ...]
    relations: tuple[Relation, ...]
    paper: tuple[str, ...]
    tokenize: Callable[[str], list[Token]]

    def fill(self, template: str, rng: random.Random) -> str:
        """The template with every slot but ``{d}`` and ``{h}`` replaced by chance, slots within slots included.

        Raises ValueError for a slot that the grammar lacks.
        """
        while match := re.search(r"\{(?!d\}|h\})(\w+)\}", template):
            if match[1] not in self.slots:
                raise ValueError(
                    f"the {self.language} grammar has no slot {match[1]!r}, used in {template!r}"
                )
            template = template[: match.start()] + rng.choice(self.slots[match[1]]) + template[match.end() :]
        return template


@functools.cache
def load_grammar(language: str) -> Grammar:
    """The grammar of "en" or "cmn"."""
    path = Path(__file__).parent / "grammars" / f"{check_language(language)}.toml"
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    tokenize = Pinyin(**data["pinyin"]) if language == "cmn" else _english_tokens
    homographs = tuple(_entry(entry, data) for entry in data["homograph"])  # may add slots
    return Grammar(
        language,
        tuple(data["plain"]),
        {name: tuple(choices) for name, choices in data["slots"].items()},
        homographs,
        tuple(_relation(relation) for relation in data["relation"]),
        tuple(data.get("paper", ())),
        tokenize,
    )


def _english_tokens(text: str) -> list[Token]:
    return [(word, None) for word in text.split()]


def _entry(entry: dict, data: dict) -> Entry:
    word = entry["word"]
    readings = [Reading(**reading | {"name": f"{word}/{reading['name']}"}) for reading in entry["readings"]]
    return Entry(word, (readings[0], readings[1]), tuple(_group(group, data) for group in entry["group"]))


def _group(group: dict, data: dict) -> Group:
    """Frames and neutral continuations are given in full, or by the name of a set that several homographs share."""

    def shared(table: str) -> list[str]:
        value = group[table]
        return data[table][value] if isinstance(value, str) else value

    frames = shared("frames")
    if "subject" in group:  # a slot of this group's own, in frames that several share
        slot = f"subject_{group['subject'][0]}"
        data["slots"][slot] = group["subject"]
        frames = [frame.replace("{subject}", f"{{{slot}}}") for frame in frames]
    return Group(
        tuple(frames),
        tuple((first, second) for first, second in group["pairs"]),
        tuple(shared("neutral")),
        tuple((first, second) for first, second in group["senses"]),
    )


def _relation(relation: dict) -> Relation:
    facts = relation.get("facts")
    if facts is None:  # sums of two numbers
        numbers, plus = relation["numbers"], relation["plus"]
        facts = [
            (f"{numbers[a]}{plus}{numbers[b]}", numbers[a + b]) for a in range(1, 10) for b in range(1, 10)
        ]
    return Relation(
        relation["name"],
        tuple(relation["questions"]),
        relation["answer"],
        tuple((subject, fact) for subject, fact in facts),
    )
