"""Text pieces and audio chunks, handed out as soon as they are complete."""

import pytest
from tiny import VOCABULARY

from labkit.generation import AudioChunk, Event, TextPiece, stream
from labkit.interleave import content_of

V = VOCABULARY


def events(ids: list[int], row: int = 0) -> list[Event]:
    return [
        Event(token, content_of(token, V), None, index, index / 10, row) for index, token in enumerate(ids)
    ]


def decode(ids: list[int]) -> str:
    """Token n is byte n."""
    return bytes(ids).decode("utf-8", errors="replace")


def audio(*codes: int) -> list[int]:
    return [V.audio_id(code) for code in codes]


def test_pieces_and_chunks_in_the_order_of_completion() -> None:
    ids = [72, V.begin_of_audio, *audio(1, 2), V.end_of_audio, 73, V.im_end]
    assert list(stream(events(ids), V, decode)) == [
        TextPiece("H", 0, 0.0),
        AudioChunk((1, 2), 4, 0.4, closed=True),
        TextPiece("I", 5, 0.5),
    ]


def test_a_chunk_arrives_before_the_next_token_is_made() -> None:
    made: list[int] = []

    def slowly():
        for event in events([V.begin_of_audio, *audio(1), V.end_of_audio, 72]):
            made.append(event.index)
            yield event

    assert next(stream(slowly(), V, decode)) == AudioChunk((1,), 2, 0.2, closed=True)
    assert made == [0, 1, 2]


def test_audio_every_so_many_tokens() -> None:
    ids = [V.begin_of_audio, *audio(1, 2, 3, 4, 5), V.end_of_audio]
    chunks = list(stream(events(ids), V, decode, every=2))
    assert [(chunk.codes, chunk.closed) for chunk in chunks] == [
        ((1, 2), False),
        ((3, 4), False),
        ((5,), True),
    ]
    with pytest.raises(ValueError, match="at least 1 token"):
        list(stream([], V, decode, every=0))


def test_half_a_character_waits_for_the_other_half() -> None:
    """With 100 text tokens a byte above 99 cannot be one; so let each token stand for a byte 100 higher."""

    def shifted(ids: list[int]) -> str:
        return bytes(token + 100 for token in ids).decode("utf-8", errors="replace")

    e_acute = [byte - 100 for byte in "é".encode()]
    pieces = list(stream(events([*e_acute, 10]), V, shifted))
    assert [(piece.text, piece.index) for piece in pieces] == [("é", 1), ("n", 2)]
    cut = list(stream(events(e_acute[:1]), V, shifted))
    assert [piece.text for piece in cut] == ["\ufffd"]


def test_an_open_chunk_is_handed_out_at_the_end() -> None:
    assert list(stream(events([V.begin_of_audio, *audio(7)]), V, decode)) == [
        AudioChunk((7,), 1, 0.1, closed=False)
    ]
    assert list(stream([], V, decode)) == []


def test_one_sequence_of_a_batch() -> None:
    both = [event for pair in zip(events([72, 73]), events([74, 75], row=1), strict=True) for event in pair]
    assert [piece.text for piece in stream(both, V, decode, row=1)] == ["J", "K"]
