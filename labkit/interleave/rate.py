"""What a second of speech costs under a schedule, once its last pairs repeat."""

from dataclasses import dataclass

from labkit.interleave.modes import TAGS_PER_CHUNK, InterleaveMode, ScheduleError

AUDIO_TOKENS_PER_SECOND = 12.5  # of the GLM-4-Voice tokenizer, and of the toy codec


@dataclass(frozen=True)
class SpeechRate:
    """Tokens and work per second of speech.

    Attributes:
        text: text tokens.
        audio: audio tokens, tags not counted.
        tags: begin_of_audio and end_of_audio tokens.
        backbone: backbone passes.
        module: MCTP module steps.
    """

    text: float
    audio: float
    tags: float
    backbone: float
    module: float

    @property
    def tokens(self) -> float:
        """All tokens."""
        return self.text + self.audio + self.tags


def speech_rate(mode: InterleaveMode, audio_tokens_per_second: float = AUDIO_TOKENS_PER_SECOND) -> SpeechRate:
    """Count what the repeating part of a schedule spends on a second of speech.

    How many tokens a second takes follows from the content; who makes them, from the makers' last pair.

    Raises:
        ScheduleError: the repeating part of the content holds no audio.
    """
    text, audio = mode.content[-1]
    spoken = audio - TAGS_PER_CHUNK
    if spoken <= 0:
        raise ScheduleError(f"{mode.name}: the repeating content {list(mode.content[-1])} holds no audio.")
    chunks = audio_tokens_per_second / spoken
    tokens = chunks * (text + audio)
    backbone, module = mode.makers[-1]
    share = backbone / (backbone + module)
    return SpeechRate(
        text=chunks * text,
        audio=audio_tokens_per_second,
        tags=chunks * TAGS_PER_CHUNK,
        backbone=tokens * share,
        module=tokens * (1 - share),
    )
