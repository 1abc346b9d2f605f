"""From the Mandarin grammar's characters to pinyin, by its own table."""

from __future__ import annotations

import re
from collections.abc import Mapping

FIXED_BY_NEIGHBOR = "一不"


class Pinyin:
    """Reads text by a table of characters, with exceptions for words, and the tone changes of 一 and 不.

    Args:
        characters: ``"ma1妈 ma3马码"``: each syllable with its tone number, and the characters read so.
        words: ``{"首都": "shou3 du1"}``: words in which a character is read otherwise.
    """

    def __init__(self, characters: str, words: Mapping[str, str]) -> None:
        longest_first = sorted(words, key=len, reverse=True)
        self.words = {word: words[word].split() for word in longest_first}
        self.characters = {
            character: syllable
            for syllable, group in re.findall(r"([a-z]+\d)(\S+)", characters)
            for character in group
        }

    def __call__(self, text: str) -> list[tuple[str, str | None]]:
        """(character, syllable with tone number) for each character; spaces are dropped.

        Raises ValueError for a character that the table lacks.
        """
        text = text.replace(" ", "")
        syllables: list[str] = []
        while len(syllables) < len(text):
            here = len(syllables)
            word = next((w for w in self.words if text.startswith(w, here)), None)
            if word:
                syllables += self.words[word]
            elif text[here] in FIXED_BY_NEIGHBOR:
                syllables.append(self._by_neighbor(text, here))
            elif text[here] in self.characters:
                syllables.append(self.characters[text[here]])
            else:
                raise ValueError(f"no pinyin for {text[here]!r} in {text!r}: add it to grammars/cmn.toml")
        return list(zip(text, syllables, strict=True))

    def _by_neighbor(self, text: str, here: int) -> str:
        """Both take the second tone before a fourth; elsewhere 一 takes the fourth, and 不 keeps it."""
        following = self.characters.get(text[here + 1 : here + 2], "")
        base = "yi" if text[here] == "一" else "bu"
        return base + ("2" if following.endswith("4") else "4")
