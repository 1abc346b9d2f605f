"""Until the first sound: encoder, first audio token chunk and decoder, beside the paper's Table 9."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import Qwen2ForCausalLM

from labkit.audio.codec import Codec
from labkit.benchmark import paper
from labkit.benchmark.contenders import cut, plain_generate, plain_twin
from labkit.benchmark.timing import Timing
from labkit.generation import Event, FastPath
from labkit.interleave import FIRST_CHUNK, MODES, Content, Interleaved, InterleaveMode, delays
from labkit.vocabulary import Vocabulary


@dataclass(frozen=True)
class FirstAudio:
    """Seconds until the first sound can be heard, one measurement.

    Attributes:
        encoder: from the question's waveform to its audio tokens.
        first_pass: the backbone's pass over the prompt, with the first token chosen.
        chunk: until eight audio tokens are there, the first pass included.
        schedule: until the schedule's first run of MCTP tokens is complete, the first pass included: in Boost and
            Turbo one backbone pass and ten module steps.
        decoder: from those eight tokens to sound, at one Euler step.
        plain_pass: plain transformers' pass over the same prompt, for one token.
    """

    encoder: float
    first_pass: float
    chunk: float
    schedule: float
    decoder: float
    plain_pass: float

    @property
    def total(self) -> float:
        """Encoder, chunk and decoder, one after the other."""
        return self.encoder + self.chunk + self.decoder


def chunk_tokens(mode: InterleaveMode, audio_tokens: int = FIRST_CHUNK) -> int:
    """Tokens until so many audio tokens are there."""
    made = 0
    for slot in mode.slots():
        made += slot.content is Content.AUDIO
        if made == audio_tokens:
            return slot.index + 1
    raise AssertionError("slots go on for ever")


def measure_first_audio(
    fast: FastPath,
    twin: Qwen2ForCausalLM,
    prompt: Sequence[int],
    codec: Codec,
    waveform: torch.Tensor,
    vocabulary: Vocabulary,
    mode: InterleaveMode,
) -> FirstAudio:
    """Measure once.

    Args:
        fast: a language model made ready.
        twin: the same in plain transformers.
        prompt: what it reads; its length counts, not its content.
        codec: encoder and decoder.
        waveform: the question, ``(samples,)`` at the codec's rate.
        vocabulary: of the language model.
        mode: who makes which token.
    """
    begun = time.perf_counter()
    codec.encode(waveform, codec.sample_rate)
    encoder = time.perf_counter() - begun
    first_run = 1 + mode.makers[0][1]
    wanted = max(chunk_tokens(mode), first_run)
    events = list(cut(fast, prompt, wanted, mode, vocabulary)())
    begun = time.perf_counter()
    codec.stream(1).push(codes_of(events, vocabulary, codec.size))
    decoder = time.perf_counter() - begun
    begun = time.perf_counter()
    plain_generate(twin, prompt, 1)
    plain_pass = time.perf_counter() - begun
    return FirstAudio(
        encoder=encoder,
        first_pass=events[0].seconds,
        chunk=events[chunk_tokens(mode) - 1].seconds,
        schedule=events[first_run - 1].seconds,
        decoder=decoder,
        plain_pass=plain_pass,
    )


def codes_of(events: Sequence[Event], vocabulary: Vocabulary, size: int) -> list[int]:
    """The first chunk's codebook entries; those that a smaller codebook lacks, taken round."""
    codes = [vocabulary.audio_code(event.id) for event in events if vocabulary.is_audio(event.id)]
    return [code % size for code in codes[:FIRST_CHUNK]]


def benchmark_first_audio(
    fast: FastPath,
    prompt: Sequence[int],
    codec: Codec,
    vocabulary: Vocabulary,
    repeats: int = 5,
    question_seconds: float = 3.0,
    seed: int = 0,
) -> dict[str, dict[str, object]]:
    """Table 9 for all modes, taking turns, after a round of warming up.

    Returns:
        By mode: the timings of each part, the first run's time over the first pass's and over plain transformers',
        the audio generation delay in passes, and the paper's row where it has one.
    """
    drawn = torch.Generator().manual_seed(seed)
    waveform = torch.randn(round(question_seconds * codec.sample_rate), generator=drawn) / 10
    twin = plain_twin(fast.model)
    found: dict[str, list[FirstAudio]] = {name: [] for name in MODES}
    for turn in range(repeats + 1):
        for name, mode in MODES.items():
            once = measure_first_audio(fast, twin, prompt, codec, waveform, vocabulary, mode)
            if turn:
                found[name].append(once)
    return {name: summarize(MODES[name], rows) for name, rows in found.items()}


def summarize(mode: InterleaveMode, rows: Sequence[FirstAudio]) -> dict[str, object]:
    """Medians and spread of repeated measurements."""
    parts = ("encoder", "first_pass", "chunk", "schedule", "decoder", "total", "plain_pass")
    return {
        **{part: Timing.of([getattr(row, part) for row in rows])._asdict() for part in parts},
        "schedule_over_pass": Timing.of([row.schedule / row.first_pass for row in rows])._asdict(),
        "schedule_over_plain_pass": Timing.of([row.schedule / row.plain_pass for row in rows])._asdict(),
        "audio_generation_delay": delays(Interleaved(mode), FIRST_CHUNK).audio_generation,
        **({"paper": paper.TABLE_9[mode.name]} if mode.name in paper.TABLE_9 else {}),
    }
