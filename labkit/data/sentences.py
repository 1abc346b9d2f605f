"""A sentence as data: words with the reading each is meant to have, and what decides a homograph's.

Words are English words or Mandarin characters; indices and distances count them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.data.phonemes import check_language

KINDS = ("homograph", "plain", "question", "answer", "text", "coverage", "paper")
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Homograph:
    """Why one word of a sentence is read as it is.

    index: the homograph's place in the sentence.
    reading: its name, such as "lead/metal" or "行/hang2".
    deciding: places of the word that decides the reading (a Mandarin word has one or two characters); it always
        stands before the homograph.
    sense: places of later words that only this reading makes likely; empty if the sentence goes on neutrally.
    partner: the minimal pair's words: the deciding word swapped, so that the reading flips (and where `sense` is
        not empty, the continuation with it).
    """

    index: int
    reading: str
    deciding: tuple[int, ...]
    sense: tuple[int, ...]
    partner: tuple[str, ...]

    @property
    def distance(self) -> int:
        """Words from the deciding word to the homograph: 1 if they touch."""
        return self.index - self.deciding[-1]


@dataclass(frozen=True)
class Sentence:
    """A sentence to be said or read.

    readings: for each word, espeak phonemes (None: espeak's dictionary) or pinyin.
    combination: what was combined, such as "lead:0.2.3"; splits hold combinations apart, never single words.
    fact: what an answer must contain, in questions and answers.
    """

    language: str
    kind: str
    words: tuple[str, ...]
    readings: tuple[str | None, ...]
    split: str = "train"
    combination: str = ""
    homograph: Homograph | None = None
    fact: str = ""

    def __post_init__(self) -> None:
        check_language(self.language)
        check_split(self.split)
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind of sentence {self.kind!r}: choose one of {', '.join(KINDS)}")
        if len(self.words) != len(self.readings) or not self.words:
            raise ValueError(
                "a sentence needs words, and one reading for each (None where espeak may choose)"
            )

    @property
    def text(self) -> str:
        """As it is written: English words with spaces between them, Mandarin characters without."""
        return join_words(self.words, self.language)


def join_words(words: Sequence[str], language: str) -> str:
    """Words as written text: English with spaces between them, Mandarin without."""
    return (" " if check_language(language) == "en" else "").join(words)


def check_split(split: str) -> str:
    """Returns `split`; raises ValueError unless it is one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}: choose one of {', '.join(SPLITS)}")
    return split
