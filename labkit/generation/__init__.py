"""Generation as a stream of events: every mode, sampling, constraints, verified decoding, streaming."""

from labkit.generation.events import Event, GenerationReport
from labkit.generation.fast import FastPath
from labkit.generation.generate import DEFAULT_MAX_NEW_TOKENS, Generation, generate
from labkit.generation.sampling import InLayout, Sampler, greedy
from labkit.generation.state import GenerationState
from labkit.generation.streaming import AudioChunk, TextPiece, stream

__all__ = [
    "DEFAULT_MAX_NEW_TOKENS",
    "AudioChunk",
    "Event",
    "FastPath",
    "Generation",
    "GenerationReport",
    "GenerationState",
    "InLayout",
    "Sampler",
    "TextPiece",
    "generate",
    "greedy",
    "stream",
]
