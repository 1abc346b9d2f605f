"""A linear probe of the reading: does the state of a homograph's own token tell how it will be read?

For each homograph and layer a ridge regression learns from sentences of the training split which of the two readings
is meant, and is asked about held-out ones. A probe says that the reading is *there*; masking says whether it is *used*.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tqdm.auto import tqdm

from labkit.data.corpus import Utterance
from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import InterleaveMode
from labkit.statistics import Estimate, clustered_proportion
from labkit.study.contrast import padded
from labkit.study.lens import lens_hooks
from labkit.study.script import Script, script

RIDGE = 1.0
"""Penalty of the regression, over the mean squared length of the states about their mean."""

BATCH = 32


def probe_readings(
    system: SpeechSystem,
    train: Sequence[Utterance],
    test: Sequence[Utterance],
    mode: InterleaveMode,
    *,
    progress: bool = True,
) -> list[Estimate]:
    """How often a linear probe tells the reading, by layer of the backbone.

    Args:
        train, test: sentences with a homograph. Those of `test` whose homograph is met in `train` in one reading only,
            or not at all, are left out.
        mode: in which the answer is laid out; the state is that of the homograph's last token in the answer.

    Raises:
        ValueError: an utterance without a homograph, or no homograph of `test` is met in both readings.
    """
    for utterance in (*train, *test):
        if utterance.homograph is None:
            raise ValueError(f"there is no homograph in {utterance.text!r}")
    known, asked = (homograph_states(system, each, mode, progress=progress) for each in (train, test))
    right: list[list[bool]] = []
    groups: list[str] = []
    for word in dict.fromkeys(map(_word, test)):
        own = [place for place, each in enumerate(train) if _word(each) == word]
        held = [place for place, each in enumerate(test) if _word(each) == word]
        readings = sorted({train[place].homograph.reading for place in own})
        if len(readings) != 2:
            continue
        said = _signs([train[place] for place in own], readings)
        meant = _signs([test[place] for place in held], readings)
        right += (_ridge(known[own], said, asked[held]).sign() == meant[:, None]).tolist()
        groups += [word] * len(held)
    if not right:
        raise ValueError(
            "no homograph of the test sentences is met in both readings in the training sentences"
        )
    return [clustered_proportion(layer, groups) for layer in zip(*right, strict=True)]


@torch.inference_mode()
def homograph_states(
    system: SpeechSystem, utterances: Sequence[Utterance], mode: InterleaveMode, *, progress: bool = True
) -> torch.Tensor:
    """The residual stream leaving every layer at the homograph's last token in the answer.

    The model reads no further than that token.

    Returns:
        ``(utterances, layers, hidden)``, float32.
    """
    names = lens_hooks(system.model)
    states = torch.empty(len(utterances), len(names), system.model.config.hidden_size)
    # Long and short ones apart, so that little is padded.
    order = sorted(range(len(utterances)), key=lambda place: len(utterances[place].words))
    with tqdm(total=len(order), desc="reading states", unit="utterance", disable=not progress) as bar:
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            scripts = [script(system, utterances[place], mode) for place in chosen]
            ends = [_place(each) for each in scripts]
            ids, mask = padded(
                system.model, [each.ids[: end + 1] for each, end in zip(scripts, ends, strict=True)]
            )
            with system.model.traced(names) as trace:
                system.model(ids, attention_mask=mask, modules=0)
            rows = torch.arange(len(chosen))
            for layer, name in enumerate(names):
                states[chosen, layer] = trace[name][rows, torch.tensor(ends)].float()
            bar.update(len(chosen))
    return states


def _place(script: Script) -> int:
    return script.written[script.utterance.homograph.index][-1]


def _word(utterance: Utterance) -> str:
    return utterance.sentence.words[utterance.homograph.index]


def _signs(utterances: Sequence[Utterance], readings: Sequence[str]) -> torch.Tensor:
    return torch.tensor([1.0 if each.homograph.reading == readings[0] else -1.0 for each in utterances])


def _ridge(known: torch.Tensor, said: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
    """Predictions ``(asked, layers)`` from states ``(known, layers, hidden)`` and what was said, ``(known,)``."""
    center = known.mean(0)
    x, y = (known - center).transpose(0, 1), said - said.mean()
    gram = x @ x.transpose(1, 2)
    penalty = RIDGE * gram.diagonal(dim1=1, dim2=2).mean(1)
    # In its dual form, with an unknown for each sentence: a homograph has fewer of these than a state has entries.
    weights = torch.linalg.solve(gram + penalty[:, None, None] * torch.eye(len(said)), y.expand(len(x), -1))
    kernel = (asked - center).transpose(0, 1) @ x.transpose(1, 2)
    return (kernel @ weights[..., None]).squeeze(-1).T + said.mean()
