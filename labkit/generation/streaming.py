"""From events to what a listener gets: pieces of text, and audio chunks as soon as they are complete."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from labkit.generation.events import Event
from labkit.interleave import Content
from labkit.vocabulary import Vocabulary

REPLACEMENT = "\ufffd"  # what a decoder writes for bytes that are not a character yet


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text that has become complete.

    Attributes:
        text: at least one whole character.
        index: of the token that completed it.
        seconds: since the generation began.
    """

    text: str
    index: int
    seconds: float


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Audio tokens that can be decoded now.

    Attributes:
        codes: codebook entries, 12.5 of which make a second of speech.
        index: of the token that completed the chunk.
        seconds: since the generation began.
        closed: whether the model ended the chunk here; False for a part of a longer one.
    """

    codes: tuple[int, ...]
    index: int
    seconds: float
    closed: bool


def stream(
    events: Iterable[Event],
    vocabulary: Vocabulary,
    decode: Callable[[Sequence[int]], str],
    every: int | None = None,
    row: int = 0,
) -> Iterator[TextPiece | AudioChunk]:
    """Text pieces and audio chunks of one sequence, in the order in which they become complete.

    Args:
        events: of a generation with that vocabulary.
        vocabulary: the id space.
        decode: from text ids to text, such as ``tokenizer.decode``.
        every: hand out audio after so many tokens, without waiting for the tag that ends the chunk.
        row: which sequence of the batch.

    Raises:
        ValueError: ``every`` is less than 1.
    """
    if every is not None and every < 1:
        raise ValueError(f"every must be at least 1 token, got {every}")
    text: list[int] = []
    codes: list[int] = []
    last: Event | None = None
    for event in events:
        if event.row != row:
            continue
        last = event
        if vocabulary.is_text(event.id):
            text.append(event.id)
            piece = decode(text)
            if piece and not piece.endswith(REPLACEMENT):
                yield TextPiece(piece, event.index, event.seconds)
                text = []
        elif event.modality is Content.AUDIO:
            codes.append(vocabulary.audio_code(event.id))
            if every is not None and len(codes) >= every:
                yield AudioChunk(tuple(codes), event.index, event.seconds, closed=False)
                codes = []
        elif event.modality is Content.END_OF_AUDIO and codes:
            yield AudioChunk(tuple(codes), event.index, event.seconds, closed=True)
            codes = []
    if last is None:
        return
    if text:  # the text was cut in the middle of a character
        yield TextPiece(decode(text), last.index, last.seconds)
    if codes:
        yield AudioChunk(tuple(codes), last.index, last.seconds, closed=False)
