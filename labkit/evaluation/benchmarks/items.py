"""What a benchmark asks: a prompt with its speech, and what a right answer is held to."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import soundfile
import torch

from labkit.audio.io import AudioInputError, as_mono, load_audio
from labkit.vocabulary.prompts import Messages, speech_recognition, speech_to_speech, text_to_speech

ASR, TTS, QA = TASKS = ("asr", "tts", "qa")
"""Speech recognition (Tables 6 and 7), text to speech (Table 5), spoken question answering (Table 4)."""


@dataclass(frozen=True)
class Clip:
    """Speech that is read only when somebody listens to it: benchmarks are larger than memory.

    Attributes:
        name: what errors call it, its path where it is a file.
        source: the file, or what gives the bytes of one.
        begin, end: in seconds, of a piece of a long recording.
    """

    name: str
    source: Path | Callable[[], bytes]
    begin: float | None = None
    end: float | None = None

    @classmethod
    def of(cls, path: Path, begin: float | None = None, end: float | None = None) -> Clip:
        """A file, or a piece of it."""
        return cls(str(path), path, begin, end)

    def load(self, sample_rate: int) -> torch.Tensor:
        """Mono waveform `(samples,)` at `sample_rate` Hz.

        Raises:
            AudioInputError: the file is missing, is not audio or holds none, at the place asked for.
        """
        if isinstance(self.source, Path) and self.begin is None:
            return load_audio(self.source, sample_rate)
        if isinstance(self.source, Path):
            if not self.source.is_file():
                raise AudioInputError(f"there is no audio file at {self.name}")
            file: Path | io.BytesIO = self.source
        else:
            file = io.BytesIO(self.source())
        try:
            with soundfile.SoundFile(file) as sound:
                begin = round((self.begin or 0.0) * sound.samplerate)
                end = sound.frames if self.end is None else round(self.end * sound.samplerate)
                sound.seek(min(begin, sound.frames))
                samples = sound.read(max(0, end - begin), dtype="float32", always_2d=True)
                rate = sound.samplerate
        except soundfile.LibsndfileError as error:
            raise AudioInputError(
                f"{self.name} is not audio that libsndfile can read ({error.error_string}); "
                "fetch it again, or convert it to WAV, FLAC, Ogg or MP3"
            ) from error
        if not len(samples):
            place = "" if self.begin is None else f" between {self.begin} s and {self.end} s"
            raise AudioInputError(f"{self.name} holds no samples{place}")
        return as_mono(samples, rate, sample_rate)


@dataclass(frozen=True)
class Item:
    """One thing that a benchmark asks.

    Attributes:
        name: the benchmark's own name for it, unique within its split.
        language: of the answer, "en" or "cmn".
        task: one of `TASKS`.
        messages: the prompt, in the paper's words.
        clips: an audio for each ``<|audio|>`` of the prompt, in order.
        references: the transcript, the text to say, or all answers that count as right.
        spoken: a person saying the text, where the benchmark has it: the judge's ceiling.
        voice: a person saying something else, for models that are to speak in their voice.
    """

    name: str
    language: str
    task: str
    messages: Messages
    clips: tuple[Clip, ...]
    references: tuple[str, ...]
    spoken: Clip | None = None
    voice: Clip | None = None

    def in_voice(self) -> Item:
        """The same text, asked for in its `voice`, where it has one, with the release's prompt for that."""
        if self.task != TTS or self.voice is None:
            return self
        return replace(
            self, messages=text_to_speech(self.references[0], voice=True), clips=(self.voice, *self.clips)
        )


def to_write(name: str, language: str, clip: Clip, transcript: str) -> Item:
    """Speech to be written down, with the paper's prompt for ASR (section 4.3)."""
    return Item(name, language, ASR, speech_recognition(), (clip,), (transcript,))


def to_say(
    name: str, language: str, text: str, spoken: Clip | None = None, voice: Clip | None = None
) -> Item:
    """A text to be spoken, with the paper's prompt for TTS (section 4.3), which asks for no particular voice."""
    return Item(name, language, TTS, text_to_speech(text), (), (text,), spoken, voice)


def to_answer(name: str, language: str, clip: Clip, answers: tuple[str, ...]) -> Item:
    """A spoken question, with the release's prompt for speech to speech."""
    return Item(name, language, QA, speech_to_speech(), (clip,), answers)
