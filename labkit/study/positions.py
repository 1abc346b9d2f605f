"""Classes of positions: every token before the parting one has a single role in how a homograph is read."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

from labkit.study.contrast import Contrast
from labkit.study.masking import deciding_word

Choose = Callable[[Contrast], Sequence[int]]


class Copy(StrEnum):
    """Which of the two copies of the text is meant: the one read in the prompt, the one written in the answer."""

    PROMPT = "prompt"
    ANSWER = "answer"
    BOTH = "both"


def deciding(contrast: Contrast) -> list[int]:
    """The word that decides the reading."""
    return deciding_word(contrast.script)


def between(contrast: Contrast) -> list[int]:
    """The words between the deciding one and the homograph."""
    homograph = contrast.utterance.homograph
    return _of(contrast, range(homograph.deciding[-1] + 1, homograph.index))


def homograph(contrast: Contrast) -> list[int]:
    """The homograph's own text."""
    return _of(contrast, [contrast.utterance.homograph.index])


def after(contrast: Contrast) -> list[int]:
    """The word after the homograph; it is read before the homograph is spoken."""
    following = contrast.utterance.homograph.index + 1
    return _of(contrast, [following] if following < len(contrast.script.words) else [])


def other_words(contrast: Contrast) -> list[int]:
    """All other words."""
    rest = set(contrast.script.text).difference(
        *(choose(contrast) for choose in (deciding, between, homograph, after))
    )
    return sorted(rest)


def tags(contrast: Contrast) -> list[int]:
    """Tags, roles and the rest of the prompt: neither words nor audio."""
    script = contrast.script
    return sorted(set(range(len(contrast.ids))).difference(script.text, script.audio, contrast.rows))


def audio_before(contrast: Contrast) -> list[int]:
    """The audio so far, up to the rows that make the homograph's."""
    return sorted(set(contrast.script.audio).difference(contrast.rows))


def predicting(contrast: Contrast) -> list[int]:
    """The rows that make the homograph's audio up to the token at which the readings part."""
    return list(contrast.rows)


def random_word(contrast: Contrast) -> list[int]:
    """A control: as many words as the homograph, one, but any that neither decides nor is read differently.

    Drawn anew for each utterance, and always the same for the same one.
    """
    about = contrast.utterance.homograph
    others = [
        word for word in range(len(contrast.script.words)) if word not in (*about.deciding, about.index)
    ]
    return _of(contrast, [random.Random(contrast.utterance.index).choice(others)] if others else [])


CLASSES: Mapping[str, Choose] = MappingProxyType(
    {
        "deciding word": deciding,
        "words between": between,
        "homograph": homograph,
        "word after": after,
        "other words": other_words,
        "tags and roles": tags,
        "audio so far": audio_before,
        "predicting rows": predicting,
    }
)
"""Together they are all positions, each once."""

CONTROL: Mapping[str, Choose] = MappingProxyType({"a random other word": random_word})
"""What a patch should not do; its positions belong to one of the classes, too."""

CLASSES_AND_CONTROL: Mapping[str, Choose] = MappingProxyType({**CLASSES, **CONTROL})


def positions(contrast: Contrast, choose: Choose, copy: Copy | str = Copy.BOTH) -> list[int]:
    """The positions of a class before the parting token.

    Args:
        contrast: where.
        choose: the class.
        copy: which copy of the text; audio and its tags stand in the answer alone.

    Raises:
        ValueError: no such copy.
    """
    copy = Copy(copy)
    start = contrast.script.prompt if copy is Copy.ANSWER else 0
    stop = contrast.script.prompt if copy is Copy.PROMPT else len(contrast.ids)
    return [position for position in choose(contrast) if start <= position < stop]


def _of(contrast: Contrast, words: Sequence[int]) -> list[int]:
    return [position for word in words for position in contrast.script.of_word(word)]
