"""Read the schedules that students type."""

import re
from collections.abc import Iterable, Sequence

from labkit.interleave.modes import (
    BALANCE,
    MODES,
    TAGS_PER_CHUNK,
    InterleaveMode,
    Pairs,
    ScheduleError,
    as_pairs,
    mode,
    whole,
)


def parse(
    typed: str | Sequence[int] | InterleaveMode,
    content: str | Sequence[int] | None = None,
    name: str | None = None,
) -> InterleaveMode:
    """Read a mode's name, ``"[1, 10, 4, 10]"``, ``"1 10 4 10"``, or a list.

    A list says who makes the tokens; the makers of one of the paper's modes give that mode. Any other list
    is taken for the content as well, as in Boost and Balance. Where it cannot be (a run of 1 or 2 MCTP
    tokens has no room for an audio chunk, a schedule without MCTP tokens holds no audio at all) the content
    is Balance's, as in Vanilla. ``content`` says otherwise.

    Raises:
        ScheduleError: an unknown name, or a list that is empty, odd in length, negative, not whole, or all
            zero.
    """
    if isinstance(typed, str) and re.search(r"[^\W\d_]", typed):  # a letter of any script: a name, not a list
        typed = mode(typed)
    if isinstance(typed, InterleaveMode) and content is None:
        return typed
    makers = typed.makers if isinstance(typed, InterleaveMode) else _read_pairs(typed)
    if content is not None:
        pairs = _read_pairs(content)
    else:
        known = next((m for m in MODES.values() if m.makers == makers), None)
        if known is not None:
            return known
        pairs = makers if _can_hold_audio(makers) else BALANCE.content
    return InterleaveMode(name or str([tokens for pair in makers for tokens in pair]), makers, pairs)


def _can_hold_audio(pairs: Pairs) -> bool:
    audio = [count for _, count in pairs if count]
    return bool(audio) and min(audio) > TAGS_PER_CHUNK


def _read_pairs(typed: str | Iterable) -> Pairs:
    """Turn a flat list (or a list of pairs), typed or given, into pairs."""
    if isinstance(typed, str):
        values = re.findall(r"[^\s,;，、\[\](){}]+", typed)
    elif isinstance(typed, Iterable):
        values = [value for item in typed for value in (item if isinstance(item, (list, tuple)) else [item])]
    else:
        raise ScheduleError(f"a schedule is text or a list such as [1, 10, 4, 10], not {typed!r}.")
    counts = [whole(value) for value in values]
    if not counts:
        raise ScheduleError("the schedule is empty. Write pairs of counts, for example [1, 10, 4, 10].")
    if len(counts) % 2:
        raise ScheduleError(
            f"a schedule is pairs of counts (backbone, MCTP), but {counts} has {len(counts)} numbers. "
            f"Add the missing count, for example {[*counts, 0]}."
        )
    return as_pairs(tuple(zip(counts[::2], counts[1::2], strict=True)), "schedule")
