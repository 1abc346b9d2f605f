"""Text that somebody typed, as words that espeak-ng can say."""

from __future__ import annotations

import re

import pypinyin

from labkit.data.espeak import SpokenWord
from labkit.data.phonemes import check_language

_HAN = re.compile(r"[一-鿿]")


def spoken_words(text: str, language: str) -> list[SpokenWord]:
    """Any typed sentence, ready for `Synthesizer.speak`: English words, or Mandarin characters with their pinyin.

    English is read by espeak's dictionary, Mandarin by pypinyin's, which knows common phrases but can err on a
    polyphone. Punctuation is left out.

    Raises:
        ValueError: if there is nothing to say in that language, or a character of another one.
    """
    if check_language(language) == "en":
        if stray := _HAN.search(text):
            raise ValueError(f"{stray[0]!r} is Mandarin; choose Mandarin as the language, or type English")
        words = re.findall(r"[A-Za-z0-9]+(?:'[A-Za-z]+)*", text)
        if not words:
            raise ValueError("type at least one English word")
        return [SpokenWord(word) for word in words]
    if stray := re.search(r"[A-Za-z0-9]+", text):
        raise ValueError(f"{stray[0]!r} is not in Chinese characters; choose English, or type 汉字")
    characters = _HAN.findall(text)
    if not characters:
        raise ValueError("type at least one Chinese character")
    syllables = pypinyin.lazy_pinyin(
        "".join(characters), style=pypinyin.Style.TONE3, neutral_tone_with_five=True, v_to_u=False
    )
    return [
        SpokenWord(character, syllable) for character, syllable in zip(characters, syllables, strict=True)
    ]
