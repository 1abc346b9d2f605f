"""Which words does the choice between two readings rest on? captum's answers, and how they compare with knockouts.

The target is always the log-odds of the two readings' audio (`labkit.study.contrast`), the features are words, both
their copies taken together. Three questions that sound alike:

- **integrated gradients** (Sundararajan et al. 2017): along the straight line from a baseline, in which every word is
  one neutral token, to the text, how much of the change does each word's embedding bring? The parts add up to the
  whole, which is a check on the arithmetic: the completeness error.
- **feature ablation**: what changes if this one word becomes the neutral token?
- **knockout**: what changes if the audio does not see this word, while everything else still does?

The first two are about the input; the third about one path through the network. They need not agree, and where they
differ the reading travels by way of another word.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from captum.attr import FeatureAblation, IntegratedGradients
from scipy.stats import spearmanr
from tqdm.auto import tqdm

from labkit.evaluation.answers import SpeechSystem
from labkit.statistics import Estimate, mean, ratio
from labkit.study.contrast import Contrast, log_odds, weigh
from labkit.study.layer_knockouts import blinding

METHODS = ("integrated", "ablated", "cut")
SCAN = 128
"""Places along the line at which the log-odds are looked at, to see where they move."""
PIECES = 48
"""Pieces of the line at first."""
POINTS = 4
"""Points of Gauss-Legendre quadrature in each piece."""
Target = Callable[[torch.Tensor], torch.Tensor]
"""From embeddings ``(batch, time, hidden)`` to log-odds ``(batch,)``."""


@dataclass(frozen=True)
class WordRow:
    """What three methods say of one word, in nats; positive where it speaks for the text's own reading.

    Attributes:
        utterance: its index in the corpus.
        word: its place in the sentence.
        text: the word.
        role: "deciding", "homograph" or "other".
        integrated: integrated gradients.
        ablated: log-odds lost when it becomes the neutral token.
        cut: log-odds lost when the homograph's audio does not see it.
    """

    utterance: int
    word: int
    text: str
    role: str
    integrated: float
    ablated: float
    cut: float


@dataclass(frozen=True)
class Completeness:
    """Whether integrated gradients add up.

    Attributes:
        utterance: its index in the corpus.
        change: of the log-odds from the baseline to the text, in nats.
        error: what the attributions add up to, less that change.
    """

    utterance: int
    change: float
    error: float


def attribute_words(
    system: SpeechSystem,
    contrasts: Sequence[Contrast],
    baseline: int,
    *,
    tolerance: float = 0.01,
    progress: bool = True,
) -> tuple[list[WordRow], list[Completeness]]:
    """Ask all three methods about every word.

    Args:
        system: the model with its tokenizer and codec.
        contrasts: minimal pairs.
        baseline: id of the neutral token that stands for a word that is not there.
        tolerance: of integrated gradients' completeness error, relative; see `integrated_gradients`.
        progress: show a bar.

    Raises:
        ValueError: the baseline is no id of the tokenizer, or a tolerance that is not positive.
    """
    cuts = cut_words(system, contrasts)
    rows, sums = [], []
    for contrast, cut in tqdm(
        zip(contrasts, cuts, strict=True),
        "attributing",
        len(contrasts),
        unit="utterance",
        disable=not progress,
    ):
        integrated, complete = integrated_gradients(system, contrast, baseline, tolerance)
        ablated = ablate_words(system, contrast, baseline)
        about, sentence = contrast.utterance.homograph, contrast.script.words
        sums.append(complete)
        for word, text in enumerate(sentence):
            role = "homograph" if word == about.index else "deciding" if word in about.deciding else "other"
            rows.append(
                WordRow(
                    contrast.utterance.index, word, text, role, integrated[word], ablated[word], cut[word]
                )
            )
    return rows, sums


def integrated_gradients(
    system: SpeechSystem, contrast: Contrast, baseline: int, tolerance: float = 0.01, steps: int = 2048
) -> tuple[list[float], Completeness]:
    """Integrated gradients on the embeddings, summed to words.

    On the line the log-odds may go by leaps, which points at even distances miss or take for slopes. So the line is cut
    into pieces, short where the log-odds move and long where they do not, and captum integrates each. Pieces that do
    not add up are halved and integrated again. What all of them add up to is the integral of the whole.

    Args:
        tolerance: errors of all pieces that are put up with, relative to what there is to explain.
        steps: points at which gradients are taken, at most; an integral that would need more keeps its error.

    Returns:
        One number for each word, and the check.

    Raises:
        ValueError: the baseline is no id of the tokenizer, or a tolerance or number of steps that is not positive.
    """
    if steps < 1 or tolerance <= 0:
        raise ValueError(f"tolerance and steps must be positive, got {tolerance} and {steps}")
    words, neutral = _features(system, contrast, baseline)
    ids = torch.tensor([contrast.ids], device=system.model.device)
    none, text = (system.model.embed(each).detach() for each in (neutral, ids))

    def target(embeds: torch.Tensor) -> torch.Tensor:
        output = system.model(embeds=embeds, modules=contrast.stage)
        return weigh(system.model, [contrast] * len(embeds), output)

    scanned = _along(target, none, text, system.batch)
    change = float(scanned[-1] - scanned[0])
    cuts = _even_cuts(scanned, min(PIECES, max(1, steps // POINTS)))
    pieces, left = list(itertools.pairwise(cuts)), steps
    allowed = tolerance * abs(change)
    by_piece: dict[tuple[float, float], tuple[torch.Tensor, float]] = {}
    while pieces:
        for first in range(0, len(pieces), system.batch):
            chosen = pieces[first : first + system.batch]
            by_piece |= _integrate(target, none, text, chosen, min(steps, POINTS))
        left -= len(pieces) * POINTS
        if sum(abs(error) for _, error in by_piece.values()) <= allowed:
            break
        bad = [piece for piece, (_, error) in by_piece.items() if abs(error) > allowed / len(by_piece)]
        bad.sort(key=lambda piece: -abs(by_piece[piece][1]))
        pieces = []
        for start, end in bad[: max(0, left // (2 * POINTS))]:
            del by_piece[start, end]
            pieces += [(start, (start + end) / 2), ((start + end) / 2, end)]
    by_position = torch.stack([parts for parts, _ in by_piece.values()]).sum(0)
    return (
        [float(by_position[list(each)].sum()) for each in words],
        Completeness(contrast.utterance.index, change, float(by_position.sum()) - change),
    )


@torch.no_grad()
def ablate_words(system: SpeechSystem, contrast: Contrast, baseline: int) -> list[float]:
    """The log-odds that are lost with each word, as captum's feature ablation finds them.

    Raises:
        ValueError: the baseline is no id of the tokenizer.
    """
    words, neutral = _features(system, contrast, baseline)
    ids = torch.tensor([contrast.ids], device=system.model.device)
    # All that is no word is one feature, which the baseline leaves alone.
    groups = torch.full_like(ids, len(words))
    for word, each in enumerate(words):
        groups[0, list(each)] = word
    method = FeatureAblation(_target(system, contrast))
    found = method.attribute(
        ids, neutral, feature_mask=groups, perturbations_per_eval=min(system.batch, len(words) + 1)
    )
    return [float(found[0, each[0]]) for each in words]


def cut_words(system: SpeechSystem, contrasts: Sequence[Contrast]) -> list[list[float]]:
    """The log-odds that are lost when the homograph's audio does not see a word, for each word of each contrast."""
    items = [(index, word) for index, each in enumerate(contrasts) for word in range(len(each.script.words))]
    own = [contrasts[index] for index, _ in items]
    hidden = [_before(contrasts[index], word) for index, word in items]
    plain = log_odds(system, contrasts).tolist()
    without = log_odds(system, own, change=blinding(system, own, hidden)).tolist()
    effects: list[list[float]] = [[] for _ in contrasts]
    for (index, _), value in zip(items, without, strict=True):
        effects[index].append(plain[index] - value)
    return effects


def completeness(sums: Sequence[Completeness]) -> Estimate:
    """The completeness error relative to what there was to explain, with a 95% interval over contrasts.

    Raises:
        ValueError: fewer than two, or one in which the baseline changes nothing.
    """
    return ratio([abs(each.error) for each in sums], [abs(each.change) for each in sums])


def rank_agreement(rows: Sequence[WordRow], method: str, other: str) -> Estimate:
    """Spearman's correlation of two methods over an utterance's words: the mean, with a 95% interval over utterances.

    Raises:
        ValueError: no such method, or fewer than two utterances in which both tell words apart.
    """
    for name in (method, other):
        if name not in METHODS:
            raise ValueError(f"no method {name!r}; choose of {', '.join(METHODS)}")
    by_utterance: dict[int, list[WordRow]] = {}
    for row in rows:
        by_utterance.setdefault(row.utterance, []).append(row)
    found = []
    for own in by_utterance.values():
        a, b = ([getattr(row, name) for row in own] for name in (method, other))
        if len(set(a)) > 1 and len(set(b)) > 1:
            found.append(float(spearmanr(a, b).statistic))
    return mean([each for each in found if not math.isnan(each)])


def role_shares(rows: Sequence[WordRow]) -> dict[str, dict[str, Estimate]]:
    """By method and role: the share of an utterance's whole attribution, in absolute value, with 95% intervals.

    Raises:
        ValueError: fewer than two utterances, or one in which a method gives nothing to any word.
    """
    by_utterance: dict[int, list[WordRow]] = {}
    for row in rows:
        by_utterance.setdefault(row.utterance, []).append(row)
    return {
        method: {
            role: ratio(
                [
                    sum(abs(getattr(row, method)) for row in own if row.role == role)
                    for own in by_utterance.values()
                ],
                [sum(abs(getattr(row, method)) for row in own) for own in by_utterance.values()],
            )
            for role in ("deciding", "homograph", "other")
        }
        for method in METHODS
    }


@torch.no_grad()
def _along(target: Target, none: torch.Tensor, text: torch.Tensor, batch: int) -> torch.Tensor:
    """The target ``(SCAN + 1,)`` at even distances on the line between two embeddings ``(1, time, hidden)``."""
    places = torch.linspace(0, 1, SCAN + 1).to(none)[:, None, None]
    values = [target(none + at * (text - none)) for at in places.split(batch)]
    return torch.cat(values).double().cpu()


def _even_cuts(values: torch.Tensor, count: int) -> list[float]:
    """Where to cut the line from 0 to 1 into pieces in which the target moves as far.

    Half of them lie where it moves and half evenly, for a jump may hide between two looks.
    """
    moved = values.diff().abs()
    moved += moved.mean().clamp_min(1e-9)
    share = torch.cat([torch.zeros(1), moved.cumsum(0) / moved.sum()])
    places = np.linspace(0, 1, len(values))
    return np.interp(np.linspace(0, 1, count + 1), share.numpy(), places).tolist()


def _integrate(
    target: Target,
    none: torch.Tensor,
    text: torch.Tensor,
    pieces: Sequence[tuple[float, float]],
    points: int,
) -> dict[tuple[float, float], tuple[torch.Tensor, float]]:
    """captum's integral over each piece: ``(time,)`` by position, and what it adds up to less the target's change."""
    starts, ends = (
        torch.cat([none + at * (text - none) for at in side]) for side in zip(*pieces, strict=True)
    )
    with torch.enable_grad():
        parts, errors = IntegratedGradients(target).attribute(
            ends, starts, n_steps=points, internal_batch_size=len(pieces), return_convergence_delta=True
        )
    by_position = parts.detach().double().sum(-1).cpu()
    return dict(zip(pieces, zip(by_position, errors.tolist(), strict=True), strict=True))


def _target(system: SpeechSystem, contrast: Contrast) -> Callable[[torch.Tensor], torch.Tensor]:
    def target(ids: torch.Tensor) -> torch.Tensor:
        """``(batch,)`` log-odds of ids ``(batch, time)``."""
        output = system.model(ids, modules=contrast.stage)
        return weigh(system.model, [contrast] * len(ids), output)

    return target


def _features(
    system: SpeechSystem, contrast: Contrast, baseline: int
) -> tuple[list[tuple[int, ...]], torch.Tensor]:
    """Positions of each word, and the ids ``(1, time)`` with the baseline in their places."""
    if not 0 <= baseline < system.vocabulary.size:
        raise ValueError(
            f"the baseline {baseline} is no id of the tokenizer, which has {system.vocabulary.size}"
        )
    words = [_before(contrast, word) for word in range(len(contrast.script.words))]
    neutral = torch.tensor([contrast.ids])
    neutral[0, [position for each in words for position in each]] = baseline
    return words, neutral.to(system.model.device)


def _before(contrast: Contrast, word: int) -> tuple[int, ...]:
    """Where a word stands before the parting token."""
    return tuple(position for position in contrast.script.of_word(word) if position < len(contrast.ids))
