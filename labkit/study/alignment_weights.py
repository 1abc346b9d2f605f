"""From each audio token to each word: how much attention every head pays, and how much of it crosses modalities.

One teacher-forced pass over true text and true audio, in which every stage (backbone and MCTP modules) predicts every
audio token. Patterns are reduced to words layer by layer while the model runs: no more than one layer's is ever held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from labkit.evaluation.answers import SpeechSystem
from labkit.memory import GIB
from labkit.model import SpeechLM
from labkit.model.hooks import Function, hook_points
from labkit.model.masks import Pass
from labkit.study.script import Script

ROWS = ("predicting", "own")
"""Whose attention: of the row that predicts an audio token, one to the left of it, or of the token's own row."""

COPIES = ("prompt", "answer", "both")
"""Which of the two copies of the text is looked at, or both together."""

FROM, TO = ("text", "audio"), ("text", "audio", "other")
"""Modalities that attend (the answer's words, the audio tokens) and that are attended to (words of both copies, audio
tokens, and the rest: chat tokens, tags, the instruction)."""

PATTERN = ".pattern"
FLOAT_BYTES = 4


@dataclass(frozen=True, order=True)
class Head:
    """One attention head: ``place`` is a layer or module as hook names have it, ``backbone.3`` or ``module.0``."""

    place: str
    index: int

    def __str__(self) -> str:
        return f"{self.place} head {self.index}"


@dataclass(frozen=True)
class WordAttention:
    """What all heads attend to while one utterance is said.

    Attributes:
        script: the utterance.
        heads: as the first axis below has them.
        weights: ``(heads, rows, copies, audio, words)`` float32, the attention that the tokens of a word get together.
            Rows are `ROWS`; copies are those of `COPIES` without the last.
        mass: ``(heads, from, to)`` float32, mean share of attention from `FROM` to `TO`, all to's adding up to 1.
    """

    script: Script
    heads: tuple[Head, ...]
    weights: np.ndarray
    mass: np.ndarray

    def of(self, row: str, copy: str) -> np.ndarray:
        """``(heads, audio, words)`` weights of one of `ROWS` at one of `COPIES`.

        Raises:
            ValueError: there is no such row or copy.
        """
        if row not in ROWS or copy not in COPIES:
            raise ValueError(f"row must be one of {ROWS} and copy one of {COPIES}, got {row!r} and {copy!r}")
        weights = self.weights[:, ROWS.index(row)]
        return weights.sum(1) if copy == "both" else weights[:, COPIES.index(copy)]


def all_heads(model: SpeechLM) -> tuple[Head, ...]:
    """The heads of the backbone's layers, then those of the modules, in the order in which a pass reaches them."""
    places = [point for point in hook_points(model).values() if point.part == "pattern"]
    return tuple(
        Head(point.name.removesuffix(PATTERN), index) for point in places for index in range(point.heads)
    )


@torch.inference_mode()
def attend_words(
    system: SpeechSystem,
    scripts: Sequence[Script],
    *,
    places: Sequence[str] | None = None,
    limit: int = GIB,
    progress: bool = True,
) -> list[WordAttention]:
    """Attention of every head from audio tokens to words, in the order of the scripts.

    Args:
        system: the model with its tokenizer and codec; at most its `batch` scripts go through it together.
        scripts: as `labkit.study.script.script` lays utterances out.
        places: layers and modules to look at, such as ``["backbone.3", "module.0"]``; all unless given.
        limit: most bytes that one layer's pattern may take; fewer scripts go through the model together where they
            would take more.
        progress: show a bar.

    Raises:
        ValueError: no scripts, an unknown place, a script without audio, or one longer than the model has positions.
    """
    heads = all_heads(system.model)
    known = list(dict.fromkeys(head.place for head in heads))
    if unknown := set(places or ()) - set(known):
        raise ValueError(f"no attention at {min(unknown)!r}; places are {', '.join(known)}")
    if places is not None:
        heads = tuple(head for head in heads if head.place in set(places))
    if not scripts or not heads:
        raise ValueError("give at least one script and one place")
    if silent := [script.utterance.text for script in scripts if not script.audio]:
        raise ValueError(f"{silent[0]!r} has no audio token to look from")
    order = sorted(range(len(scripts)), key=lambda index: len(scripts[index].ids))
    largest = system.model.config.num_attention_heads * len(scripts[order[-1]].ids) ** 2 * FLOAT_BYTES
    batch = max(1, min(system.batch, limit // largest))
    made: dict[int, WordAttention] = {}
    with tqdm(total=len(scripts), desc="looking", unit="utterance", disable=not progress) as bar:
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            found = _look(system.model, [scripts[index] for index in chosen], heads)
            made |= dict(zip(chosen, found, strict=True))
            bar.update(len(chosen))
    return [made[index] for index in range(len(scripts))]


def _look(model: SpeechLM, scripts: Sequence[Script], heads: tuple[Head, ...]) -> list[WordAttention]:
    places = list(dict.fromkeys(head.place for head in heads))
    layout = _Layout(scripts, model.device)
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def reader(place: str) -> Function:
        def read(pattern: torch.Tensor, p: Pass) -> None:
            found[place] = layout.reduce(pattern, p.stage)

        return read

    modules = [int(place.rpartition(".")[2]) + 1 for place in places if place.startswith("module.")]
    # The functions only read. A trace would hold the patterns of all layers at once.
    with model.patched({f"{place}{PATTERN}": reader(place) for place in places}):
        model(layout.ids, attention_mask=layout.mask, modules=max(modules, default=0))
    weights, mass = (np.concatenate([found[place][part] for place in places], axis=1) for part in (0, 1))
    return [
        WordAttention(
            script, heads, weights[row, ..., : len(script.audio), : len(script.words)].copy(), mass[row]
        )
        for row, script in enumerate(scripts)
    ]


class _Layout:
    """A batch of scripts as tensors, padded on the right so that a token's column is its position."""

    def __init__(self, scripts: Sequence[Script], device: torch.device) -> None:
        batch, time = len(scripts), max(len(script.ids) for script in scripts)
        audio = max(len(script.audio) for script in scripts)
        words = max(len(script.words) for script in scripts)
        self.ids = torch.zeros(batch, time, dtype=torch.long)
        self.mask = torch.zeros(batch, time, dtype=torch.long)
        self.rows = torch.zeros(batch, len(ROWS), audio, dtype=torch.long)  # from which audio tokens look
        self.words = torch.zeros(batch, time, len(COPIES) - 1, words)  # 1 where a token belongs to a word
        self.queries = torch.zeros(batch, len(FROM), time)  # shares of the rows to take the mean over
        self.keys = torch.zeros(batch, time, len(TO))  # 1 where a token has a modality
        for index, script in enumerate(scripts):
            length, own = len(script.ids), torch.tensor(script.audio)
            self.ids[index, :length] = torch.tensor(script.ids)
            self.mask[index, :length] = 1
            # Beyond a shorter script's audio: any row that is there, cut off later.
            self.rows[index] = own[-1]
            self.rows[index, :, : len(own)] = torch.stack([own - 1, own])
            for copy, spans in enumerate((script.asked, script.written)):
                for word, span in enumerate(spans):
                    self.words[index, list(span), copy, word] = 1
            written = [position for span in script.written for position in span]
            for place, positions in enumerate((written, script.audio)):
                self.queries[index, place, list(positions)] = 1 / max(1, len(positions))
            self.keys[index, :length, TO.index("other")] = 1
            for place, positions in enumerate((script.text, script.audio)):
                self.keys[index, list(positions)] = torch.eye(len(TO))[place]
        self.first = int(self.rows.min())
        for name in ("ids", "mask", "rows", "words", "queries", "keys"):
            setattr(self, name, getattr(self, name).to(device))

    def reduce(self, pattern: torch.Tensor, stage: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights ``(batch, heads, rows, copies, audio, words)`` and masses ``(batch, heads, from, to)``.

        Args:
            pattern: ``(batch, heads, time - stage, time - stage)``.
            stage: 0 for the backbone; module ``k``'s is ``k + 1``, and it has no row for that many first tokens.

        Raises:
            ValueError: audio begins before the stage has a row.
        """
        if self.first < stage:
            raise ValueError(
                f"audio begins at position {self.first + 1}, where module {stage - 1} has no row yet; leave out "
                "this module or lay the scripts out with a longer prompt"
            )
        pattern = pattern.float()
        rows = (self.rows - stage).flatten(1)[:, None, :, None]
        looking = pattern.gather(2, rows.expand(-1, pattern.shape[1], -1, pattern.shape[3]))
        weights = looking @ self.words[:, None, stage:].flatten(3)
        weights = (
            weights.unflatten(-1, self.words.shape[2:]).unflatten(2, self.rows.shape[1:]).transpose(3, 4)
        )
        mass = self.queries[:, None, :, stage:] @ pattern @ self.keys[:, None, stage:]
        return weights.cpu().numpy(), mass.cpu().numpy()


def mean_mass(attentions: Sequence[WordAttention]) -> np.ndarray:
    """``(heads, from, to)``: the masses of utterances, averaged.

    Raises:
        ValueError: no utterances, or not the same heads in all.
    """
    common_heads(attentions)
    return np.mean([attention.mass for attention in attentions], axis=0)


def common_heads(attentions: Sequence[WordAttention]) -> tuple[Head, ...]:
    """The heads that all of these utterances were looked at with.

    Raises:
        ValueError: no utterances, or not the same heads in all.
    """
    if not attentions:
        raise ValueError("give the attention of at least one utterance")
    if any(attention.heads != attentions[0].heads for attention in attentions):
        raise ValueError("all utterances must have been looked at with the same heads")
    return attentions[0].heads
