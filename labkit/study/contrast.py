"""The token at which two readings part: one number that says how far a model leans to either.

A homograph's sentence is continued greedily from its true audio, once with its own text and once with the deciding
word swapped. Both continuations begin alike, and part at some audio token. Up to there they have the same audio
behind them, so that the two tokens can be weighed against each other in a single pass:

    log-odds = log p(token of the text's own reading) - log p(token of the other reading)

It is positive for the text as it is and negative for the swapped text, by the way the tokens were found. Every
experiment of this room that needs a number rather than a sound asks what becomes of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from labkit.data.corpus import Utterance
from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import InterleaveMode
from labkit.model import SpeechLM
from labkit.model.speech_lm import SpeechOutput
from labkit.study.continuation import Change, go_on
from labkit.study.masking import Probe, making
from labkit.study.script import Script, script
from labkit.study.verdict import Window, window

UNEQUAL = "texts of unequal layout"
ALIKE = "said alike"


@dataclass(frozen=True)
class Contrast:
    """A minimal pair with the audio token at which its readings part.

    Attributes:
        probe: the utterance, whose audio is used, and its minimal pair.
        script: the utterance as it is.
        swapped: with the pair's deciding word in the text, equal in every position's role, and the same audio.
        window: what the judge listens to.
        span: audio tokens that are the model's own, by place in `Script.audio`.
        said: what it says there with the text as it is, as codebook entries.
        said_swapped: and with the deciding word swapped.
        ids: of all tokens before the parting one, the text as it is.
        swapped_ids: the same with the swapped text; the audio is the same.
        tokens: ids of the parting tokens, of the text's own reading and of the other.
        rows: positions of the rows that make the audio up to the parting token, from the word's onset (or earlier).
        stage: of the parting token's maker: 0 for the backbone, ``k + 1`` for MCTP module ``k``.
    """

    probe: Probe
    script: Script
    swapped: Script
    window: Window
    span: range
    said: tuple[int, ...]
    said_swapped: tuple[int, ...]
    ids: tuple[int, ...]
    swapped_ids: tuple[int, ...]
    tokens: tuple[int, int]
    rows: tuple[int, ...]
    stage: int

    @property
    def row(self) -> int:
        """Position of the row that predicts the parting token."""
        return len(self.ids) - 1

    @property
    def utterance(self) -> Utterance:
        return self.probe[0]

    @property
    def homograph(self) -> str:
        """The word, which groups probes that succeed and fail together."""
        return self.utterance.sentence.words[self.utterance.homograph.index]


@dataclass(frozen=True)
class Contrasts:
    """The contrasts of some probes.

    Attributes:
        kept: one for each usable probe, in their order.
        skipped: how many were not usable, by reason.
    """

    kept: tuple[Contrast, ...]
    skipped: Counter[str]


def find_contrasts(
    system: SpeechSystem,
    probes: Sequence[Probe],
    mode: InterleaveMode,
    *,
    earlier: int = 0,
    progress: bool = True,
) -> Contrasts:
    """Let the model say each homograph with its own and with the swapped text, and find where the two part.

    Args:
        system: the model with its tokenizer and codec.
        probes: utterances with their minimal pairs.
        mode: who makes which token.
        earlier: audio tokens before the word's onset from which on the audio is the model's own.
        progress: show a bar.

    Returns:
        The contrasts, and a count of the probes without one: pairs whose texts differ in their number of words or
        tokens, so that positions cannot be compared, and words that are said alike with either text.

    Raises:
        ValueError: an utterance without a homograph, or a negative `earlier`.
    """
    if earlier < 0:
        raise ValueError(
            f"the audio can be the model's own from the onset or earlier, not {earlier} tokens earlier"
        )
    skipped: Counter[str] = Counter()
    usable = []
    for probe in probes:
        pair = _scripts(system, probe, mode)
        if pair is None:
            skipped[UNEQUAL] += 1
        else:
            usable.append((probe, *pair, window(pair[0], probe[1])))
    spans = [range(max(0, scope.word.start - earlier), scope.audio.stop) for *_, scope in usable]
    said, said_swapped = (
        go_on(system, [each[which] for each in usable], spans, mode, progress=progress, title=title)
        if usable
        else []
        for which, title in ((1, "the text as it is"), (2, "the deciding word swapped"))
    )
    kept = []
    for (probe, plain, swapped, scope), span, own, other in zip(
        usable, spans, said, said_swapped, strict=True
    ):
        part = next((n for n, (a, b) in enumerate(zip(own.codes, other.codes, strict=True)) if a != b), None)
        if part is None or span[part] >= scope.word.stop:
            skipped[ALIKE] += 1
            continue
        ids, swapped_ids = (_until(system, each, span[: part + 1], own.codes) for each in (plain, swapped))
        tokens = system.vocabulary.audio_ids((own.codes[part], other.codes[part]))
        maker = mode.maker(len(ids) - plain.prompt)
        kept.append(
            Contrast(
                probe, plain, swapped, scope, span, own.codes, other.codes, ids, swapped_ids, tuple(tokens),
                tuple(making(plain, mode, span[: part + 1])), 0 if maker is None else maker + 1,
            )
        )  # fmt: skip
    return Contrasts(tuple(kept), skipped)


def _scripts(system: SpeechSystem, probe: Probe, mode: InterleaveMode) -> tuple[Script, Script] | None:
    """A pair as scripts with the same audio; None unless their words stand in the same places."""
    utterance, partner = probe
    if len(partner.sentence.words) != len(utterance.sentence.words):
        return None
    codes = system.codes(utterance)
    plain = script(system, utterance, mode, codes=codes)
    swapped = script(system, utterance, mode, words=partner.sentence.words, codes=codes)
    alike = (plain.asked, plain.written, plain.audio) == (swapped.asked, swapped.written, swapped.audio)
    return (plain, swapped) if alike and len(plain.ids) == len(swapped.ids) else None


def _until(
    system: SpeechSystem, script: Script, places: Sequence[int], codes: Sequence[int]
) -> tuple[int, ...]:
    """The ids before the last of these audio tokens, with the model's own choices for those before it."""
    ids = list(script.ids[: script.audio[places[-1]]])
    for place, token in zip(places[:-1], system.vocabulary.audio_ids(codes[: len(places) - 1]), strict=True):
        ids[script.audio[place]] = token
    return tuple(ids)


@torch.inference_mode()
def log_odds(
    system: SpeechSystem,
    contrasts: Sequence[Contrast],
    *,
    swapped: bool = False,
    change: Change | None = None,
    progress: bool = False,
    title: str = "log-odds",
) -> torch.Tensor:
    """How far the model leans to the text's own reading, in nats, at each parting token.

    Args:
        system: the model with its tokenizer and codec; its `batch` contrasts are read together.
        contrasts: what to weigh.
        swapped: whether the model reads the swapped text.
        change: puts knockouts or patches in force, batch by batch; nothing unless given.
        progress: show a bar.
        title: on it.

    Returns:
        ``(contrasts,)``, positive for the reading that the utterance's own text calls for.
    """
    result = torch.zeros(len(contrasts))
    for rows in batches(system, contrasts, progress=progress, title=title):
        batch = [contrasts[row] for row in rows]
        with change(rows) if change else nullcontext():
            result[rows] = weigh(system.model, batch, read(system.model, batch, swapped=swapped)).cpu()
    return result


def batches(
    system: SpeechSystem, contrasts: Sequence[Contrast], *, progress: bool = False, title: str = ""
) -> Iterator[list[int]]:
    """Indices of contrasts of like length, `SpeechSystem.batch` at a time."""
    order = sorted(range(len(contrasts)), key=lambda index: len(contrasts[index].ids))
    with tqdm(total=len(order), desc=title, unit="utterance", disable=not progress) as bar:
        for start in range(0, len(order), system.batch):
            rows = order[start : start + system.batch]
            yield rows
            bar.update(len(rows))


def padded(model: SpeechLM, sequences: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask ``(batch, time)``, padded on the right, so that columns are positions."""
    ids = torch.zeros(len(sequences), max(map(len, sequences)), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids.to(model.device), mask.to(model.device)


def read(
    model: SpeechLM, contrasts: Sequence[Contrast], *, swapped: bool = False, stages: int | None = None
) -> SpeechOutput:
    """One pass over the ids of contrasts, through so many modules: unless given, those that the parting tokens need."""
    ids, mask = padded(model, [each.swapped_ids if swapped else each.ids for each in contrasts])
    needed = max(each.stage for each in contrasts)
    return model(ids, attention_mask=mask, modules=needed if stages is None else stages)


def weigh(model: SpeechLM, contrasts: Sequence[Contrast], output: SpeechOutput) -> torch.Tensor:
    """The log-odds ``(batch,)`` from the hidden states of a pass, differentiable.

    The softmax cancels in them, so two rows of the head are all that is needed.
    """
    hidden = torch.stack(
        [output.stages[each.stage][place, each.row - each.stage] for place, each in enumerate(contrasts)]
    )
    return (hidden * apart(model, contrasts)).sum(-1).float()


def apart(model: SpeechLM, contrasts: Sequence[Contrast]) -> torch.Tensor:
    """The direction ``(batch, hidden)`` in which log-odds grow: the difference of two rows of the head."""
    tokens = torch.tensor([each.tokens for each in contrasts], device=model.device)
    head = model.backbone.lm_head.weight[tokens]
    return head[:, 0] - head[:, 1]
