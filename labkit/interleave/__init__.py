"""Interleave modes as schedules, text and audio woven into one sequence, and the delays that follow."""

from labkit.interleave.delay import (
    Alternating,
    Delays,
    Interleaved,
    Parallel,
    Pattern,
    SpeechDecoder,
    delays,
)
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
from labkit.interleave.peers import FIRST_CHUNK, MODELS, SpeechModel, audio_token_delay
from labkit.interleave.weave import PlacedToken, content_of, deinterleave, interleave, place

__all__ = [
    "BALANCE",
    "BOOST",
    "FIRST_CHUNK",
    "MODELS",
    "MODES",
    "TURBO",
    "VANILLA",
    "Alternating",
    "Content",
    "Delays",
    "InterleaveMode",
    "Interleaved",
    "Parallel",
    "Passes",
    "Pattern",
    "PlacedToken",
    "ScheduleError",
    "Slot",
    "SpeechDecoder",
    "SpeechModel",
    "audio_token_delay",
    "content_of",
    "deinterleave",
    "delays",
    "interleave",
    "mode",
    "parse",
    "place",
]
