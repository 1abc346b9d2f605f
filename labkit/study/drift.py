"""A lens along the chain: how far does each MCTP module drift from what the backbone would have said?

Backbone and module k can both be asked for the same audio token: the backbone has read every token before it, module
k reads its own way from k + 1 tokens further back (paper eq. 3). Where both give the same distribution, nothing was
lost by not running the backbone. Skipping one module's layer then shows what that layer adds, to its own token and
to all that come after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch.nn.functional import kl_div
from tqdm.auto import tqdm

from labkit.data.corpus import Utterance
from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import InterleaveMode
from labkit.statistics import Estimate, ratio
from labkit.study.contrast import padded
from labkit.study.script import script
from labkit.study.skipping import skipping


@dataclass(frozen=True)
class DriftRow:
    """One module on one utterance, over all audio tokens that every module has a row for.

    Attributes:
        utterance: its index in the corpus.
        module: whose tokens.
        skipped: the module whose layer was skipped; None for none.
        targets: audio tokens.
        agreed: of them, how many are the module's likeliest as well as the backbone's.
        right: how many are the module's likeliest and the true ones.
        nats: the divergence KL(backbone, module), summed over the targets.
    """

    utterance: int
    module: int
    skipped: int | None
    targets: int
    agreed: int
    right: int
    nats: float


@torch.inference_mode()
def chain_drift(
    system: SpeechSystem,
    utterances: Sequence[Utterance],
    mode: InterleaveMode,
    skipped: Sequence[int | None] = (None,),
    *,
    progress: bool = True,
) -> list[DriftRow]:
    """Compare every module with the backbone on true speech, with each of these modules skipped in turn.

    Args:
        system: the model with its tokenizer and codec.
        utterances: what is said.
        mode: how text and audio take turns.
        skipped: modules to skip, one at a time; None for the chain as it is. A module before the skipped one is as
            it was and gives no row.
        progress: show a bar.

    Raises:
        ValueError: the model has no chain, or no such module.
    """
    model = system.model
    if not model.num_modules:
        raise ValueError("the model has no MCTP modules; take one trained through stage 2 or later")
    texts = [script(system, each, mode).ids for each in utterances]
    rows: list[DriftRow] = []
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    with tqdm(
        total=len(order) * len(skipped), desc="along the chain", unit="utterance", disable=not progress
    ) as bar:
        for start in range(0, len(order), system.batch):
            chosen = order[start : start + system.batch]
            said, numbers = [texts[i] for i in chosen], [utterances[i].index for i in chosen]
            for each in skipped:
                with nullcontext() if each is None else skipping(model, f"module.{each}"):
                    rows += _compare(system, said, numbers, each)
                bar.update(len(chosen))
    return rows


def _compare(
    system: SpeechSystem, texts: Sequence[Sequence[int]], utterances: Sequence[int], skipped: int | None
) -> Iterator[DriftRow]:
    model, vocabulary = system.model, system.vocabulary
    ids, mask = padded(model, texts)
    stages = model(ids, attention_mask=mask).stages
    audio = vocabulary.is_audio(ids) & mask.bool()
    audio[:, : model.num_modules + 1] = False  # no module has a row that predicts these
    sequence, column = audio.nonzero(as_tuple=True)
    true = ids[sequence, column]
    backbone = model.head(stages[0][sequence, column - 1]).float().log_softmax(-1)
    for module in range(skipped or 0, model.num_modules):
        own = model.head(stages[module + 1][sequence, column - 2 - module]).float().log_softmax(-1)
        nats = kl_div(own, backbone, log_target=True, reduction="none").sum(-1)
        agreed, right = own.argmax(-1) == backbone.argmax(-1), own.argmax(-1) == true
        for row, utterance in enumerate(utterances):
            mine = sequence == row
            yield DriftRow(
                utterance, module, skipped, int(mine.sum()), int(agreed[mine].sum()), int(right[mine].sum()),
                float(nats[mine].sum()),
            )  # fmt: skip


def drift_measures(rows: Sequence[DriftRow], skipped: int | None = None) -> dict[str, list[Estimate]]:
    """Agreement with the backbone and divergence from it in nats per token, module by module, with 95% intervals.

    Raises:
        ValueError: no row with that module skipped.
    """
    rows = [row for row in rows if row.skipped == skipped]
    if not rows:
        raise ValueError(f"no row has module {skipped} skipped")
    by_module = {
        module: [row for row in rows if row.module == module] for module in sorted({r.module for r in rows})
    }
    return {
        "agreement": [ratio([r.agreed for r in own], [r.targets for r in own]) for own in by_module.values()],
        "right": [ratio([r.right for r in own], [r.targets for r in own]) for own in by_module.values()],
        "divergence": [ratio([r.nats for r in own], [r.targets for r in own]) for own in by_module.values()],
    }
