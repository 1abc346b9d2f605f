"""Text and audio woven into one sequence by a mode's content, and taken apart again.

Chunk by chunk, ``t`` text tokens are followed by ``begin_of_audio``, ``a - 2`` audio tokens and
``end_of_audio``. The first chunk in which text or audio runs out is the last one: it takes all that is left
of both, text first. So a long answer ends in one long audio chunk, and a text that outlasts its audio is
said before the last of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labkit.interleave.modes import TAGS_PER_CHUNK, Content, InterleaveMode, Slot
from labkit.vocabulary import Vocabulary


def interleave(
    text_ids: Sequence[int], audio_ids: Sequence[int], mode: InterleaveMode, vocabulary: Vocabulary
) -> list[int]:
    """Weave text and audio into one sequence; `deinterleave` is its inverse, whatever the lengths.

    Args:
        text_ids: ids of text (no audio tokens or audio tags among them).
        audio_ids: ids of audio tokens, without tags.
        mode: whose ``content`` says how many of each come in turn.
        vocabulary: the id space of both.

    Raises:
        ValueError: an audio token or tag among the text, or another token among the audio.
    """
    text, audio = [int(token) for token in text_ids], [int(token) for token in audio_ids]
    for position, token in enumerate(text):
        if content_of(token, vocabulary).is_audio:
            raise ValueError(
                f"text_ids[{position}] = {token} belongs to audio; pass audio tokens as audio_ids"
            )
    for position, token in enumerate(audio):
        if not vocabulary.is_audio(token):
            raise ValueError(
                f"audio_ids[{position}] = {token} is not an audio token; turn codes into ids with "
                "vocabulary.audio_ids, and leave the tags out"
            )
    woven = []
    for text_count, audio_count in _chunks(mode, len(text), len(audio)):
        woven += text[:text_count]
        if audio_count:
            woven += [vocabulary.begin_of_audio, *audio[:audio_count], vocabulary.end_of_audio]
        text, audio = text[text_count:], audio[audio_count:]
    return woven


def _chunks(mode: InterleaveMode, text: int, audio: int) -> Iterable[tuple[int, int]]:
    """How many text and audio tokens (tags not counted) go into each chunk."""
    chunk = 0
    while True:
        t, a = mode.content[min(chunk, len(mode.content) - 1)]
        a = max(a - TAGS_PER_CHUNK, 0)
        if text <= t or audio <= a:
            yield text, audio
            return
        yield t, a
        text, audio, chunk = text - t, audio - a, chunk + 1


def deinterleave(ids: Sequence[int], vocabulary: Vocabulary) -> tuple[list[int], list[int]]:
    """Take a woven sequence apart into text ids and audio ids; the tags are dropped.

    A last chunk may be left open, as in a generation that was cut short.

    Raises:
        ValueError: audio tokens outside the tags, other tokens inside them, or tags that do not pair up.
    """
    text, audio, inside = [], [], False
    for position, token in enumerate(map(int, ids)):
        content = content_of(token, vocabulary)
        fits = inside if content in (Content.AUDIO, Content.END_OF_AUDIO) else not inside
        if not fits:
            where = "inside" if inside else "outside"
            raise ValueError(f"ids[{position}] = {token} ({content}) stands {where} an audio chunk")
        if content is Content.TEXT:
            text.append(token)
        elif content is Content.AUDIO:
            audio.append(token)
        else:
            inside = content is Content.BEGIN_OF_AUDIO
    return text, audio


def content_of(token: int, vocabulary: Vocabulary) -> Content:
    """What a token is. Special tokens other than the two audio tags count as text, as ``<|im_end|>`` does."""
    if token == vocabulary.begin_of_audio:
        return Content.BEGIN_OF_AUDIO
    if token == vocabulary.end_of_audio:
        return Content.END_OF_AUDIO
    return Content.AUDIO if vocabulary.is_audio(token) else Content.TEXT


@dataclass(frozen=True, slots=True)
class PlacedToken:
    """A token in its slot.

    Attributes:
        slot: where it stands, who makes it, and what the schedule expects there.
        token: its id.
        content: what it is; differs from ``slot.content`` once text or audio has run out.
    """

    slot: Slot
    token: int
    content: Content


def place(ids: Sequence[int], mode: InterleaveMode, vocabulary: Vocabulary) -> list[PlacedToken]:
    """Put the tokens of an answer into the slots of a mode, in order."""
    return [
        PlacedToken(slot, token, content_of(token, vocabulary))
        for slot, token in zip(mode.slots(len(ids)), map(int, ids), strict=True)
    ]
