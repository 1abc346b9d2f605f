"""Interleave modes as data: who makes each generated token, and what it holds (paper Fig. 4, section 3.4).

A mode answers two separate questions about slot ``t``, the t-th token after the prompt:

- *who makes it*: the backbone, or MCTP module ``k``, where ``k`` counts from 0 after each backbone token;
- *what it holds*: a text token, an audio token, or one of the two tags around an audio chunk.

Both are lists of pairs whose last pair repeats for ever. In Boost the two lists are the same, so every text
token comes from the backbone and every audio token from the chain. Turbo lets the chain make text too, and
Vanilla lets the backbone make everything: the content stays a list of its own.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import NamedTuple

Pairs = tuple[tuple[int, int], ...]

TAGS_PER_CHUNK = 2  # begin_of_audio and end_of_audio are counted among a chunk's audio slots


class Content(StrEnum):
    """What a slot holds."""

    TEXT = "text"
    BEGIN_OF_AUDIO = "begin_of_audio"
    AUDIO = "audio"
    END_OF_AUDIO = "end_of_audio"

    @property
    def is_audio(self) -> bool:
        """True for audio tokens and for the two tags around them."""
        return self is not Content.TEXT


class ScheduleError(ValueError):
    """A schedule that cannot be run; the message says how to mend it."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One generated token: its place, its maker and its content.

    ``module`` is ``None`` for the backbone, otherwise the index of the MCTP module.
    """

    index: int
    module: int | None
    content: Content


class Passes(NamedTuple):
    """The work behind some tokens: backbone passes (prefill included) and single MCTP module steps."""

    backbone: int
    module: int


def whole(value: object) -> int:
    """A whole number, typed or given.

    Raises:
        ScheduleError: it is none.
    """
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+", value):
        return int(value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ScheduleError(f"a schedule holds whole numbers, {value!r} is not one.")
    return value.__index__()


def as_pairs(pairs: Sequence[Sequence[int]], what: str) -> Pairs:
    """Check pairs of counts and make them plain tuples of ints.

    Raises:
        ScheduleError: there are none, or one is no pair of whole numbers from 0 on, or makes no token.
    """
    if len(pairs) == 0:
        raise ScheduleError(f"the {what} list is empty. Give at least one pair of counts, such as (4, 10).")
    checked = []
    for pair in pairs:
        if isinstance(pair, int) or len(pair) != 2:
            raise ScheduleError(f"the {what} list holds pairs such as (4, 10), {pair!r} is not a pair.")
        first, second = map(whole, pair)
        if first < 0 or second < 0:
            raise ScheduleError(f"counts must not be negative, the {what} pair ({first}, {second}) has one.")
        if first == second == 0:
            raise ScheduleError(f"the {what} pair (0, 0) makes no token at all. Leave it out.")
        checked.append((first, second))
    return tuple(checked)


def _locate(pairs: Pairs, t: int) -> tuple[int, int]:
    """Which pair slot ``t`` falls into, and how far into it."""
    if t < 0:
        raise ValueError(f"slots count from 0, got {t}")
    last = len(pairs) - 1
    for index, pair in enumerate(pairs[:last]):
        if t < sum(pair):
            return index, t
        t -= sum(pair)
    return last, t % sum(pairs[last])


@dataclass(frozen=True)
class InterleaveMode:
    """A schedule that trainer and generator both read.

    Args:
        name: how the mode is called in figures and errors.
        makers: (backbone tokens, MCTP tokens) pairs; the last pair repeats.
        content: (text tokens, audio tokens with their two tags) pairs; the last pair repeats.

    Raises:
        ScheduleError: no pairs, counts that are not whole and non-negative, an empty pair, an MCTP token
            that no backbone token precedes, or an audio chunk too short to hold a token between its tags.
    """

    name: str
    makers: Pairs
    content: Pairs

    def __post_init__(self) -> None:
        makers, content = as_pairs(self.makers, "makers"), as_pairs(self.content, "content")
        if makers[0][0] == 0:
            raise ScheduleError(
                f"{self.name}: the first token needs a backbone pass, which reads the prompt, but the "
                f"schedule starts with {makers[0][1]} MCTP tokens. Start with at least 1 backbone token."
            )
        if makers[-1][0] == 0:
            raise ScheduleError(
                f"{self.name}: the last pair {list(makers[-1])} repeats for ever without a backbone token, "
                "which would take endlessly many MCTP modules. Give it at least 1 backbone token."
            )
        for _, audio in content:
            if 0 < audio <= TAGS_PER_CHUNK:
                raise ScheduleError(
                    f"{self.name}: an audio chunk of {audio} has no room for an audio token between its two "
                    "tags. Use 0 (no chunk) or at least 3."
                )
        object.__setattr__(self, "makers", makers)
        object.__setattr__(self, "content", content)

    @property
    def schedule(self) -> list[int]:
        """The makers as one flat list, the form used on the command line: Boost is ``[1, 10, 4, 10]``."""
        return [tokens for pair in self.makers for tokens in pair]

    @property
    def modules_needed(self) -> int:
        """Number of MCTP modules: the longest run of MCTP tokens without a backbone token in between."""
        longest = run = 0
        for backbone, mctp in self.makers:
            run = mctp if backbone else run + mctp
            longest = max(longest, run)
        return longest

    def maker(self, t: int) -> int | None:
        """Who makes slot ``t``: ``None`` for the backbone, else the index of the MCTP module."""
        pair, offset = _locate(self.makers, t)
        backbone, _ = self.makers[pair]
        if offset < backbone:
            return None
        module = offset - backbone
        while self.makers[pair][0] == 0:  # such a pair continues the run of the pair before it
            pair -= 1
            module += self.makers[pair][1]
        return module

    def holds(self, t: int) -> Content:
        """What slot ``t`` holds while neither text nor audio has run out."""
        pair, offset = _locate(self.content, t)
        text, audio = self.content[pair]
        if offset < text:
            return Content.TEXT
        if offset == text:
            return Content.BEGIN_OF_AUDIO
        return Content.END_OF_AUDIO if offset == text + audio - 1 else Content.AUDIO

    def slots(self, n: int | None = None) -> Iterator[Slot]:
        """The first ``n`` slots, or all of them, without end."""
        return (Slot(t, self.maker(t), self.holds(t)) for t in (count() if n is None else range(n)))

    def passes(self, n: int) -> Passes:
        """Backbone passes and MCTP module steps behind the first ``n`` tokens (paper Table 8).

        Raises:
            ValueError: a negative number.
        """
        if n < 0:
            raise ValueError(f"the number of tokens must not be negative, got {n}")
        backbone = sum(self.maker(t) is None for t in range(n))
        return Passes(backbone, n - backbone)

    def require_modules(self, available: int) -> None:
        """Refuse a model whose MCTP chain is shorter than the longest run of this schedule.

        Raises:
            ScheduleError: the chain has fewer than ``modules_needed`` modules.
        """
        if self.modules_needed > available:
            raise ScheduleError(
                f"{self} needs {self.modules_needed} MCTP modules, the model has "
                f"{available}. Use runs of at most {available} MCTP tokens, or a model with a longer chain."
            )

    def __str__(self) -> str:
        schedule = str(self.schedule)
        return schedule if self.name == schedule else f"{self.name} {schedule}"


BOOST = InterleaveMode("boost", makers=((1, 10), (4, 10)), content=((1, 10), (4, 10)))
TURBO = InterleaveMode("turbo", makers=((1, 10),), content=BOOST.content)
BALANCE = InterleaveMode("balance", makers=((1, 4), (3, 8), (4, 10)), content=((1, 4), (3, 8), (4, 10)))
VANILLA = InterleaveMode("vanilla", makers=((8192, 0),), content=BALANCE.content)

MODES = {m.name: m for m in (TURBO, BOOST, BALANCE, VANILLA)}
ALIASES = {"speed": "boost"}  # section 3.4 calls Boost "VITA-Audio-Speed"


def mode(name: str) -> InterleaveMode:
    """Look up one of the paper's four modes by name, in any case; "speed" is accepted for Boost.

    Raises:
        ScheduleError: there is no mode of that name.
    """
    key = name.strip().lower()
    try:
        return MODES[ALIASES.get(key, key)]
    except KeyError:
        raise ScheduleError(
            f"no interleave mode is called {name!r}. The modes are {', '.join(MODES)}; "
            "or write a schedule such as [1, 10, 4, 10]."
        ) from None
