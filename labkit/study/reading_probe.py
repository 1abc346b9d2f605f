"""A linear probe of the reading: does the state of a homograph's own token tell how it will be read?

For each homograph and layer a ridge regression learns from sentences of the training split which of the two readings
is meant, and is asked about held-out ones. A probe says that the reading is *there*; masking says whether it is *used*.

    rows = probe(prompt_states(system, train), train, prompt_states(system, test), test)
    by_layer(rows)                              # an estimate for each layer

`chain_states` are probed alike: there the places are the backbone and its MCTP modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from labkit.data.corpus import Utterance
from labkit.data.sentences import Sentence
from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import InterleaveMode
from labkit.statistics import Estimate, clustered_proportion
from labkit.study.contrast import padded
from labkit.study.lens import lens_hooks
from labkit.study.script import script, text_prompt

RIDGE = 1.0
"""Penalty of the regression, over the mean squared length of the states about their mean."""

BATCH = 32


@dataclass(frozen=True)
class ProbeRow:
    """What the probes of all layers say of one held-out sentence.

    Attributes:
        language: "en" or "cmn".
        homograph: the word.
        right: for each layer of the backbone, whether its probe tells the reading that is meant.
    """

    language: str
    homograph: str
    right: tuple[bool, ...]


def probe_readings(
    system: SpeechSystem,
    train: Sequence[Utterance],
    test: Sequence[Utterance],
    mode: InterleaveMode,
    *,
    progress: bool = True,
) -> list[Estimate]:
    """How often a linear probe of the homograph in the answer tells its reading, by layer of the backbone.

    Args:
        train, test: with a homograph, as `probe` takes their sentences.
        mode: in which the answer is laid out.

    Raises:
        ValueError: an utterance without a homograph, or no homograph of `test` is met in both readings.
    """
    known, asked = ([each.sentence for each in utterances] for utterances in (train, test))
    _check_homographs([*known, *asked])
    states = [answer_states(system, utterances, mode, progress=progress) for utterances in (train, test)]
    return by_layer(probe(states[0], known, states[1], asked))


def probe(
    known: torch.Tensor, train: Sequence[Sentence], asked: torch.Tensor, test: Sequence[Sentence]
) -> list[ProbeRow]:
    """Learn from the states of some sentences how their homographs are meant, and tell it of others.

    Args:
        known, asked: states of `train` and of `test`, each ``(sentences, layers, hidden)``.
        train, test: sentences with a homograph. Those of `test` whose homograph is met in `train` in one reading only,
            or not at all, are left out.

    Raises:
        ValueError: a sentence without a homograph, or no homograph of `test` is met in both readings.
    """
    _check_homographs([*train, *test])
    rows = []
    for word in dict.fromkeys(map(_word, test)):
        own = [place for place, each in enumerate(train) if _word(each) == word]
        held = [place for place, each in enumerate(test) if _word(each) == word]
        readings = sorted({train[place].homograph.reading for place in own})
        if len(readings) != 2:
            continue
        said = _signs([train[place] for place in own], readings)
        meant = _signs([test[place] for place in held], readings)
        right = _ridge(known[own], said, asked[held]).sign() == meant[:, None]
        rows += [
            ProbeRow(test[place].language, word, tuple(layers))
            for place, layers in zip(held, right.tolist(), strict=True)
        ]
    if not rows:
        raise ValueError(
            "no homograph of the test sentences is met in both readings in the training sentences"
        )
    return rows


def by_layer(rows: Sequence[ProbeRow]) -> list[Estimate]:
    """How often the probe of each layer tells the reading; the intervals know that homographs come in groups.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("there is no sentence that a probe was asked about")
    groups = [row.homograph for row in rows]
    return [clustered_proportion(layer, groups) for layer in zip(*(row.right for row in rows), strict=True)]


def prompt_states(
    system: SpeechSystem, sentences: Sequence[Sentence], *, progress: bool = True
) -> torch.Tensor:
    """The residual stream leaving every layer at the homograph's last token in the prompt, where it is first read.

    Nothing has been spoken then, so that the sentences need no audio.

    Returns:
        ``(sentences, layers, hidden)``, float32.
    """

    def read(place: int) -> tuple[Sequence[int], int]:
        sentence = sentences[place]
        ids, asked = text_prompt(system, sentence.words, sentence.language)
        return ids, asked[sentence.homograph.index][-1]

    return _states(system, [len(each.words) for each in sentences], read, progress)


def answer_states(
    system: SpeechSystem, utterances: Sequence[Utterance], mode: InterleaveMode, *, progress: bool = True
) -> torch.Tensor:
    """The residual stream leaving every layer at the homograph's last token in the answer, true audio before it.

    Returns:
        ``(utterances, layers, hidden)``, float32.
    """

    def read(place: int) -> tuple[Sequence[int], int]:
        laid = script(system, utterances[place], mode)
        return laid.ids, laid.written[utterances[place].homograph.index][-1]

    return _states(system, [len(each.words) for each in utterances], read, progress)


@torch.inference_mode()
def chain_states(
    system: SpeechSystem, sentences: Sequence[Sentence], *, progress: bool = True
) -> torch.Tensor:
    """The final-normed states of the backbone and of every module at the homograph's last token in the prompt.

    Those of module ``k`` at a token are made from its embedding and from what the backbone made of the text up to
    ``k + 1`` tokens before it.

    Returns:
        ``(sentences, 1 + modules, hidden)``, float32.

    Raises:
        ValueError: a homograph so early in its prompt that the last module has no state of it.
    """
    stages = 1 + system.model.num_modules
    states = torch.empty(len(sentences), stages, system.model.config.hidden_size)
    order = sorted(range(len(sentences)), key=lambda place: len(sentences[place].words))
    with tqdm(total=len(order), desc="reading states", unit="sentence", disable=not progress) as bar:
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            read = [text_prompt(system, sentences[i].words, sentences[i].language) for i in chosen]
            own = [
                asked[sentences[i].homograph.index][-1] for i, (_, asked) in zip(chosen, read, strict=True)
            ]
            if min(own) < stages - 1:
                raise ValueError(
                    f"a homograph at position {min(own)} of its prompt; module {stages - 2} has no state before "
                    f"position {stages - 1}"
                )
            ids, mask = padded(
                system.model, [ids[: end + 1] for (ids, _), end in zip(read, own, strict=True)]
            )
            output = system.model(ids, attention_mask=mask)
            rows = torch.arange(len(chosen))
            for stage in range(stages):
                states[chosen, stage] = output.stages[stage][rows, torch.tensor(own) - stage].float()
            bar.update(len(chosen))
    return states


@torch.inference_mode()
def _states(
    system: SpeechSystem,
    lengths: Sequence[int],
    read: Callable[[int], tuple[Sequence[int], int]],
    progress: bool,
) -> torch.Tensor:
    """States at a position of each sequence, of which the model reads no more: `read` gives ids and position."""
    names = lens_hooks(system.model)
    states = torch.empty(len(lengths), len(names), system.model.config.hidden_size)
    # Long and short ones apart, so that little is padded.
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    with tqdm(total=len(order), desc="reading states", unit="sentence", disable=not progress) as bar:
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            sequences, ends = zip(*map(read, chosen), strict=True)
            ids, mask = padded(
                system.model, [each[: end + 1] for each, end in zip(sequences, ends, strict=True)]
            )
            with system.model.traced(names) as trace:
                system.model(ids, attention_mask=mask, modules=0)
            rows = torch.arange(len(chosen))
            for layer, name in enumerate(names):
                states[chosen, layer] = trace[name][rows, torch.tensor(ends)].float()
            bar.update(len(chosen))
    return states


def _check_homographs(sentences: Sequence[Sentence]) -> None:
    """Raises ValueError for a sentence without a homograph."""
    for sentence in sentences:
        if sentence.homograph is None:
            raise ValueError(f"there is no homograph in {sentence.text!r}")


def _word(sentence: Sentence) -> str:
    return sentence.words[sentence.homograph.index]


def _signs(sentences: Sequence[Sentence], readings: Sequence[str]) -> torch.Tensor:
    return torch.tensor([1.0 if each.homograph.reading == readings[0] else -1.0 for each in sentences])


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
