"""One probe said with some edges from audio to text cut: what is heard, and where the audio looks instead."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch

from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.listener import Listener
from labkit.interleave import InterleaveMode
from labkit.model import Knockout, tokens_at
from labkit.model.knockouts import KnockoutNeverFired
from labkit.study.alignment_weights import COPIES, attend_words
from labkit.study.continuation import go_on
from labkit.study.masking import making
from labkit.study.script import Script, script
from labkit.study.verdict import Verdict, Window, listen


@dataclass(frozen=True)
class Cut:
    """Which words the audio may not see, and where in the model.

    Attributes:
        asked: words whose copy in the prompt is hidden.
        written: words whose copy in the answer is hidden.
        layers: backbone layers in which they are; all unless given.
        heads: attention heads in which they are; all unless given.
        modules: MCTP modules in which they are; all unless given.
        whole: hidden from all audio of the sentence, not from the homograph's alone.
    """

    asked: frozenset[int] = frozenset()
    written: frozenset[int] = frozenset()
    layers: tuple[int, ...] | None = None
    heads: tuple[int, ...] | None = None
    modules: tuple[int, ...] | None = None
    whole: bool = False

    @classmethod
    def of(cls, asked: Collection[int], written: Collection[int], **places: object) -> Cut:
        """Of any collections of words."""
        return cls(frozenset(asked), frozenset(written), **places)

    def positions(self, text: Script) -> list[int]:
        """Positions of the tokens that are hidden.

        Raises:
            ValueError: the sentence has no such word.
        """
        count = len(text.words)
        if wrong := [word for word in (*self.asked, *self.written) if not 0 <= word < count]:
            raise ValueError(f"no word {wrong[0]}; the sentence has {count}, from 0")
        spans = [text.asked[word] for word in self.asked] + [text.written[word] for word in self.written]
        return sorted(position for span in spans for position in span)


@dataclass(frozen=True)
class Trial:
    """What came of a cut.

    Attributes:
        codes: audio tokens of the whole sentence; before the span that was said anew, the true ones.
        verdict: on the homograph.
        sound: ``(samples,)`` of the whole sentence.
        attention: ``(copies, words)`` what the homograph's audio pays each word, the mean over all heads.
    """

    codes: tuple[int, ...]
    verdict: Verdict
    sound: torch.Tensor = field(repr=False)
    attention: np.ndarray = field(repr=False)


def speak(
    system: SpeechSystem, text: Script, scope: Window, mode: InterleaveMode, cut: Cut
) -> tuple[int, ...]:
    """The audio tokens of a sentence under a cut.

    The model says them itself from the beginning where the cut covers the whole sentence, and else from the
    homograph's onset, after the true audio.

    Raises:
        ValueError: the cut leaves everything as it is, for no audio in its span comes after the hidden words; or it
            names a word, layer, head or module that is not there.
    """
    span = range(len(text.audio)) if cut.whole else range(scope.word.start, scope.audio.stop)
    true = system.vocabulary.audio_codes([text.ids[position] for position in text.audio])
    try:
        (said,) = go_on(
            system, [text], [span], mode,
            change=lambda rows: _hiding(system, text, scope, mode, cut), progress=False,
        )  # fmt: skip
    except KnockoutNeverFired:
        raise ValueError(
            "this cut changes nothing: the hidden words are written only after that audio. Hide their copy in the "
            "prompt, or cut while all audio is made"
        ) from None
    return (*true[: span.start], *said.codes)


def look(
    system: SpeechSystem, text: Script, scope: Window, mode: InterleaveMode, cut: Cut, codes: tuple[int, ...]
) -> np.ndarray:
    """``(copies, words)`` attention of the rows that make the homograph's audio, under the cut, over all heads.

    Args:
        system: whose attention.
        text: as it was read.
        scope: where the homograph sounds.
        mode: who makes which token.
        cut: in force.
        codes: audio tokens of the sentence, as said under the cut.
    """
    true = system.vocabulary.audio_codes([text.ids[position] for position in text.audio])
    codes = (*codes, *true[len(codes) :])[: len(true)]
    again = script(system, text.utterance, mode, words=text.words, codes=codes)
    with _hiding(system, again, scope, mode, cut):
        (attention,) = attend_words(system, [again], progress=False)
    own = [attention.of("predicting", copy)[:, list(scope.word)] for copy in COPIES[:-1]]
    return np.stack([weights.mean(axis=(0, 1)) for weights in own])


def hear(
    listener: Listener, scope: Window, codes: tuple[int, ...], language: str
) -> tuple[Verdict, torch.Tensor]:
    """The judge's verdict on the homograph, and the sound of the whole sentence."""
    verdict, _ = listen(listener, scope, codes[scope.audio.start : scope.audio.stop], language)
    return verdict, listener.speak(codes)


def _hiding(
    system: SpeechSystem, text: Script, scope: Window, mode: InterleaveMode, cut: Cut
) -> AbstractContextManager:
    hidden = cut.positions(text)
    if not hidden:
        return nullcontext()
    looking = making(text, mode, range(len(text.audio)) if cut.whole else scope.word)
    knockout = Knockout(
        tokens_at(*looking), tokens_at(*hidden), cut.layers, cut.heads, cut.modules, name="cut on the bench"
    )
    return system.model.knocked_out([knockout])
