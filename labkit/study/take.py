"""A take: one sentence said in one mode, token by token, with the time each token and the first sound took.

The clock counts the model's own work. What else happens between two tokens, such as drawing them on a screen, stands
still in it, and so does the codec: its time is told apart, as in the paper's Table 9.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import torch

from labkit.audio.codec import STREAMING_STEPS, DecodeStream
from labkit.evaluation.answers import SpeechSystem
from labkit.generation import generate, greedy
from labkit.generation.events import Event
from labkit.generation.sampling import Choose
from labkit.generation.streaming import REPLACEMENT
from labkit.interleave import FIRST_CHUNK, Content, InterleaveMode
from labkit.vocabulary.prompts import text_to_speech


@dataclass(frozen=True, slots=True)
class Mark:
    """One token of a take.

    Attributes:
        id: token id.
        content: what it holds.
        module: the MCTP module that made it, None for the backbone.
        seconds: of the model's work up to it, prefill included.
        text: what it reads as; empty for audio, tags, and tokens that complete no character.
    """

    id: int
    content: Content
    module: int | None
    seconds: float
    text: str


@dataclass(frozen=True, slots=True)
class Sound:
    """Sound that can be played from now on.

    Attributes:
        samples: ``(samples,)``.
        tokens_at: seconds of the model's work until its tokens were there.
        decoding: seconds that the codec took.
    """

    samples: torch.Tensor
    tokens_at: float
    decoding: float


class Take:
    """One sentence in one mode. Nothing is computed until one iterates over it; what has been is in its lists.

    Args:
        system: who speaks.
        text: the sentence.
        mode: who makes which token.
        choose: picks tokens; greedy unless given.
        euler_steps: of the codec, for the first, second, ... chunk of sound.
        seed: of the noise that the codec starts from.

    Attributes:
        marks: tokens so far.
        sounds: pieces of sound so far.

    Raises:
        ScheduleError: the mode needs more modules than the model has.
        ValueError: there is nothing to say, or no room for an answer.
    """

    def __init__(
        self,
        system: SpeechSystem,
        text: str,
        mode: InterleaveMode,
        *,
        choose: Choose = greedy,
        euler_steps: int | Sequence[int] = STREAMING_STEPS,
        seed: int = 0,
    ) -> None:
        if not text.strip():
            raise ValueError("type a sentence to say")
        mode.require_modules(system.model.num_modules)
        self.text, self.mode = text.strip(), mode
        self.sample_rate, self.token_rate = system.codec.sample_rate, system.codec.token_rate
        self._end_of_turn = system.vocabulary.end_of_turn
        self.marks: list[Mark] = []
        self.sounds: list[Sound] = []
        self._work = self._say(system, choose, system.codec.stream(euler_steps, seed=seed))

    def __iter__(self) -> Iterator[Mark | Sound]:
        return self._work

    def _say(self, system: SpeechSystem, choose: Choose, stream: DecodeStream) -> Iterator[Mark | Sound]:
        chat, vocabulary = system.chat, system.vocabulary
        prompt = chat.encode(text_to_speech(self.text), add_generation_prompt=True).input_ids
        room = system.model.config.max_position_embeddings - len(prompt)
        events = generate(
            system.model,
            prompt,
            self.mode,
            max_new_tokens=max(1, min(system.max_new_tokens, room)),
            choose=choose,
            vocabulary=vocabulary,
            constrained=True,
        )
        clock, letters, codes = 0.0, [], []
        while True:
            event, spent = _next(events)
            clock += spent
            if event is None:
                break
            text = ""
            if vocabulary.is_text(event.id):
                letters.append(event.id)
                if not (read := system.tokenizer.decode(letters)).endswith(REPLACEMENT):
                    text, letters = read, []
            self.marks.append(Mark(event.id, event.modality, event.module, clock, text))
            yield self.marks[-1]
            if event.modality is Content.AUDIO:
                codes.append(vocabulary.audio_code(event.id))
            if len(codes) == FIRST_CHUNK:
                yield from self._decode(stream, codes, clock)
                codes = []
        if codes:
            yield from self._decode(stream, codes, clock)
        if any(mark.content is Content.AUDIO for mark in self.marks):
            yield from self._decode(stream, None, clock)

    def _decode(
        self, stream: DecodeStream, codes: Sequence[int] | None, clock: float
    ) -> Iterator[Mark | Sound]:
        begun = time.perf_counter()
        samples = stream.finish() if codes is None else stream.push(codes)
        if len(samples):
            self.sounds.append(Sound(samples, clock, time.perf_counter() - begun))
            yield self.sounds[-1]

    @property
    def audio_tokens(self) -> int:
        """Audio tokens so far, tags not counted."""
        return sum(mark.content is Content.AUDIO for mark in self.marks)

    @property
    def text_tokens(self) -> int:
        """Text tokens so far, the end of the turn not counted."""
        return sum(mark.content is Content.TEXT for mark in self.marks) - self.ended

    @property
    def ended(self) -> bool:
        """Whether the model has closed its turn."""
        return bool(self.marks) and self.marks[-1].id in self._end_of_turn

    @property
    def written(self) -> str:
        """The text so far."""
        return "".join(mark.text for mark in self.marks).strip()

    @property
    def waveform(self) -> torch.Tensor:
        """``(samples,)`` all sound so far."""
        return torch.cat([sound.samples for sound in self.sounds] or [torch.zeros(0)])

    @property
    def seconds(self) -> float:
        """Of the model's work so far."""
        return self.marks[-1].seconds if self.marks else 0.0

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens of all kinds; None before the first."""
        return len(self.marks) / self.seconds if self.seconds else None

    @property
    def first_audio(self) -> Mark | None:
        """The token that completed the first chunk of audio to be decoded; None if there is none yet."""
        places = count(1)
        audio = (mark for mark in self.marks if mark.content is Content.AUDIO and next(places) == FIRST_CHUNK)
        return next(audio, None)

    @property
    def first_audio_passes(self) -> int | None:
        """Backbone passes behind that chunk, prefill included; None if there is none yet."""
        last = self.first_audio
        return None if last is None else self.passes(self.marks.index(last) + 1)

    @property
    def first_sound(self) -> float | None:
        """Seconds until something can be heard: tokens and decoding; None if nothing can yet."""
        return self.sounds[0].tokens_at + self.sounds[0].decoding if self.sounds else None

    def passes(self, tokens: int | None = None) -> int:
        """Backbone passes behind so many of the tokens, all of them unless given."""
        return sum(mark.module is None for mark in self.marks[:tokens])


def _next(events: Iterator[Event]) -> tuple[Event | None, float]:
    """The next event, and the seconds it took."""
    begun = time.perf_counter()
    event = next(events, None)
    return event, time.perf_counter() - begun
