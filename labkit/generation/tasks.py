"""What the release can be asked for, prompted as the release prompts it, answered as a stream of text and sound.

    assistant = load_release()                                  # labkit.generation.release
    for piece in assistant.speech_to_speech((waveform, 16000), "boost"):
        ...                                                     # TextPiece or Sound, as soon as it is complete

An `Assistant` is a model with the tokenizer and the codec that it was trained with; the toy's parts make one as well.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedTokenizerBase

from labkit.audio.codec import STREAMING_STEPS, Codec, ContinuousEncoder
from labkit.generation.generate import Generation, generate
from labkit.generation.matching import check_match
from labkit.generation.sampling import Choose, greedy
from labkit.generation.streaming import AudioChunk, TextPiece, stream
from labkit.interleave import VANILLA, InterleaveMode
from labkit.model import SpeechLM
from labkit.model.plus import prompt_embeds
from labkit.vocabulary import AudioContext, Chat, EncodedChat, Vocabulary
from labkit.vocabulary.prompts import (
    Messages,
    speech_recognition,
    speech_to_speech,
    text_only,
    text_to_speech,
)

Speech = tuple[object, int]
"""A waveform, as codecs take it, and its sample rate in Hz."""


@dataclass(frozen=True)
class Sound:
    """Speech that can be played now.

    Attributes:
        samples: `(samples,)` at the codec's sample rate.
        codes: the audio tokens that completed it; none where it is the rest of the last ones.
        seconds: since the prompt was given, its encoding included; those of a `TextPiece` begin after it.
        decoding: of them, what the codec took for this piece.
    """

    samples: torch.Tensor
    codes: tuple[int, ...]
    seconds: float
    decoding: float


@dataclass
class Reply:
    """A reply under way: iterate over it for its pieces.

    Attributes:
        prompt: as it was encoded.
        generation: the stream of events underneath; its report counts the work.
        encoding: seconds that the prompt's speech took to encode.
        text: written so far.
        codes: spoken so far, as codebook entries.
        sounds: spoken so far.
    """

    prompt: EncodedChat
    generation: Generation
    encoding: float
    _pieces: Iterator[TextPiece | Sound]
    text: str = ""
    codes: list[int] = field(default_factory=list)
    sounds: list[Sound] = field(default_factory=list)

    def __iter__(self) -> Iterator[TextPiece | Sound]:
        for piece in self._pieces:
            if isinstance(piece, TextPiece):
                self.text += piece.text
            else:
                self.sounds.append(piece)
                self.codes += piece.codes
            yield piece

    def finish(self) -> "Reply":
        """Run to the end."""
        for _ in self:
            pass
        return self

    @property
    def waveform(self) -> torch.Tensor:
        """All samples so far, `(samples,)`."""
        return torch.cat([sound.samples for sound in self.sounds]) if self.sounds else torch.zeros(0)


@dataclass(frozen=True)
class Assistant:
    """A model with what it reads, speaks and hears with.

    Args:
        model: backbone and chain.
        tokenizer: holds the model's id space.
        codec: whose tokens the audio tokens are.
        ears: of VITA-Audio-Plus; what it hears is then continuous, and never the codec's tokens.

    Raises:
        ValueError: they do not belong together; the message says which.
    """

    model: SpeechLM
    tokenizer: PreTrainedTokenizerBase
    codec: Codec
    ears: ContinuousEncoder | None = None

    def __post_init__(self) -> None:
        vocabulary = self.vocabulary
        check_match(self.model, vocabulary, self.codec)
        if (vocabulary.context_of_audio is None) != (self.ears is None):
            raise ValueError(
                "a tokenizer with <|context_of_audio|> is VITA-Audio-Plus's and needs its ears, one without is not and "
                "has none; give tokenizer and model from the same folder"
            )
        if self.ears is not None and self.ears.width != self.model.config.hidden_size:
            raise ValueError(
                f"the ears give rows of {self.ears.width}, the model takes {self.model.config.hidden_size}"
            )

    @property
    def vocabulary(self) -> Vocabulary:
        """What the ids mean."""
        return Vocabulary.from_tokenizer(self.tokenizer)

    def speech_to_speech(
        self,
        question: Speech,
        mode: InterleaveMode | str = "boost",
        *,
        voice: Speech | None = None,
        **options: object,
    ) -> Reply:
        """Answer a spoken question in text and speech, as Luke or in the `voice` of a recording."""
        audios = [question] if voice is None else [voice, question]
        return self.reply(speech_to_speech(voice=voice is not None), audios, mode, **options)

    def transcribe(self, speech: Speech, mode: InterleaveMode | str = VANILLA, **options: object) -> Reply:
        """Write down what is said (ASR)."""
        return self.reply(speech_recognition(), [speech], mode, **options)

    def say(
        self,
        text: str,
        mode: InterleaveMode | str = "boost",
        *,
        voice: Speech | None = None,
        **options: object,
    ) -> Reply:
        """Speak a text (TTS), in the `voice` of a recording where one is given."""
        messages = text_to_speech(text, voice=voice is not None)
        return self.reply(messages, [] if voice is None else [voice], mode, **options)

    def answer(self, question: str, mode: InterleaveMode | str = VANILLA, **options: object) -> Reply:
        """Answer a written question in writing."""
        return self.reply(text_only(question), [], mode, **options)

    def prompt(
        self, messages: Messages, audios: Sequence[Speech] = ()
    ) -> tuple[EncodedChat, torch.Tensor | None]:
        """Ids of a prompt and, where the model hears continuously, the embeddings `(tokens, hidden)` to use instead.

        Raises:
            AudioInputError: something given as audio is none.
            ChatError: messages and audios do not match.
        """
        chat = Chat(self.tokenizer)
        if self.ears is None:
            codes = [self.codec.encode(*speech).tolist() for speech in audios]
            return chat.encode(messages, codes, add_generation_prompt=True), None
        rows = [self.ears.encode(*speech) for speech in audios]
        encoded = chat.encode(
            messages, [AudioContext(len(each)) for each in rows], add_generation_prompt=True
        )
        return encoded, prompt_embeds(self.model, encoded, rows) if rows else None

    def reply(
        self,
        messages: Messages,
        audios: Sequence[Speech] = (),
        mode: InterleaveMode | str = VANILLA,
        *,
        max_new_tokens: int | None = None,
        choose: Choose = greedy,
        constrained: bool = False,
        steps: int | Sequence[int] = STREAMING_STEPS,
        every: int | None = None,
        seed: int = 0,
    ) -> Reply:
        """Reply to any conversation; the speech given is encoded at once, the reply made as it is iterated over.

        Args:
            messages: with one ``<|audio|>`` for each of `audios`, in order.
            audios: the speech in them.
            mode: who makes which token.
            max_new_tokens: unless given, as of `labkit.generation.generate`.
            choose: among the likeliest tokens; the release samples when it speaks a text (``Sampler``) and is greedy
                otherwise.
            constrained: score only the tokens that can stand in each slot.
            steps: Euler steps of the codec's first, second, ... and later chunks.
            every: decode after so many audio tokens, without waiting for the tag that ends their chunk.
            seed: of the codec.
        """
        begun = time.perf_counter()
        prompt, embeds = self.prompt(messages, audios)
        encoding = time.perf_counter() - begun
        generation = generate(
            self.model,
            prompt.input_ids,
            mode,
            max_new_tokens=max_new_tokens,
            choose=choose,
            vocabulary=self.vocabulary,
            constrained=constrained,
            prompt_embeds=None if embeds is None else [embeds],
        )
        pieces = stream(generation, self.vocabulary, self.tokenizer.decode, every)
        return Reply(prompt, generation, encoding, self._speak(pieces, steps, seed, begun))

    def _speak(
        self,
        pieces: Iterator[TextPiece | AudioChunk],
        steps: int | Sequence[int],
        seed: int,
        begun: float,
    ) -> Iterator[TextPiece | Sound]:
        speech = self.codec.stream(steps, seed=seed)

        def sound(make: object, codes: tuple[int, ...]) -> Sound:
            start = time.perf_counter()
            samples = make()
            now = time.perf_counter()
            return Sound(samples, codes, now - begun, now - start)

        spoken = False
        for piece in pieces:
            if isinstance(piece, TextPiece):
                yield piece
            else:
                spoken = True
                yield sound(lambda codes=piece.codes: speech.push(codes), piece.codes)
        if spoken:
            yield sound(speech.finish, ())
