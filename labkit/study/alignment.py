"""Attention alignment (paper Fig. 1a): is the word that an audio token attends to the word that sounds in it?

Heads are chosen on some utterances (`labkit.study.alignment_choice`) and scored on others. A head may look from the row
that predicts an audio token or from the token's own, at the prompt's copy of the text, the answer's, or both, some
tokens before the word sounds, and steadily some words beside it: a `Look` says which. Some looks together give each
word a weight; the heaviest is the word attended to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from labkit.statistics import Estimate, ratio
from labkit.study.alignment_weights import Head, WordAttention
from labkit.study.script import Script

FLOOR = 0.01
"""Share of weight that a monotone path grants every word, so that one stray row cannot forbid a word for good."""

Follow = Callable[[WordAttention], np.ndarray]
"""From an utterance's attention to the word ``(audio,)`` that each audio token is said to attend to."""


@dataclass(frozen=True)
class Look:
    """One head, and how its attention is read.

    Attributes:
        head: which.
        row: one of `ROWS`.
        copy: one of `COPIES`.
        offset: words from the one attended to, to the one that sounds; 1 for a head that looks at the word before.
        lag: audio tokens by which the head is ahead of the voice: the word that a token looks at sounds so much later.
    """

    head: Head
    row: str
    copy: str
    offset: int = 0
    lag: int = 0

    def __str__(self) -> str:
        return f"{self.head}, {self.row} row, {self.copy} copy, offset {self.offset:+d}, lag {self.lag}"


def moved(weights: np.ndarray, offset: int) -> np.ndarray:
    """Weights ``(..., words)`` moved by so many words; what would leave the sentence stays on its first or last."""
    words = weights.shape[-1]
    target = np.clip(np.arange(words) + offset, 0, words - 1)
    return weights @ (target[:, None] == np.arange(words)).astype(weights.dtype)


def later(weights: np.ndarray, lag: int) -> np.ndarray:
    """Weights ``(..., audio, words)`` moved to so many audio tokens later; the first tokens keep the first's."""
    audio = weights.shape[-2]
    return weights[..., np.clip(np.arange(audio) - lag, 0, audio - 1), :]


def smoothed(weights: np.ndarray, window: int) -> np.ndarray:
    """Weights ``(..., audio, words)`` averaged over the audio tokens around each, beyond the ends those at the ends.

    Word times are told from attention like this where it is done in earnest: `openai/whisper` (its ``timing.py``) tells
    them from cross-attention behind a median filter.
    """
    return uniform_filter1d(weights, window, axis=-2, mode="nearest")


def word_weights(attention: WordAttention, looks: Sequence[Look], window: int = 1) -> np.ndarray:
    """``(audio, words)``: what each word gets from some looks, each of which has one vote for every audio token.

    Args:
        window: audio tokens to average over, an odd number.

    Raises:
        ValueError: no looks, a head that the attention does not cover, or an even window.
    """
    if not looks:
        raise ValueError("give at least one look, such as those of choose_looks")
    if window < 1 or window % 2 == 0:
        raise ValueError(
            f"a window has as many audio tokens before its middle as after: 1, 3, 5 ..., not {window}"
        )
    return smoothed(np.mean([shares(attention, look) for look in looks], axis=0), window)


def shares(attention: WordAttention, look: Look) -> np.ndarray:
    """``(audio, words)``: what each word gets of one look's attention, each row adding up to 1.

    Raises:
        ValueError: a head that the attention does not cover.
    """
    if look.head not in attention.heads:
        raise ValueError(f"{look.head} was not looked at; give its place to attend_words")
    weights = attention.of(look.row, look.copy)[attention.heads.index(look.head)]
    return moved(later(as_shares(weights), look.lag), look.offset)


def as_shares(weights: np.ndarray) -> np.ndarray:
    """Weights ``(..., words)`` as shares; even ones where nothing is seen, as before the answer's first word."""
    total = weights.sum(-1, keepdims=True)
    even = np.full_like(weights, 1 / weights.shape[-1])
    return np.divide(weights, total, out=even, where=total > 0)


def follow(looks: Sequence[Look], window: int = 1) -> Follow:
    """The word that gets the most attention from some looks together, in a window around each audio token."""
    return lambda attention: word_weights(attention, looks, window).argmax(-1)


def follow_monotone(looks: Sequence[Look], window: int = 1) -> Follow:
    """The likeliest path through all words from the first to the last that never goes back and skips none."""
    return lambda attention: monotone_path(word_weights(attention, looks, window))


def monotone_path(weights: np.ndarray) -> np.ndarray:
    """The path ``(audio,)`` of the greatest product of weights that stays at a word or goes on to the next (Viterbi).

    A dynamic time warping whose every step takes one audio token. It begins at the first word and ends at the last;
    where there are more words than audio tokens, it ends as far as it gets.

    Args:
        weights: ``(audio, words)``, each row adding up to 1.
    """
    logs = np.log(weights + FLOOR)
    audio, words = logs.shape
    best = np.full(words, -np.inf)
    best[0] = logs[0, 0]
    came = np.zeros((audio, words), dtype=bool)  # whether the best way here came from the word before
    for token in range(1, audio):
        before = np.concatenate([[-np.inf], best[:-1]])
        came[token] = before > best
        best = np.maximum(best, before) + logs[token]
    path = [min(audio, words) - 1]
    for token in range(audio - 1, 0, -1):
        path.append(path[-1] - came[token, path[-1]])
    return np.array(path[::-1])


@dataclass(frozen=True)
class AlignmentRow:
    """How well the words attended to in one utterance are those that sound; audio tokens in silence do not count.

    Attributes:
        utterance: its index in the corpus.
        tokens: audio tokens in which a word sounds.
        right: of them, those that attend to it.
        words_off: words between the two, summed over the tokens.
        text_tokens_off: text tokens between the nearest ends of the two, summed.
        seconds_off: between the middle of the audio token and the word attended to, summed.
        steps: from one such token to the next.
        forward: of them, those that do not go back.
    """

    utterance: int
    tokens: int
    right: int
    words_off: int
    text_tokens_off: int
    seconds_off: float
    steps: int
    forward: int


def score(script: Script, attended: np.ndarray) -> AlignmentRow:
    """Compare the words attended to with those that sound.

    Args:
        script: of the utterance.
        attended: ``(audio,)`` a word for each audio token.

    Raises:
        ValueError: another number of tokens, a word that the sentence does not have, or no word sounds at all.
    """
    attended = np.asarray(attended)
    words = len(script.words)
    if attended.shape != (len(script.audio),) or attended.min() < 0 or attended.max() >= words:
        raise ValueError(
            f"give a word from 0 to {words - 1} for each of {len(script.audio)} audio tokens, "
            f"got shape {attended.shape}"
        )
    sounding, place = sounding_words(script)
    found, middle = attended[place], (place + 0.5) / script.token_rate
    starts, ends = np.array([(word.start, word.end) for word in script.utterance.words]).T
    seconds = np.maximum(np.maximum(starts[found] - middle, middle - ends[found]), 0)
    last = np.cumsum([len(span) for span in script.asked])
    first = last - [len(span) for span in script.asked] + 1
    text = np.maximum(first[np.maximum(found, sounding)] - last[np.minimum(found, sounding)], 0)
    return AlignmentRow(
        utterance=script.utterance.index,
        tokens=len(place),
        right=int((found == sounding).sum()),
        words_off=int(np.abs(found - sounding).sum()),
        text_tokens_off=int(text.sum()),
        seconds_off=float(seconds.sum()),
        steps=len(place) - 1,
        forward=int((np.diff(found) >= 0).sum()),
    )


def score_all(attentions: Sequence[WordAttention], way: Follow) -> list[AlignmentRow]:
    """`score` of every utterance, under one way of telling the word attended to."""
    return [score(attention.script, way(attention)) for attention in attentions]


def alignment_measures(rows: Sequence[AlignmentRow]) -> dict[str, Estimate]:
    """Accuracy, errors and monotonicity with 95% intervals; audio tokens of one utterance are not independent cases.

    Raises:
        ValueError: fewer than two utterances.
    """
    tokens = [row.tokens for row in rows]
    going = [row for row in rows if row.steps]  # one token makes no step
    return {
        "accuracy": ratio([row.right for row in rows], tokens),
        "words off": ratio([row.words_off for row in rows], tokens),
        "text tokens off": ratio([row.text_tokens_off for row in rows], tokens),
        "milliseconds off": ratio([1000 * row.seconds_off for row in rows], tokens),
        "monotone steps": ratio([row.forward for row in going], [row.steps for row in going]),
    }


def accuracy_gain(rows: Sequence[AlignmentRow], baseline: Sequence[AlignmentRow]) -> Estimate:
    """How much more accurate than a baseline on the same utterances: the paired difference.

    Raises:
        ValueError: the utterances differ.
    """
    if [row.utterance for row in rows] != [row.utterance for row in baseline]:
        raise ValueError("both need rows of the same utterances in the same order")
    gained = [ours.right - theirs.right for ours, theirs in zip(rows, baseline, strict=True)]
    return ratio(gained, [row.tokens for row in rows])


def sounding_words(script: Script) -> tuple[np.ndarray, np.ndarray]:
    """The words that sound, and in which audio tokens, by place; silence is left out.

    Raises:
        ValueError: no word sounds in any.
    """
    found = [(word, place) for place, word in enumerate(script.sounding) if word is not None]
    if not found:
        raise ValueError(f"no word sounds in {script.utterance.text!r}; leave it out")
    words, places = zip(*found, strict=True)
    return np.array(words), np.array(places)
