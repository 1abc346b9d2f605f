"""Interleave modes as schedules, text and audio woven into one sequence, and the delays that follow."""

from labkit.interleave.modes import (
    BALANCE,
    BOOST,
    MODES,
    TURBO,
    VANILLA,
    Content,
    InterleaveMode,
    Passes,
    ScheduleError,
    Slot,
    mode,
)
from labkit.interleave.parsing import parse
from labkit.interleave.weave import PlacedToken, content_of, deinterleave, interleave, place

__all__ = [
    "BALANCE",
    "BOOST",
    "MODES",
    "TURBO",
    "VANILLA",
    "Content",
    "InterleaveMode",
    "Passes",
    "PlacedToken",
    "ScheduleError",
    "Slot",
    "content_of",
    "deinterleave",
    "interleave",
    "mode",
    "parse",
    "place",
]
