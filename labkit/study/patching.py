"""Activation patching on minimal pairs: which places of the network carry the reading of a homograph?

Two runs differ in the deciding word alone. What the run with the swapped text has at some place (a hook point and
some positions) is put into the run with the text as it is. Where that turns the reading round, the place carried it:

    patched = read(text as it is), with activation[place] from read(swapped text)
    flip    = (log-odds as it is - log-odds patched) / (log-odds as it is - log-odds swapped)

0 is no effect, 1 the whole effect of swapping the word. Both runs have the same audio behind them, so every position
means the same in both (Zhang and Nanda 2024, "Towards best practices of activation patching", on why the pair, the
measure and the direction matter; here the pair's text is what is put in, so effects are sufficient ones).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from tqdm.auto import tqdm

from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.listener import Listener
from labkit.interleave import InterleaveMode
from labkit.model import SpeechLM
from labkit.model.hooks import choose_hooks
from labkit.model.masks import Pass
from labkit.statistics import Estimate, clustered_proportion, ratio
from labkit.study.continuation import Change, go_on
from labkit.study.contrast import Contrast, batches, log_odds, read, weigh
from labkit.study.positions import CLASSES_AND_CONTROL, Choose, Copy, positions
from labkit.study.verdict import Verdict, listen


class PatchNeverFired(RuntimeError):
    """A patch met none of the positions that it was to change."""


class Patch:
    """Another run's activation, put in place at chosen positions of every pass.

    Args:
        donor: ``(batch, positions, ...)`` the other run's activation by position, as a trace gives it.
        where: ``(batch, positions)`` True where it replaces the run's own.

    Attributes:
        fired: rows replaced so far.

    Raises:
        ValueError: the two do not fit, or a position is asked for that the donor never reached.
    """

    def __init__(self, donor: torch.Tensor, where: torch.Tensor) -> None:
        if donor.shape[:2] != where.shape:
            raise ValueError(
                f"the donor has {tuple(donor.shape[:2])} sequences and positions, the mask {tuple(where.shape)}"
            )
        if donor[where].isnan().any():
            raise ValueError(
                "the patch asks for a position that the donor run did not reach; shorten the mask"
            )
        self._donor, self._where = donor, where
        self.fired = 0

    def __call__(self, activation: torch.Tensor, p: Pass) -> torch.Tensor | None:
        """The activation ``(batch, rows, ...)`` of a pass with the donor's rows in it; None if it has none of them."""
        here = p.positions[:, p.start :]
        places = here.clamp(0, self._where.shape[1] - 1)
        where = self._where.to(here.device)
        if len(where) != len(here):
            raise ValueError(f"the patch is for {len(where)} sequences, the batch has {len(here)}")
        chosen = where.gather(1, places) & (here >= p.stage) & (here < where.shape[1])
        fired = int(chosen.sum())
        if not fired:
            return None
        self.fired += fired
        sequences = torch.arange(len(here), device=here.device)[:, None]
        rows = self._donor.to(activation.device, activation.dtype)[sequences, places]
        return torch.where(chosen.reshape(*chosen.shape, *(1,) * (activation.ndim - 2)), rows, activation)


Chosen = Sequence[Sequence[int]]
"""Positions, one list for each contrast of a batch."""


@contextmanager
def patching(model: SpeechLM, donors: Mapping[str, torch.Tensor], chosen: Chosen) -> Iterator[None]:
    """Put donors in place at chosen positions, in every pass inside the block.

    Args:
        model: to patch.
        donors: by hook name, activations by position.
        chosen: positions, one list for each sequence of the batch; some may be empty.

    Raises:
        PatchNeverFired: on leaving the block, if there were positions and none of the hook points met any.
        ValueError: a hook point does not exist, or a position that the donor run did not reach.
    """
    patches = {
        point.name: Patch(donors[point.name], _marks(chosen, donors[point.name].shape[1], point.stage))
        for point in choose_hooks(model, donors)
    }
    with model.patched(patches):
        yield
    if any(chosen) and not any(patch.fired for patch in patches.values()):
        raise PatchNeverFired(
            f"the patch at {', '.join(patches)} changed no row: none of its positions was read inside the block. "
            "Check the positions, and that the passes reach this stage."
        )


@torch.no_grad()
def donors(model: SpeechLM, contrasts: Sequence[Contrast], names: Sequence[str]) -> dict[str, torch.Tensor]:
    """What the run with the swapped text has at hook points, up to the parting token.

    Returns:
        By name ``(batch, positions, ...)``.
    """
    stages = max(point.stage for point in choose_hooks(model, names))
    with model.traced(names) as trace:
        read(model, contrasts, swapped=True, stages=stages)
    return {name: trace[name] for name in names}


@dataclass(frozen=True)
class PatchRow:
    """One patch on one contrast, in nats.

    Attributes:
        utterance: its index in the corpus.
        homograph: the word.
        language: of the utterance.
        hook: where.
        group: class of positions.
        plain: log-odds with the text as it is, positive.
        swapped: with the swapped text, negative.
        patched: with the text as it is and the patch.
    """

    utterance: int
    homograph: str
    language: str
    hook: str
    group: str
    plain: float
    swapped: float
    patched: float

    @property
    def flip(self) -> float:
        """Share of the whole effect: 0 for none, 1 for as much as swapping the word."""
        return (self.plain - self.patched) / (self.plain - self.swapped)


def layer_hooks(model: SpeechLM, part: str = "resid_pre", *, chain: bool = False) -> list[str]:
    """The hook points of one part, layer by layer, or module by module.

    Args:
        model: backbone and chain.
        part: "resid_pre", "attn_out", "mlp_out", "z" or "resid_post".
        chain: the modules' instead of the backbone's.

    Raises:
        ValueError: no such part, or no modules.
    """
    names = (
        [f"module.{k}.{part}" for k in range(model.num_modules)]
        if chain
        else [f"backbone.{layer}.{part}" for layer in range(model.config.num_hidden_layers)]
    )
    if not names:
        raise ValueError("the model has no MCTP modules to patch")
    choose_hooks(model, names)
    return names


@torch.inference_mode()
def patch_map(
    system: SpeechSystem,
    contrasts: Sequence[Contrast],
    hooks: Sequence[str | Sequence[str]],
    groups: Mapping[str, Choose] = CLASSES_AND_CONTROL,
    *,
    copy: Copy | str = Copy.BOTH,
    progress: bool = True,
) -> list[PatchRow]:
    """Patch every hook point at every class of positions, and weigh the parting tokens.

    Args:
        system: the model with its tokenizer and codec; its `batch` contrasts are patched together.
        contrasts: minimal pairs. One gives no row for a class of which it has no position, and none for a module that
            comes after the maker of its parting token.
        hooks: places; several names in one place are patched together.
        groups: by name, classes of positions.
        copy: which copy of the text is patched: the prompt's, the answer's, or both at once.
        progress: show a bar.

    Returns:
        Rows by hook, class and contrast. A place of several hooks is called by its first and last.

    Raises:
        ValueError: a hook point or copy that does not exist.
        PatchNeverFired: a patch changed nothing.
    """
    model = system.model
    places = [(each,) if isinstance(each, str) else tuple(each) for each in hooks]
    plain, swapped = (log_odds(system, contrasts, swapped=which).tolist() for which in (False, True))
    chosen = {name: [positions(each, choose, copy) for each in contrasts] for name, choose in groups.items()}
    result: dict[tuple[int, str, int], float] = {}
    with tqdm(
        total=len(places) * len(groups) * len(contrasts), desc="patching", unit="patch", disable=not progress
    ) as bar:
        for rows in batches(system, contrasts):
            batch = [contrasts[row] for row in rows]
            donated = donors(model, batch, list(dict.fromkeys(name for place in places for name in place)))
            for number, place in enumerate(places):
                first = min(point.stage for point in choose_hooks(model, place))
                for group in groups:
                    some = [
                        index
                        for index, row in enumerate(rows)
                        if chosen[group][row] and batch[index].stage >= first
                    ]
                    if some:
                        own = [batch[index] for index in some]
                        taken = {name: donated[name][some] for name in place}
                        with patching(model, taken, [chosen[group][rows[index]] for index in some]):
                            values = weigh(model, own, read(model, own)).tolist()
                        result |= {
                            (number, group, rows[index]): value
                            for index, value in zip(some, values, strict=True)
                        }
                    bar.update(len(rows))
    names = [place[0] if len(place) == 1 else f"{place[0]} to {place[-1]}" for place in places]
    return [
        PatchRow(
            contrasts[row].utterance.index, contrasts[row].homograph, contrasts[row].utterance.language,
            name, group, plain[row], swapped[row], result[number, group, row],
        )
        for number, name in enumerate(names)
        for group in groups
        for row in range(len(contrasts))
        if (number, group, row) in result
    ]  # fmt: skip


def flips(rows: Sequence[PatchRow]) -> dict[tuple[str, str], Estimate]:
    """By hook and class: the flip of the log-odds, summed over contrasts, with a 95% interval over homographs.

    Sums weigh a contrast by how far its readings lie apart; means of ratios would be ruled by those hardly apart.
    """
    return {key: _flip(own) for key, own in _grouped(rows, lambda row: (row.hook, row.group)).items()}


def turned(rows: Sequence[PatchRow]) -> dict[tuple[str, str], Estimate]:
    """By hook and class: how often the patched run prefers the other reading's token, with a 95% interval."""
    return {
        key: clustered_proportion([row.patched < 0 for row in own], [row.homograph for row in own])
        for key, own in _grouped(rows, lambda row: (row.hook, row.group)).items()
    }


def best_hook(rows: Sequence[PatchRow], group: str) -> str:
    """The hook at which patching a class of positions turns most readings; the larger flip decides between equals.

    Choose on some probes and report on others.

    Raises:
        ValueError: no row of that class.
    """
    own = [row for row in rows if row.group == group]
    if not own:
        raise ValueError(f"no row patches {group!r}; there are {sorted({row.group for row in rows})}")
    by_hook = _grouped(own, lambda row: row.hook)
    return max(
        by_hook,
        key=lambda hook: (
            np.mean([row.patched < 0 for row in by_hook[hook]]),
            sum(row.plain - row.patched for row in by_hook[hook])
            / sum(row.plain - row.swapped for row in by_hook[hook]),
        ),
    )


def _flip(rows: Sequence[PatchRow]) -> Estimate:
    groups = _grouped(rows, lambda row: row.homograph).values()
    moved = [sum(row.plain - row.patched for row in own) for own in groups]
    whole = [sum(row.plain - row.swapped for row in own) for own in groups]
    if len(moved) == 1:  # one word has no spread between words
        return Estimate(moved[0] / whole[0], moved[0] / whole[0], moved[0] / whole[0], 1)
    return ratio(moved, whole)


def _grouped(rows: Sequence[PatchRow], key: Callable[[PatchRow], Hashable]) -> dict[Hashable, list[PatchRow]]:
    groups: dict[Hashable, list[PatchRow]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _marks(chosen: Chosen, width: int, stage: int) -> torch.Tensor:
    """Chosen positions as a mask; a module has no row for the first tokens of a sequence."""
    marks = torch.zeros(len(chosen), width, dtype=torch.bool)
    for row, each in enumerate(chosen):
        if each and not 0 <= min(each) <= max(each) < width:
            raise ValueError(f"position {max(each)} is not among the {width} of the donor run")
        marks[row, list(each)] = True
    marks[:, :stage] = False
    return marks


def carrying(
    system: SpeechSystem,
    contrasts: Sequence[Contrast],
    hooks: Sequence[str],
    choose: Choose,
    *,
    copy: Copy | str = Copy.BOTH,
) -> Change:
    """A patch as a change for `go_on` and `log_odds`.

    Args:
        system: the model with its tokenizer and codec.
        contrasts: what is read or continued, in the same order.
        hooks: places, patched together.
        choose: class of positions; those before the parting token are patched.
        copy: which copy of the text is patched.
    """

    def change(rows: Sequence[int]) -> AbstractContextManager:
        batch = [contrasts[row] for row in rows]
        return patching(
            system.model,
            donors(system.model, batch, hooks),
            [positions(each, choose, copy) for each in batch],
        )

    return change


@dataclass(frozen=True)
class Heard:
    """What the judge hears when the model speaks on.

    Attributes:
        contrast: what was read.
        codes: audio tokens of the window.
        verdict: of the judge.
    """

    contrast: Contrast
    codes: tuple[int, ...]
    verdict: Verdict

    @property
    def flipped(self) -> bool:
        """Whether it was read the other way: as the swapped text calls for."""
        return self.verdict.reading == self.contrast.probe[1].homograph.reading

    @property
    def kept(self) -> bool:
        """Whether it was read as the text as it is calls for."""
        return self.verdict.reading == self.contrast.utterance.homograph.reading


class Hearing:
    """Lets a model speak on and a judge listen; equal sounds are judged once.

    Args:
        system: the model with its tokenizer and codec.
        listener: codec and judge.
        mode: who makes which token.
    """

    def __init__(self, system: SpeechSystem, listener: Listener, mode: InterleaveMode) -> None:
        self.system, self.listener, self.mode = system, listener, mode
        self._known: dict[tuple[int, tuple[int, ...]], Verdict] = {}

    def judge(self, contrast: Contrast, said: Sequence[int]) -> Heard:
        """The verdict on the audio tokens of a contrast's span, after the true ones of the window before it."""
        script, window = contrast.script, contrast.window
        offset = self.system.vocabulary.audio_offset
        true = [
            script.ids[script.audio[place]] - offset
            for place in range(window.audio.start, contrast.span.start)
        ]
        codes = (*true, *said)[-len(window.audio) :]
        key = (contrast.utterance.index, codes)
        if key not in self._known:
            self._known[key], _ = listen(self.listener, window, codes, contrast.utterance.language)
        return Heard(contrast, codes, self._known[key])

    def plain(self, contrasts: Sequence[Contrast]) -> list[Heard]:
        """With the text as it is."""
        return [self.judge(each, each.said) for each in contrasts]

    def swapped(self, contrasts: Sequence[Contrast]) -> list[Heard]:
        """With the deciding word swapped."""
        return [self.judge(each, each.said_swapped) for each in contrasts]

    def patched(
        self,
        contrasts: Sequence[Contrast],
        hooks: Sequence[str],
        choose: Choose,
        *,
        copy: Copy | str = Copy.BOTH,
        progress: bool = True,
    ) -> list[Heard]:
        """With the text as it is and a patch in force while the model speaks on.

        Contrasts without a position of that class are left out.
        """
        some = [each for each in contrasts if positions(each, choose, copy)]
        if not some:
            return []
        change = carrying(self.system, some, hooks, choose, copy=copy)
        made = go_on(
            self.system, [each.script for each in some], [each.span for each in some], self.mode,
            change=change, progress=progress, title="speaking under the patch",
        )  # fmt: skip
        return [self.judge(each, own.codes) for each, own in zip(some, made, strict=True)]

    def flippable(self, contrasts: Sequence[Contrast]) -> list[Contrast]:
        """Those that are read as meant as they are, and the other way when the word is swapped.

        Only with these can a patch be said to flip the reading, or to fail to.
        """
        pairs = zip(contrasts, self.plain(contrasts), self.swapped(contrasts), strict=True)
        return [each for each, own, other in pairs if own.kept and other.flipped]


def flipped(heard: Sequence[Heard]) -> Estimate:
    """How often the reading was turned round, with a 95% interval that knows of words in common.

    Raises:
        ValueError: nothing was heard.
    """
    return clustered_proportion([each.flipped for each in heard], [each.contrast.homograph for each in heard])
