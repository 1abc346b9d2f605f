"""The prompts of the release, as messages for `Chat.encode`."""

from labkit.vocabulary.chat import AUDIO_TAG

Messages = list[dict[str, str]]

LUKE = "Your Name: Luke\nYour Gender: male\n\nRespond in a text-audio interleaved manner."
ASR = "Convert the speech to text.\n"
TTS = "Convert the text to speech.\n"


def speech_to_speech(answer: str | None = None, voice: bool = False) -> Messages:
    """A spoken question, to be answered in text and speech; takes the question as audio.

    Args:
        answer: the answer's text, for training; its audio follows the question's.
        voice: a first audio gives the voice to answer in, instead of Luke's.
    """
    system = f"Your Voice: {AUDIO_TAG}\n" if voice else LUKE
    return [_system(system), _user(f"\n{AUDIO_TAG}"), *_spoken(answer)]


def speech_recognition(transcript: str | None = None) -> Messages:
    """Speech to be written down (ASR); takes the speech as audio.

    Args:
        transcript: the answer, for training.
    """
    return [_user(f"{ASR}{AUDIO_TAG}"), *_written(transcript)]


def text_to_speech(text: str, answer: bool = False, voice: bool = False) -> Messages:
    """Text to be spoken (TTS).

    The answer, for training, is the text and its audio: written before the audio as in the release, so that
    both are interleaved by the schedule.

    Args:
        text: what to say.
        answer: add the assistant's message, which takes the speech as audio.
        voice: a first audio gives the voice to speak in.
    """
    system = [_system(f"Your Voice: {AUDIO_TAG}\n")] if voice else []
    return [*system, _user(f"{TTS}{text}"), *_spoken(text if answer else None)]


def text_only(question: str, answer: str | None = None) -> Messages:
    """A written question. ``answer`` is what the assistant writes, for training."""
    return [_user(question), *_written(answer)]


def _system(content: str) -> dict[str, str]:
    return {"role": "system", "content": content}


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def _written(answer: str | None) -> Messages:
    return [] if answer is None else [{"role": "assistant", "content": answer}]


def _spoken(answer: str | None) -> Messages:
    return [] if answer is None else [{"role": "assistant", "content": f"{answer}{AUDIO_TAG}"}]
