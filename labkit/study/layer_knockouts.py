"""Attention knockouts layer by layer: from where on has the audio got what it needs of a word?

The rows that make the homograph's audio stop seeing a word (the homograph itself, or the one that decides its
reading) in some of the layers: in all from a layer on, in all up to it, or in a window around it (Geva et al. 2023,
"Dissecting recall of factual associations in auto-regressive language models"). If cutting *from* layer 4 on does
nothing while cutting *up to* layer 4 turns the reading, the audio has read the word by then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType

from tqdm.auto import tqdm

from labkit.evaluation.answers import SpeechSystem
from labkit.model import Knockout, tokens_at
from labkit.statistics import Estimate, ratio
from labkit.study.continuation import Change
from labkit.study.contrast import Contrast, log_odds
from labkit.study.positions import Choose, deciding, homograph, positions

SIDES = ("from", "up to", "window")


def homograph_and_deciding(contrast: Contrast) -> list[int]:
    """The homograph and the word that decides: where the reading can come from either, one cut alone looks harmless."""
    return sorted({*homograph(contrast), *deciding(contrast)})


WORDS: Mapping[str, Choose] = MappingProxyType(
    {"homograph": homograph, "deciding word": deciding, "both": homograph_and_deciding}
)


@dataclass(frozen=True)
class CutRow:
    """One cut on one contrast, in nats.

    Attributes:
        utterance: its index in the corpus.
        homograph: the word.
        cut: name of the word that the audio does not see.
        side: "from", "up to" or "window".
        layer: at which the cut begins, ends or has its middle.
        plain: log-odds with nothing cut.
        swapped: with the swapped text, nothing cut.
        without: with the cut.
    """

    utterance: int
    homograph: str
    cut: str
    side: str
    layer: int
    plain: float
    swapped: float
    without: float


def cut_layers(side: str, layer: int, layers: int, width: int = 1) -> range:
    """The layers of a cut.

    Args:
        side: "from" the layer on, "up to" and with it, or a "window" of `width` on either side of it.
        layer: 0 to layers - 1.
        layers: of the backbone.
        width: of the window.

    Raises:
        ValueError: no such side or layer.
    """
    if side not in SIDES:
        raise ValueError(f"no side {side!r}; choose one of {', '.join(SIDES)}")
    if not 0 <= layer < layers:
        raise ValueError(f"no layer {layer}, the backbone has {layers}, from 0")
    first = {"from": layer, "up to": 0, "window": max(0, layer - width)}[side]
    last = {"from": layers - 1, "up to": layer, "window": min(layers - 1, layer + width)}[side]
    return range(first, last + 1)


def blinding(
    system: SpeechSystem,
    contrasts: Sequence[Contrast],
    hidden: Sequence[Sequence[int]],
    layers: Sequence[int] | None = None,
    modules: Sequence[int] | None = None,
) -> Change:
    """Hide positions from the rows that make each contrast's audio, as a change for `log_odds`.

    Args:
        system: the model with its tokenizer and codec.
        contrasts: what will be read.
        hidden: for each contrast the positions that are hidden.
        layers: of the backbone in which they are hidden; all unless given.
        modules: MCTP modules in which they are hidden; all unless given.
    """

    def change(rows: Sequence[int]) -> AbstractContextManager:
        queries = tokens_at(*(list(contrasts[row].rows) for row in rows))
        keys = tokens_at(*(list(hidden[row]) for row in rows))
        return system.model.knocked_out([Knockout(queries, keys, layers=layers, modules=modules)])

    return change


def knockout_curves(
    system: SpeechSystem,
    contrasts: Sequence[Contrast],
    words: Mapping[str, Choose] = WORDS,
    sides: Sequence[str] = SIDES,
    *,
    width: int = 1,
    progress: bool = True,
) -> list[CutRow]:
    """Hide each word from the audio, layer by layer, and weigh the parting tokens.

    Cuts are made in the backbone; the modules of a chain go on seeing the word, where a mode uses them.

    Args:
        system: the model with its tokenizer and codec.
        contrasts: minimal pairs.
        words: by name, what is hidden; a contrast without such a position gives no row.
        sides: which curves.
        width: of the window, in layers on either side.
        progress: show a bar.

    Raises:
        ValueError: no such side.
        KnockoutNeverFired: the audio saw none of a word in any case.
    """
    layers = system.model.config.num_hidden_layers
    plain, swapped = (log_odds(system, contrasts, swapped=which).tolist() for which in (False, True))
    cuts = [
        (side, layer, cut_layers(side, layer, layers, width)) for side in sides for layer in range(layers)
    ]
    rows = []
    with tqdm(total=len(words) * len(cuts), desc="cutting", unit="cut", disable=not progress) as bar:
        for name, choose in words.items():
            hidden = [positions(each, choose) for each in contrasts]
            some = [index for index, each in enumerate(hidden) if each]
            own = [contrasts[index] for index in some]
            for side, layer, cut in cuts:
                change = blinding(system, own, [hidden[index] for index in some], layers=cut, modules=())
                values = log_odds(system, own, change=change).tolist()
                for index, value in zip(some, values, strict=True):
                    each = contrasts[index]
                    rows.append(
                        CutRow(
                            each.utterance.index, each.homograph, name, side, layer,
                            plain[index], swapped[index], value,
                        )
                    )  # fmt: skip
                bar.update()
    return rows


def lost(rows: Sequence[CutRow]) -> dict[tuple[str, str, int], Estimate]:
    """By word, side and layer: share of the effect of swapping that a cut has, with a 95% interval over homographs."""
    groups: dict[tuple[str, str, int], list[CutRow]] = {}
    for row in rows:
        groups.setdefault((row.cut, row.side, row.layer), []).append(row)
    return {key: _share(own, lambda row: row.plain - row.without) for key, own in groups.items()}


def lost_besides(
    rows: Sequence[CutRow], cut: str, other: str, *, side: str = "from", layer: int = 0
) -> Estimate:
    """Share of the effect of swapping that one cut has beyond another, contrast by contrast, with a 95% interval.

    Contrasts that one of the two leaves out are left out.

    Raises:
        ValueError: no contrast has both cuts.
    """
    own = [row for row in rows if (row.side, row.layer) == (side, layer)]
    first, second = ({row.utterance: row for row in own if row.cut == name} for name in (cut, other))
    both = [index for index in first if index in second]
    if not both:
        cuts = sorted({row.cut for row in own})
        raise ValueError(
            f"no contrast has both {cut!r} and {other!r} cut {side} layer {layer}; there are {cuts}"
        )
    return _share([first[index] for index in both], lambda row: second[row.utterance].without - row.without)


def undecided(rows: Sequence[CutRow]) -> Estimate:
    """The share of the effect of swapping at which a model leans to neither reading, with a 95% interval.

    Who knows nothing of a word is undecided, and no further from the text as it is: a cut that takes everything away
    can be expected to cost this much, and only a wrong reading costs more.
    """
    once = {(row.utterance, row.plain, row.swapped): row for row in rows}
    return _share(list(once.values()), lambda row: row.plain)


def _share(rows: Sequence[CutRow], moved: Callable[[CutRow], float]) -> Estimate:
    sums: dict[str, list[float]] = {}
    for row in rows:
        total = sums.setdefault(row.homograph, [0.0, 0.0])
        total[0] += moved(row)
        total[1] += row.plain - row.swapped
    above, below = zip(*sums.values(), strict=True)
    if len(sums) == 1:  # one word has no spread between words
        return Estimate(above[0] / below[0], above[0] / below[0], above[0] / below[0], 1)
    return ratio(above, below)
