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

__all__ = [
    "BALANCE",
    "BOOST",
    "MODES",
    "TURBO",
    "VANILLA",
    "Content",
    "InterleaveMode",
    "Passes",
    "ScheduleError",
    "Slot",
    "mode",
    "parse",
]
