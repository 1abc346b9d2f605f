"""Delays follow from running a decoding pattern; the paper's Table 1 comes out of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.interleave import (
    BALANCE,
    BOOST,
    MODELS,
    TURBO,
    VANILLA,
    Alternating,
    Delays,
    Interleaved,
    Parallel,
    SpeechDecoder,
    SpeechModel,
    audio_token_delay,
    delays,
    parse,
)

TABLE_1 = {
    "Freeze-Omni": "text length",
    "MinMo": 5,
    "Mini-Omni": 7,
    "Moshi": 1,
    "GLM-4-Voice": 13,
    "LUCY": 7,
    "VITA-Audio": 0,
}


def test_table_1() -> None:
    assert {model.name: audio_token_delay(model) for model in MODELS} == TABLE_1


def test_every_model_names_its_source() -> None:
    assert all("arXiv" in model.source or "the paper" in model.source for model in MODELS)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(TURBO, (0, 0)), (BOOST, (0, 0)), (BALANCE, (0, 3)), (VANILLA, (2, 14))],
    ids=lambda value: getattr(value, "name", None),
)
def test_delays_of_the_four_modes_with_a_first_chunk_of_8(mode, expected: tuple[int, int]) -> None:
    assert delays(Interleaved(mode), first_chunk=8) == expected


def test_the_first_chunk_that_the_codec_needs_is_a_parameter() -> None:
    assert delays(Interleaved(BALANCE), first_chunk=2).audio_generation == 0
    assert delays(Interleaved(BOOST), first_chunk=9).audio_generation == 4


@given(st.integers(0, 5), st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(1, 5))
def test_parallel_streams_wait_for_the_slowest_codebook(text: int, audio: list[int], frames: int) -> None:
    found = delays(Parallel(text, tuple(audio)), frames)
    assert found == (max(audio), max(audio) + frames - 1)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 60))
def test_alternating_waits_for_the_text_chunk(text: int, audio: int, length: int) -> None:
    assert delays(Alternating(text, audio), 1, length).audio_token == min(text, length)


@given(st.integers(1, 9), st.integers(1, 30), st.sampled_from([0, 1]))
def test_a_speech_decoder_waits_for_its_chunk_and_the_handover(
    chunk: int, length: int, handover: int
) -> None:
    found = delays(SpeechDecoder(chunk, 15, handover), 15, length)
    assert found.audio_token == found.audio_generation == min(chunk, length) - 1 + handover


def test_a_speech_decoder_gets_through_the_whole_text_once() -> None:
    pattern = SpeechDecoder(text_chunk=5, audio_chunk=15)
    made = [list(pattern.emits(step, 12)).count(0) for step in range(30)]
    assert [step for step, n in enumerate(made) if n] == [5, 10, 12]
    assert sum(made) == 3 * 15


def test_alternating_text_that_runs_out_leaves_audio() -> None:
    assert [next(Alternating(2, 3).emits(step, 3)) for step in range(9)] == [-1, -1, 0, 0, 0, -1, 0, 0, 0]


def test_interleaved_passes_emit_what_the_slots_hold() -> None:
    pattern = Interleaved(TURBO)
    assert list(pattern.emits(0, 99)) == [-1, *[0] * 8]
    assert list(pattern.emits(1, 99)) == [-1] * 4 + [0] * 6


def test_a_schedule_of_a_student() -> None:
    assert delays(Interleaved(parse("2 6 3 12")), first_chunk=8) == Delays(1, 4)


@pytest.mark.parametrize(("first_chunk", "text_length"), [(0, 5), (5, 0)])
def test_lengths_must_be_positive(first_chunk: int, text_length: int) -> None:
    with pytest.raises(ValueError, match="positive"):
        delays(Interleaved(BOOST), first_chunk, text_length)


def test_a_pattern_without_audio_is_refused() -> None:
    silent = parse("1 0", content="1 0")
    with pytest.raises(ValueError, match="makes no 1 audio tokens"):
        delays(Interleaved(silent), 1, 4)


def test_a_delay_that_no_single_number_says_is_refused() -> None:
    class Half:
        codebooks = 1

        def emits(self, step: int, text_length: int):
            yield 0 if step >= text_length // 2 else -1

    with pytest.raises(ValueError, match="no single number"):
        audio_token_delay(SpeechModel("half", Half(), 1, "made up"))
