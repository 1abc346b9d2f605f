"""How long until a speech model makes sound, in passes of its language model (paper section 1, Table 1).

- **Audio token delay**: passes after the first one until the first audio token is there.
- **Audio generation delay**: passes after the first one until the codec has enough of them to decode.

Both follow from running a model's decoding pattern: what it emits in pass 0 (the prefill), 1, 2, ... Two
rules make the count well defined for every kind of model:

- A codec with several codebooks has an audio token once *all* codebooks of a frame are there.
- A speech decoder beside the language model works alongside it, on what *earlier* passes have handed over.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from labkit.interleave.modes import Content, InterleaveMode

TEXT = -1  # stands for the text stream where an audio stream has its codebook


class Pattern(Protocol):
    """A decoding pattern: a rule saying what each pass emits."""

    @property
    def codebooks(self) -> int:
        """Number of audio tokens in one codec frame."""

    def emits(self, step: int, text_length: int) -> Iterator[int]:
        """The tokens that pass ``step`` adds to an answer of ``text_length`` text tokens.

        Yields ``TEXT`` for a text token, and the codebook's index for an audio token.
        """


@dataclass(frozen=True)
class Parallel:
    """One token of every stream in each pass, each stream some passes late: a codebook delay pattern.

    Args:
        text_delay: passes before the first text token.
        audio_delays: for each codebook, passes before its first token.
    """

    text_delay: int
    audio_delays: tuple[int, ...]

    @property
    def codebooks(self) -> int:
        return len(self.audio_delays)

    def emits(self, step: int, text_length: int) -> Iterator[int]:
        if 0 <= step - self.text_delay < text_length:
            yield TEXT
        yield from (codebook for codebook, delay in enumerate(self.audio_delays) if step >= delay)


@dataclass(frozen=True)
class Alternating:
    """One token in each pass: ``text`` text tokens, then ``audio`` audio tokens, and so on."""

    text: int
    audio: int
    codebooks: int = 1

    def emits(self, step: int, text_length: int) -> Iterator[int]:
        chunk, offset = divmod(step, self.text + self.audio)
        text_left = text_length - chunk * self.text
        yield TEXT if offset < min(self.text, text_left) else 0


@dataclass(frozen=True)
class SpeechDecoder:
    """A language model that writes text only, and a speech decoder beside it.

    Args:
        text_chunk: text tokens that the decoder waits for, ``None`` for the whole text.
        audio_chunk: audio tokens that it makes of them, without further passes of the language model.
        handover: passes from a text token to the decoder's work on it. 1: the decoder works alongside, on
            what earlier passes have handed over. 0: it works within the pass that makes the text token.
    """

    text_chunk: int | None
    audio_chunk: int
    handover: int = 1
    codebooks: int = 1

    def emits(self, step: int, text_length: int) -> Iterator[int]:
        if step < text_length:
            yield TEXT
        new_chunks = self._chunks(step, text_length) - self._chunks(step - 1, text_length)
        yield from [0] * (self.audio_chunk * new_chunks)

    def _chunks(self, step: int, text_length: int) -> int:
        """Chunks of text that the decoder has dealt with when a pass ends; the last may be short."""
        handed_over = min(max(step + 1 - self.handover, 0), text_length)
        chunk = self.text_chunk or text_length
        return -(-handed_over // chunk) if handed_over == text_length else handed_over // chunk


@dataclass(frozen=True)
class Interleaved:
    """VITA-Audio: a pass makes a backbone token and the MCTP tokens up to the next one, as a mode says."""

    mode: InterleaveMode
    codebooks: int = 1

    def emits(self, step: int, text_length: int) -> Iterator[int]:
        made_by, text = -1, 0
        for slot in self.mode.slots():
            made_by += slot.module is None
            text += slot.content is Content.TEXT
            if made_by > step:
                return
            if made_by == step and slot.content is Content.TEXT and text <= text_length:
                yield TEXT
            elif made_by == step and slot.content is Content.AUDIO:
                yield 0


class Delays(NamedTuple):
    """Additional passes after the first one until the first audio token, and until a decodable chunk."""

    audio_token: int
    audio_generation: int


def delays(pattern: Pattern, first_chunk: int = 1, text_length: int = 64) -> Delays:
    """Run a pattern until its audio can be decoded.

    Args:
        pattern: what each pass emits.
        first_chunk: codec frames that the decoder needs before it can make sound.
        text_length: text tokens of the answer.

    Raises:
        ValueError: a length that is not positive, or a pattern that never makes that much audio.
    """
    if first_chunk < 1 or text_length < 1:
        raise ValueError(f"first_chunk and text_length must be positive, got {first_chunk} and {text_length}")
    made: Counter[int] = Counter()
    first = None
    for step in range(100 * (first_chunk + text_length)):
        made.update(pattern.emits(step, text_length))
        frames = min(made[codebook] for codebook in range(pattern.codebooks))
        if first is None and frames:
            first = step
        if frames >= first_chunk:
            return Delays(first, step)
    raise ValueError(f"{pattern} makes no {first_chunk} audio tokens from a text of {text_length}")
