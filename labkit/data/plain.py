"""Plain sentences: everyday templates without homographs, some combinations held out."""

from __future__ import annotations

import random
import re
import zlib

from labkit.data.grammar import load_grammar
from labkit.data.sentences import Sentence, check_split


def plain_sentence(language: str, split: str, rng: random.Random) -> Sentence:
    """A sentence of the plain grammar in that split.

    A combination is a template with its first two choices; a tenth of all is kept for validation, a fifth for testing.
    """
    check_split(split)
    grammar = load_grammar(language)
    while True:
        number = rng.randrange(len(grammar.plain))
        template, chosen = grammar.plain[number], []
        for slot in re.findall(r"\{(\w+)\}", template):
            chosen.append(grammar.fill(f"{{{slot}}}", rng))
            template = template.replace(f"{{{slot}}}", chosen[-1], 1)
        combination = f"plain:{number}.{chosen[0]}.{chosen[1]}"
        held_out = {0: "validation", 1: "test", 2: "test"}.get(zlib.crc32(combination.encode()) % 10, "train")
        if held_out == split:
            words, readings = zip(*grammar.tokenize(template), strict=True)
            return Sentence(language, "plain", words, readings, split, combination)
