"""What judges need to know: how each homograph sounds in either reading, and how every English word is pronounced."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from labkit.data.coverage import dictionary
from labkit.data.espeak import SpokenWord, Synthesizer
from labkit.data.grammar import Grammar, load_grammar
from labkit.data.phonemes import check_language

_NEIGHBORS = {"en": ("see", "now"), "cmn": ("ta1", "le5")}
"""Words around a reading when it is tried. (Before a vowel, a final r is heard too: "tear again".)"""


@dataclass(frozen=True)
class SpokenReading:
    """A homograph's reading as it comes out in the phoneme events.

    name: such as "lead/metal".  spoken: espeak phonemes or pinyin.
    phonemes: symbols of the inventory, Mandarin vowels with their tone.
    arpabet: for pocketsphinx, English only; "" in Mandarin.
    """

    word: str
    name: str
    spoken: str
    phonemes: tuple[str, ...]
    arpabet: str


@functools.cache
def homographs(language: str) -> dict[str, tuple[SpokenReading, SpokenReading]]:
    """Each homograph of a language with its two readings."""
    synthesizer = Synthesizer(language)
    before, after = _NEIGHBORS[language]
    found = {}
    for entry in load_grammar(language).homographs:
        readings = []
        for reading in entry.readings:
            speech = synthesizer.speak(
                [SpokenWord(before), SpokenWord(entry.word, reading.spoken), SpokenWord(after)]
            )
            phonemes = tuple(p.symbol for p in speech.phonemes if p.word == 1)
            readings.append(
                SpokenReading(entry.word, reading.name, reading.spoken, phonemes, reading.arpabet)
            )
        found[entry.word] = (readings[0], readings[1])
    return found


@functools.cache
def vocabulary_words(language: str) -> dict[str, tuple[str, ...]]:
    """Every word of the grammar (Mandarin: every character), in order, with its pronunciations.

    English ones are ARPAbet, ready for a pocketsphinx dictionary, both readings for a homograph; Mandarin ones pinyin.
    Words of the coverage sentences are not among them: their English ones are all in `coverage.dictionary()`.
    """
    grammar = load_grammar(check_language(language))
    pronunciations: dict[str, set[str]] = {}
    for text in _texts(grammar):
        for word, reading in grammar.tokenize(text):
            spoken = dictionary()[word] if language == "en" else reading
            pronunciations.setdefault(word, set()).add(spoken)
    for entry in grammar.homographs:
        readings = (r.arpabet if language == "en" else r.spoken for r in entry.readings)
        pronunciations.setdefault(entry.word, set()).update(readings)
    return {word: tuple(sorted(spoken)) for word, spoken in sorted(pronunciations.items())}


def _texts(grammar: Grammar) -> list[str]:
    """Every piece of text in a grammar, without slots."""
    templates = [*grammar.plain]
    for choices in grammar.slots.values():
        templates += choices
    for entry in grammar.homographs:
        for group in entry.groups:
            templates += [*group.frames, *group.neutral]
            templates += [text for pair in (*group.pairs, *group.senses) for text in pair]
    for relation in grammar.relations:
        templates += [*relation.questions, relation.answer]
        templates += [text for fact in relation.facts for text in fact]
    return [re.sub(r"\{\w+\}", " ", template) for template in templates]
