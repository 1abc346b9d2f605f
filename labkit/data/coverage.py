"""Random words and syllables, for the codec and the recognisers only: every sound of a language, in any company."""

from __future__ import annotations

import functools
import random
import re
from pathlib import Path

import pocketsphinx
from pypinyin import pinyin_dict
from pypinyin.contrib.tone_convert import to_tone3

from labkit.data.phonemes import check_language
from labkit.data.sentences import Sentence

# Interjections, and syllables that espeak spells out in English letters.
_UNSPEAKABLE = re.compile(r"(h?[mn]g?|hm|hng|ê|yo|wong|[jqx]iong)\d")


@functools.cache
def dictionary() -> dict[str, str]:
    """The CMU dictionary of pocketsphinx's model: English word to ARPAbet, the first pronunciation of each."""
    path = Path(pocketsphinx.__file__).parent / "model" / "en-us" / "cmudict-en-us.dict"
    entries = (line.split(maxsplit=1) for line in path.read_text(encoding="utf-8").splitlines())
    return {entry[0]: entry[1] for entry in entries if len(entry) == 2 and "(" not in entry[0]}


@functools.cache
def english_words() -> tuple[str, ...]:
    """Words of 3 to 9 letters and 2 to 8 phonemes, in alphabetical order."""
    return tuple(
        sorted(
            w for w, p in dictionary().items() if re.fullmatch("[a-z]{3,9}", w) and 2 <= len(p.split()) <= 8
        )
    )


@functools.cache
def mandarin_syllables() -> tuple[str, ...]:
    """Every syllable with a tone that some character has, as pinyin with tone number (ü is v)."""
    readings = {reading for entry in pinyin_dict.pinyin_dict.values() for reading in entry.split(",")}
    syllables = {to_tone3(reading, neutral_tone_with_five=True).replace("ü", "v") for reading in readings}
    return tuple(
        sorted(s for s in syllables if re.fullmatch(r"[a-z]+[1-5]", s) and not _UNSPEAKABLE.fullmatch(s))
    )


def coverage_sentence(language: str, split: str, rng: random.Random) -> Sentence:
    """4 to 8 English words, or 6 to 12 Mandarin syllables, which are their own text."""
    if check_language(language) == "en":
        words = tuple(rng.choices(english_words(), k=rng.randint(4, 8)))
        return Sentence("en", "coverage", words, (None,) * len(words), split)
    syllables = tuple(rng.choices(mandarin_syllables(), k=rng.randint(6, 12)))
    return Sentence("cmn", "coverage", syllables, syllables, split)
