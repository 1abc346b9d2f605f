"""What the judge makes of one word: how it was read, and whether it was a word at all."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

import torch
from rapidfuzz.distance import Levenshtein

from labkit.data.corpus import Utterance
from labkit.data.phonemes import SILENCE
from labkit.evaluation.listener import Listener, choose
from labkit.study.script import Script

CONTEXT = 10
"""Audio tokens, 0.8 s, that the judge hears before the word: it must know the voice is speaking, not guess at it."""


@dataclass(frozen=True)
class Window:
    """What is listened to around one word: some words before it, the word, and the one after.

    Attributes:
        audio: audio tokens of the window, by place in `Script.audio`.
        word: those from the word's onset to its end.
        before: phonemes of the words before.
        readings: by name, the phonemes that the word may have.
        after: phonemes of the word after.
    """

    audio: range
    word: range
    before: tuple[str, ...]
    readings: dict[str, tuple[str, ...]]
    after: tuple[str, ...]


def window(script: Script, partner: Utterance, context: int = CONTEXT) -> Window:
    """The window around a probe's homograph.

    Args:
        script: of the probe.
        partner: its minimal pair, which has the other reading.
        context: audio tokens before the word, rounded up to a word's beginning.

    Raises:
        ValueError: the utterance has no homograph.
    """
    utterance = script.utterance
    if utterance.homograph is None:
        raise ValueError(f"{utterance.text!r} has no homograph; take probes, as from corpus.probes(language)")
    place = utterance.homograph.index
    word = script.audio_of(place)
    first = next(
        w for w in range(place + 1) if w == place or script.audio_of(w).start >= word.start - context
    )
    last = place + 1 if place + 1 < len(script.words) else None
    stop = min(len(script.audio), (word if last is None else script.audio_of(last)).stop + 1)
    return Window(
        audio=range(script.audio_of(first).start, stop),
        word=word,
        before=tuple(symbol for w in range(first, place) for symbol in _said(utterance, w)),
        readings={each.homograph.reading: _said(each, place) for each in (utterance, partner)},
        after=() if last is None else _said(utterance, last),
    )


@dataclass(frozen=True)
class Verdict:
    """The judge's verdict on one word.

    Attributes:
        reading: name of the likelier reading; None if the judge cannot prefer any.
        babble: whether more than half of the word's phonemes are missing, whichever reading was meant.
        heard: all phonemes of the window.
    """

    reading: str | None
    babble: bool
    heard: tuple[str, ...]


def listen(
    listener: Listener, scope: Window, codes: Sequence[int], language: str
) -> tuple[Verdict, torch.Tensor]:
    """Decode the audio tokens of a window and let the judge hear them.

    Returns:
        The verdict, and the sound `(samples,)`.
    """
    sound = listener.speak(codes)
    candidates = {name: (*scope.before, *said, *scope.after) for name, said in scope.readings.items()}
    heard = listener.hear(sound, language)
    there = max(_share_heard(scope, said, heard.phonemes) for said in scope.readings.values())
    return Verdict(choose(heard, candidates), there < 0.5, heard.phonemes), sound


class Ear:
    """Listens while the model speaks on, and to equal sounds once.

    Half of what a study takes is listening, and what is computed is computed outside the interpreter's lock. So each of
    torch's threads becomes an ear, and from the first sound on the model is left with one. Open it with ``with``.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._heard: dict[tuple[int, tuple[int, ...]], Future[Verdict]] = {}

    def __enter__(self) -> Self:
        self._threads = torch.get_num_threads()
        self._ears = ThreadPoolExecutor(self._threads, "ear", torch.set_num_threads, (1,))
        return self

    def __exit__(self, *error: object) -> None:
        self._ears.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)

    def hear(self, scope: Window, codes: tuple[int, ...], utterance: Utterance) -> Future[Verdict]:
        """The verdict on a window of an utterance, as soon as there is one; see `listen`."""
        torch.set_num_threads(1)
        key = utterance.index, codes
        if key not in self._heard:
            self._heard[key] = self._ears.submit(self._listen, scope, codes, utterance.language)
        return self._heard[key]

    def _listen(self, scope: Window, codes: tuple[int, ...], language: str) -> Verdict:
        verdict, _ = listen(self.listener, scope, codes, language)
        return verdict


def _share_heard(scope: Window, said: Sequence[str], heard: Sequence[str]) -> float:
    """Share of a reading's phonemes that are heard in their place."""
    expected = [*scope.before, *said, *scope.after]
    first, last = len(scope.before), len(scope.before) + len(said)
    right = 0
    for block in Levenshtein.opcodes(expected, list(heard)):
        if block.tag == "equal":
            right += len(range(max(first, block.src_start), min(last, block.src_end)))
    return right / len(said)


def _said(utterance: Utterance, word: int) -> tuple[str, ...]:
    return tuple(p.symbol for p in utterance.phonemes if p.word == word and p.symbol != SILENCE)
