"""Homograph masking (paper Fig. 1b): what must the audio of a word see of the text to be read rightly?

The text is always read as usual. While the audio of the homograph is made, edges from audio to text are cut, in every
layer of the backbone and of the chain. The protocol is fixed: the cut holds from the word's first audio token to its
last; conditions that begin two tokens earlier stand beside.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass

from tqdm.auto import tqdm

from labkit.data.corpus import Utterance
from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.listener import Listener
from labkit.interleave import InterleaveMode
from labkit.model.knockouts import Knockout
from labkit.model.selectors import tokens_at
from labkit.statistics import Estimate, clustered_proportion
from labkit.study.continuation import Change, go_on_each
from labkit.study.script import Script, script
from labkit.study.verdict import Ear, Verdict, Window, window

Probe = tuple[Utterance, Utterance]
"""A homograph in a sentence, and its minimal pair: equal but for the deciding word, so the reading is the other."""

EARLIER = 2


def draw_firsts(pairs: Sequence[Probe], seed: int = 0) -> list[Probe]:
    """The pairs, each with the one that is read first and the one that lends its deciding word second.

    Chance decides, and not every other place: there a homograph would be asked for one of its readings only.
    """
    draw = random.Random(seed)
    return [pair[:: draw.choice((1, -1))] for pair in pairs]


@dataclass(frozen=True)
class Condition:
    """What the audio of the homograph may see.

    Attributes:
        name: for tables.
        hidden: from a script to the positions of text that are cut off; None to cut nothing.
        swapped: whether the deciding word is the minimal pair's, in the text that is read, so that the reading should
            be the other. The audio before the homograph stays the original's.
        earlier: audio tokens before the word's onset at which the cut begins.
    """

    name: str
    hidden: Callable[[Script], Sequence[int]] | None = None
    swapped: bool = False
    earlier: int = 0


def all_text(script: Script) -> list[int]:
    """Every word, in the prompt and in the answer."""
    return list(script.text)


def all_but_own(script: Script) -> list[int]:
    """Every word but the homograph."""
    own = set(script.of_word(script.utterance.homograph.index))
    return [position for position in script.text if position not in own]


def deciding_word(script: Script) -> list[int]:
    """The word that decides the reading."""
    return [position for word in script.utterance.homograph.deciding for position in script.of_word(word)]


def another_word(script: Script) -> list[int]:
    """As many words as decide, but others: the nearest before the homograph that do not decide, or else after."""
    homograph = script.utterance.homograph
    others = [word for word in range(len(script.words)) if word not in (*homograph.deciding, homograph.index)]
    others.sort(key=lambda word: (word > homograph.index, abs(word - homograph.index)))
    chosen = others[: len(homograph.deciding)]
    return [position for word in chosen for position in script.of_word(word)]


FULL = Condition("all visible")
OWN = Condition("own token only", all_but_own)
NONE = Condition("all text masked", all_text)
NONE_EARLIER = Condition("all text masked, two tokens earlier", all_text, earlier=EARLIER)
SWAPPED_OWN = Condition("deciding word swapped, own token only", all_but_own, swapped=True)
CONDITIONS = (
    FULL,
    OWN,
    Condition("own token only, two tokens earlier", all_but_own, earlier=EARLIER),
    NONE,
    NONE_EARLIER,
    Condition("deciding word masked", deciding_word),
    Condition("another word masked", another_word),
    Condition("deciding word swapped", swapped=True),
    SWAPPED_OWN,
)


@dataclass(frozen=True)
class MaskedRow:
    """One probe under one condition.

    Attributes:
        utterance: its index in the corpus.
        homograph: the word.
        condition: its name.
        meant: the reading that the text as read by the model calls for.
        verdict: what the judge heard.
        codes: audio tokens of the window, the model's own from the word's onset (or earlier) on.
        begun_by: who makes the word's first audio token: None for the backbone, otherwise the number of the module.
    """

    utterance: int
    homograph: str
    condition: str
    meant: str
    verdict: Verdict
    codes: tuple[int, ...]
    begun_by: int | None = None

    @property
    def right(self) -> bool:
        """Whether it was read as meant."""
        return self.verdict.reading == self.meant


def mask_homographs(
    system: SpeechSystem,
    listener: Listener,
    probes: Sequence[Probe],
    mode: InterleaveMode,
    conditions: Sequence[Condition] = CONDITIONS,
    *,
    progress: bool = True,
) -> list[MaskedRow]:
    """Say every probe's homograph under every condition, and let the judge decide how it was read.

    Raises:
        KnockoutNeverFired: a condition cut nothing.
        ValueError: an utterance without a homograph.
    """

    def onset(place: int) -> float:
        utterance, _ = probes[place]
        return utterance.words[utterance.homograph.index].start if utterance.homograph else 0.0

    said: dict[tuple[Condition, int], tuple[tuple[int, ...], Future[Verdict]]] = {}
    makers: dict[tuple[bool, int], int | None] = {}
    order = sorted(range(len(probes)), key=onset)  # words that begin at about the same time go on together
    title = f"speaking under {len(conditions)} condition{'s' * (len(conditions) != 1)}"
    with (
        Ear(listener) as ear,
        tqdm(total=len(probes), desc=title, unit="utterance", disable=not progress) as bar,
    ):
        for start in range(0, len(order), system.batch):
            chosen = order[start : start + system.batch]
            scripts = Scripts(system, [probes[place] for place in chosen], mode)
            for swapped, read in ((False, scripts.plain), (True, scripts.swapped)):
                for place, told, scope in zip(chosen, read, scripts.windows, strict=True):
                    makers[swapped, place] = mode.maker(told.audio[scope.word.start] - told.prompt)
            # All that these say before any of it is heard: the model is at its quickest while nobody listens.
            for condition, codes in _said(system, scripts, mode, conditions).items():
                for place, scope, own in zip(chosen, scripts.windows, codes, strict=True):
                    said[condition, place] = own, ear.hear(scope, own, probes[place][0])
            bar.update(len(chosen))
        bar.set_description("listening to the last of it")
        return [
            MaskedRow(
                utterance=utterance.index,
                homograph=utterance.sentence.words[utterance.homograph.index],
                condition=condition.name,
                meant=(partner if condition.swapped else utterance).homograph.reading,
                verdict=said[condition, place][1].result(),
                codes=said[condition, place][0],
                begun_by=makers[condition.swapped, place],
            )
            for condition in conditions
            for place, (utterance, partner) in enumerate(probes)
        ]


def _said(
    system: SpeechSystem, scripts: Scripts, mode: InterleaveMode, conditions: Sequence[Condition]
) -> dict[Condition, list[tuple[int, ...]]]:
    """The audio tokens of every script's window, under every condition.

    Conditions of one text and one beginning share what comes before it.
    """
    said = {}
    for swapped, earlier in dict.fromkeys((each.swapped, each.earlier) for each in conditions):
        alike = [each for each in conditions if (each.swapped, each.earlier) == (swapped, earlier)]
        read, spans = scripts.swapped if swapped else scripts.plain, scripts.spans(earlier)
        changes = [cutting(system, read, scripts.windows, mode, each) for each in alike]
        made = go_on_each(system, read, spans, mode, changes, progress=False)
        for condition, continuations in zip(alike, made, strict=True):
            known = zip(scripts.windows, scripts.codes, spans, continuations, strict=True)
            said[condition] = [
                (*true[scope.audio.start : span.start], *own.codes)[-len(scope.audio) :]
                for scope, true, span, own in known
            ]
    return said


class Scripts:
    """Probes laid out once for all conditions.

    Attributes:
        codes: the true audio tokens of each.
        plain: as they are.
        swapped: with the minimal pair's deciding word in the text, and their own audio.
        windows: what will be listened to.
    """

    def __init__(self, system: SpeechSystem, probes: Sequence[Probe], mode: InterleaveMode) -> None:
        self.codes = [tuple(system.codes(utterance)) for utterance, _ in probes]
        known = list(zip(probes, self.codes, strict=True))
        self.plain = [script(system, utterance, mode, codes=codes) for (utterance, _), codes in known]
        self.swapped = [
            script(system, utterance, mode, words=partner.sentence.words, codes=codes)
            for (utterance, partner), codes in known
        ]
        self.windows = [
            window(plain, partner) for plain, (_, partner) in zip(self.plain, probes, strict=True)
        ]

    def spans(self, earlier: int = 0) -> list[range]:
        """What the model says of each: from so many audio tokens before the word's onset to the window's end."""
        return [range(max(0, each.word.start - earlier), each.audio.stop) for each in self.windows]


def cutting(
    system: SpeechSystem,
    scripts: Sequence[Script],
    windows: Sequence[Window],
    mode: InterleaveMode,
    condition: Condition,
) -> Change | None:
    """A condition as a change for `go_on`; None if it cuts nothing."""
    if condition.hidden is None:
        return None

    def change(rows: Sequence[int]) -> AbstractContextManager:
        looking = [
            making(
                scripts[row], mode, range(windows[row].word.start - condition.earlier, windows[row].word.stop)
            )
            for row in rows
        ]
        hidden = [condition.hidden(scripts[row]) for row in rows]
        return system.model.knocked_out(
            [Knockout(tokens_at(*looking), tokens_at(*hidden), name=condition.name)]
        )

    return change


def making(script: Script, mode: InterleaveMode, span: range) -> list[int]:
    """Positions of the rows that make the audio tokens of a span; rows that hold text are never among them.

    An MCTP module goes on from what the stages before it made of the tokens before, back to the slot of the
    backbone: all these rows make the token.
    """
    rows: set[int] = set()
    for place in span:
        if not 0 <= place < len(script.audio):
            continue
        slot = script.audio[place] - script.prompt
        rows.add(script.prompt + slot - 1)
        while mode.maker(slot) is not None:
            slot -= 1
            rows.add(script.prompt + slot - 1)
    return sorted(rows - set(script.text))


def masking_measures(rows: Sequence[MaskedRow]) -> dict[str, dict[str, Estimate]]:
    """By condition: how often the word was read as meant and how often it was babble, with 95% intervals.

    Probes of one homograph succeed or fail together, which the intervals take into account.
    """
    measures = {}
    for condition in dict.fromkeys(row.condition for row in rows):
        own = [row for row in rows if row.condition == condition]
        groups = [row.homograph for row in own]
        measures[condition] = {
            "read as meant": clustered_proportion([row.right for row in own], groups),
            "babble": clustered_proportion([row.verdict.babble for row in own], groups),
        }
    return measures
