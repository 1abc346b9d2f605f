"""The phonemes of the toy speech world: a small, stable inventory per language.

espeak-ng writes about 130 mnemonics for American English (stress marks, reduced and linking variants) and
says nothing of Mandarin tones in its events. A recogniser wants fewer and truer labels, so that here

* English stress is taken off the symbol; allophones fold into their phoneme (``I2 I# -> I``, ``t# -> t``);
* a Mandarin vowel nucleus carries its tone (``A4``), 5 being neutral: tones are lexical, stress is not;
* silence is a phoneme of its own, `SILENCE`, so that the labels cover an utterance without gaps.
"""

from __future__ import annotations

LANGUAGES = ("en", "cmn")
SILENCE = "_"

_ENGLISH_CONSONANTS = (
    "p", "b", "t", "d", "k", "g", "tS", "dZ", "f", "v", "T", "D", "s", "z", "S", "Z", "h", "m", "n",
    "N", "l", "r", "w", "j",
)  # fmt: skip
_ENGLISH_VOWELS = (
    "a", "A:", "A@", "E", "e@", "eI", "I", "i:", "i@", "i@3", "O:", "O@", "oU", "OI", "u:", "U",
    "U@", "V", "aU", "aI", "aI@", "3:", "@", "@L",
)  # fmt: skip
_ENGLISH_ALLOPHONES = {
    "I2": "I", "I#": "I", "i": "i:", "@2": "@", "@-": "@", "a#": "@", "aa": "a", "0": "A:", "0#": "A:",
    "O2": "O:", "O": "O:", "o@": "O@", "3": "3:", "aI3": "aI@", "t#": "t", "t2": "t", "?": "t", "x": "k",
    "r-": "r", "n-": "n", "l#": "l", ";": "j", "E2": "E", "E#": "E", "u": "u:", "u2": "u:", "U2": "U",
    "V2": "V", "oU#": "oU", "m-": "m",
}  # fmt: skip

_MANDARIN_CONSONANTS = (
    "p", "ph", "t", "th", "k", "kh", "ts", "tsh", "ts.", "ts.h", "tS;", "tS;h", "f", "s", "s.",
    "S;", "X", "m", "n", "l", "z.", "j", "w", "N",
)  # fmt: skip
_MANDARIN_NUCLEI = (
    "a", "A", "ai", "Au", "@", "@r", "ei", "i", "i.", "i[", "iA", "iE", "iou", "o", "o-", "ong",
    "ou", "u", "u@", "ua", "uai", "uei", "uo", "y", "y&", "y@", "yE",
)  # fmt: skip
_MANDARIN_ALLOPHONES = {"yi": "y@"}
TONES = (1, 2, 3, 4, 5)

_INVENTORY = {
    "en": (SILENCE, *_ENGLISH_CONSONANTS, *_ENGLISH_VOWELS),
    "cmn": (SILENCE, *_MANDARIN_CONSONANTS, *(f"{v}{tone}" for v in _MANDARIN_NUCLEI for tone in TONES)),
}
_VOWELS = {"en": frozenset(_ENGLISH_VOWELS), "cmn": frozenset(_MANDARIN_NUCLEI)}
_KNOWN = {language: frozenset(symbols) for language, symbols in _INVENTORY.items()}
_STRESS = {"'": 2, ",": 1, "%": 0, "=": 0}


def check_language(language: str) -> str:
    """Returns `language`; raises ValueError unless it is one of `LANGUAGES`."""
    if language not in LANGUAGES:
        raise ValueError(f"unknown language {language!r}: choose one of {', '.join(LANGUAGES)}")
    return language


def phoneme_inventory(language: str) -> tuple[str, ...]:
    """All phoneme symbols of a language, silence first, in an order that never changes."""
    return _INVENTORY[check_language(language)]


def split_tone(symbol: str) -> tuple[str, int | None]:
    """A Mandarin symbol's base and tone: ``"A4" -> ("A", 4)``; consonants and silence have tone None."""
    if symbol[-1:] in "12345" and symbol[:-1] in _VOWELS["cmn"]:
        return symbol[:-1], int(symbol[-1])
    return symbol, None


def normalize(mnemonic: str, language: str, tone: int | None = None) -> tuple[str, int]:
    """An espeak mnemonic as (symbol of the inventory, stress 0 none / 1 secondary / 2 primary).

    `tone` is the syllable's, for Mandarin. Raises ValueError for a mnemonic outside the inventory, which
    for espeak means that it left the language (it reads an unknown pinyin syllable out in English letters).
    """
    stress = _STRESS.get(mnemonic[:1], 0)
    base = mnemonic.lstrip("',%=")
    if base.startswith("_"):
        return SILENCE, 0
    if check_language(language) == "en":
        symbol = _ENGLISH_ALLOPHONES.get(base, base)
    else:
        symbol = _MANDARIN_ALLOPHONES.get(base, base)
        if symbol in _VOWELS["cmn"]:
            symbol, stress = f"{symbol}{tone}", 0
    if symbol not in _KNOWN[language]:
        raise ValueError(f"espeak phoneme {mnemonic!r} is not in the inventory of {language!r}")
    return symbol, stress
