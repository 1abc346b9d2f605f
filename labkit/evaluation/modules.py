"""How well the backbone and each MCTP module predict audio tokens where the truth so far is given (teacher forcing).

Targets are the audio tokens of held-out sentences to be spoken, text and audio interleaved as in training. The backbone
predicts each from the token before it, module k from k + 1 tokens further back and its own embeddings of those since:
what it lacks to the backbone is what its small layer cannot make up for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from labkit.data.corpus import Utterance
from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import InterleaveMode, interleave
from labkit.model.losses import stage_targets
from labkit.statistics import Estimate, ratio, relative
from labkit.vocabulary import IGNORE, Chat
from labkit.vocabulary.prompts import text_to_speech


@dataclass(frozen=True)
class ForcedRow:
    """One utterance; ``correct[0]`` and ``nats[0]`` are the backbone's, ``[k + 1]`` module k's.

    Attributes:
        utterance: its index in the corpus.
        targets: audio tokens to predict, the same for all.
        correct: of them, how many were the likeliest of all ids.
        nats: cross-entropy, summed over the targets.
    """

    utterance: int
    targets: int
    correct: tuple[int, ...]
    nats: tuple[float, ...]


def evaluate_modules(
    system: SpeechSystem, utterances: Sequence[Utterance], mode: InterleaveMode, *, progress: bool = True
) -> list[ForcedRow]:
    """Predict the audio tokens of utterances, interleaved as a mode's content says.

    Raises:
        ValueError: an utterance with its text is longer than the model has positions for.
    """
    chat = Chat(system.tokenizer, partial(interleave, mode=mode, vocabulary=system.vocabulary))
    encoded = [
        chat.encode(text_to_speech(each.text, answer=True), [system.codes(each)]).input_ids
        for each in utterances
    ]
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    rows: dict[int, ForcedRow] = {}
    with tqdm(total=len(order), desc="teacher forcing", unit="utterance", disable=not progress) as bar:
        for start in range(0, len(order), system.batch):
            chosen = order[start : start + system.batch]
            scored = _score(system, [encoded[index] for index in chosen])
            for index, (targets, correct, nats) in zip(chosen, scored, strict=True):
                rows[index] = ForcedRow(utterances[index].index, targets, correct, nats)
            bar.update(len(chosen))
    return [rows[index] for index in range(len(encoded))]


@torch.inference_mode()
def _score(
    system: SpeechSystem, sequences: Sequence[Sequence[int]]
) -> list[tuple[int, tuple[int, ...], tuple[float, ...]]]:
    """Targets, right predictions and nats by stage of each sequence."""
    model, vocabulary = system.model, system.vocabulary
    ids = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    output = model(ids, attention_mask=mask)
    # The first tokens of a sequence are left out for all: no module has a row that predicts them.
    judged = vocabulary.is_audio(ids) & mask.bool() & (output.positions > model.num_modules)
    labels = ids.masked_fill(~judged, IGNORE)
    correct, nats = [], []
    for stage, hidden in enumerate(output.stages):
        wanted = stage_targets(labels, output.positions, stage)
        rows = wanted != IGNORE
        logits, owner = model.head(hidden[rows]).float(), rows.nonzero()[:, 0]
        right = (logits.argmax(-1) == wanted[rows]).double()
        loss = cross_entropy(logits, wanted[rows], reduction="none").double()
        empty = torch.zeros(len(sequences), dtype=torch.double, device=ids.device)
        correct.append(empty.index_add(0, owner, right).long().tolist())
        nats.append(empty.index_add(0, owner, loss).tolist())
    by_row = zip(judged.sum(1).tolist(), zip(*correct, strict=True), zip(*nats, strict=True), strict=True)
    return list(by_row)


def module_measures(rows: Sequence[ForcedRow]) -> dict[str, Estimate]:
    """Accuracies, each module's relative to the backbone's, and perplexities, with 95% intervals over utterances."""
    targets = [row.targets for row in rows]
    names = ["backbone", *(f"module {k}" for k in range(len(rows[0].correct) - 1))]
    measures = {}
    for stage, name in enumerate(names):
        measures[f"{name} accuracy"] = ratio([row.correct[stage] for row in rows], targets)
    by_backbone = [row.correct[0] for row in rows]
    if any(by_backbone):
        for stage, name in list(enumerate(names))[1:]:
            measures[f"{name} accuracy relative to the backbone's"] = relative(
                [row.correct[stage] for row in rows], by_backbone
            )
    for stage, name in enumerate(names):
        nats = ratio([row.nats[stage] for row in rows], targets)
        measures[f"{name} perplexity"] = Estimate(*np.exp(nats[:3]).tolist(), nats.n)
    return measures
