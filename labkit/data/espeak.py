"""espeak-ng in-process: words in, a waveform with the true times of its words and phonemes out.

    >>> speech = Synthesizer("en").speak("The bird can sing")
    >>> speech.waveform.shape, speech.sample_rate          # (samples,), 16000
    >>> speech.words[1], speech.phonemes[:3]  # Word("bird", start, end), (Phoneme("D", ...), ...)

English words may carry their phonemes, Mandarin is spoken from pinyin, one syllable a word, because espeak-ng
does not read context: `[SpokenWord("lead", "l'Ed"), ...]`, `[SpokenWord("行", "xing2"), ...]`.
"""

from __future__ import annotations

import _ctypes
import ctypes
import functools
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import espeakng_loader
import numpy as np
import soxr

from labkit.data.phonemes import SILENCE, check_language, normalize

SAMPLE_RATE = 16_000
"""Hz of everything this module returns; espeak itself speaks at 22,050 Hz."""

VOICES = {"en": "en-us+f2", "cmn": "cmn-latn-pinyin+f2"}
"""Each language's default: an espeak voice, a plus sign, a variant (pocketsphinx hears f2 well)."""

DEFAULT_RATE = {"en": 140, "cmn": 160}  # words (Mandarin: syllables, roughly) a minute

# The vocabulary of espeak-ng's C interface that is used here.
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT = 2, 0x1, 0x8000
_UTF8, _SSML, _PHONEME_INPUT = 0x1, 0x10, 0x100
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_NOISE_SEED = 1
_END_OF_LIST, _WORD_EVENT, _PHONEME_EVENT = 0, 1, 7

_SHORTEST = 0.005  # seconds that a phoneme keeps when the next one claims its closure

# Pairs such as "of the" come as one word event; spoken from phonemes they stay two.
_FUNCTION_WORDS = {
    "a": "a#", "am": "am", "an": "an", "are": "A@", "as": "az", "at": "at", "be": "bi:", "been": "bIn",
    "but": "bVt", "by": "baI", "can": "kan", "could": "kUd", "did": "dId", "do": "du:", "does": "dVz",
    "for": "fO@", "from": "frVm", "had": "had", "has": "haz", "have": "hav", "i": "aI", "in": "In",
    "into": "Intu:", "is": "Iz", "it": "It", "of": "Vv", "on": "O2n", "or": "O@", "out": "aUt",
    "over": "oUv3", "should": "SUd", "than": "Dan", "that": "Dat", "the": "D@2", "them": "DEm",
    "then": "DEn", "there": "De@", "these": "Di:z", "they": "DeI", "this": "DIs", "to": "t@",
    "was": "wVz", "were": "w3:", "what": "wVt", "when": "wEn", "where": "we@", "which": "wItS",
    "who": "hu:", "will": "wIl", "with": "wID", "would": "wUd", "you": "ju:", "your": "jO@",
}  # fmt: skip


class SynthesisError(RuntimeError):
    """espeak-ng refused to speak, or spoke something other than what was asked."""


@dataclass(frozen=True)
class SpokenWord:
    """A word as it is to be said.

    reading: English, espeak phonemes without brackets (None: espeak's own dictionary); Mandarin, pinyin with
        its tone number (None: `text` itself is pinyin).
    rate: speed relative to the voice's rate.  pause: seconds of silence after the word.
    """

    text: str
    reading: str | None = None
    rate: float = 1.0
    pause: float = 0.0


@dataclass(frozen=True)
class Word:
    """A word that was said, from `start` to `end` in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Phoneme:
    """A phoneme that was said, from `start` to `end` in seconds.

    symbol is in `phoneme_inventory(language)`; stress is 0 none, 1 secondary, 2 primary (always 0 in
    Mandarin); word is the index of the word it belongs to, -1 for silence.
    """

    symbol: str
    start: float
    end: float
    stress: int = 0
    word: int = -1


@dataclass(frozen=True)
class Speech:
    """What was said.

    waveform: (samples,) float32 in [-1, 1], on the 16-bit grid, so that saving it as PCM16 loses nothing.
    phonemes: cover the waveform from 0 to `seconds` without gaps, silence included.
    """

    waveform: np.ndarray
    sample_rate: int
    words: tuple[Word, ...]
    phonemes: tuple[Phoneme, ...]

    @property
    def seconds(self) -> float:
        return len(self.waveform) / self.sample_rate


class Synthesizer:
    """Speaks one language with one voice; equal text and settings give equal bytes, whatever was said before.

    Args:
        language: "en" or "cmn".
        voice: espeak voice with an optional variant, such as "en-us+m3"; None takes `VOICES[language]`.
        rate: words a minute, 80 to 450.
        pitch, pitch_range: 0 to 99.
        volume: 1 to 100; above 60 some Mandarin vowels reach full scale.

    Raises ValueError for an unknown language or voice, or a setting out of range.
    """

    def __init__(
        self,
        language: str = "en",
        voice: str | None = None,
        *,
        rate: int | None = None,
        pitch: int = 50,
        pitch_range: int = 50,
        volume: int = 60,
    ) -> None:
        self.language = check_language(language)
        self.voice = check_voice(voice or VOICES[language])
        self.rate = _check_range("rate", DEFAULT_RATE[language] if rate is None else rate, 80, 450)
        self.pitch = _check_range("pitch", pitch, 0, 99)
        self.pitch_range = _check_range("pitch_range", pitch_range, 0, 99)
        self.volume = _check_range("volume", volume, 1, 100)

    def speak(
        self, words: str | Sequence[str | SpokenWord], *, lead: float = 0.0, tail: float = 0.0
    ) -> Speech:
        """Says the words (a string is split at spaces), `lead` and `tail` seconds of silence around them.

        Raises ValueError for empty text, malformed readings, negative times or absurd rates; SynthesisError if
        espeak's words do not match the ones asked for.
        """
        words = words.split() if isinstance(words, str) else words
        spoken = [w if isinstance(w, SpokenWord) else SpokenWord(w) for w in words]
        if not spoken or not all(re.search(r"\w", w.text) for w in spoken):
            raise ValueError("nothing to say: every word needs at least one letter or digit")
        if lead < 0 or tail < 0 or any(w.pause < 0 for w in spoken):
            raise ValueError("lead, tail and pauses are seconds of silence and cannot be negative")
        if not all(0.25 <= w.rate <= 4 for w in spoken):
            raise ValueError("a word's rate is relative to the voice's and must lie between 0.25 and 4")
        pcm, sample_rate, events = self._synthesize(spoken)
        waveform = np.round(soxr.resample(pcm.astype(np.float32), sample_rate, SAMPLE_RATE, quality="HQ"))
        waveform = (np.clip(waveform, -32768, 32767) / 32768).astype(np.float32)
        opening = round(lead * SAMPLE_RATE)
        length = opening + round((_last_sound(events) + tail) * SAMPLE_RATE)
        waveform = np.pad(waveform, (opening, max(0, length - opening - len(waveform))))[:length]
        lead, end = opening / SAMPLE_RATE, length / SAMPLE_RATE
        phonemes = _phonemes(events, spoken, self.language, lead=lead, end=end)
        return Speech(waveform, SAMPLE_RATE, _words(spoken, phonemes), phonemes)

    def _synthesize(self, spoken: Sequence[SpokenWord]) -> tuple[np.ndarray, int, list[_Event]]:
        markup, starts = _ssml(spoken, self.language)
        settings = {_RATE: self.rate, _VOLUME: self.volume, _PITCH: self.pitch, _RANGE: self.pitch_range}
        pcm, sample_rate, raw = _ENGINE.run(self.voice, settings, markup)
        events = list(_locate(raw, starts, sample_rate))
        silent = set(range(len(spoken))) - {event.word for event in events}
        if silent:
            names = ", ".join(spoken[i].text for i in sorted(silent))
            raise SynthesisError(
                f"espeak-ng lost the words {names}: give them phonemes, or say less at a time"
            )
        return pcm, sample_rate, events


def speak(text: str | Sequence[str | SpokenWord], language: str = "en", **settings: object) -> Speech:
    """`Synthesizer(language, **settings).speak(text)` in one call."""
    return Synthesizer(language, **settings).speak(text)


@functools.cache
def voice_variants() -> tuple[str, ...]:
    """Names that may follow the plus sign in a voice: f1 to f5, m1 to m8, croak, whisper, ..."""
    return tuple(
        sorted(path.name for path in (Path(espeakng_loader.get_data_path()) / "voices" / "!v").iterdir())
    )


# --- Text to espeak's SSML ---------------------------------------------------------------------------------


def _ssml(spoken: Sequence[SpokenWord], language: str) -> tuple[str, list[int]]:
    """The markup, and where in it (espeak counts characters from 1) each word's part begins.

    A part begins where the word before ends, since espeak sometimes places a word's event before its tag.
    """
    markup, starts = "<speak>", []
    end = len(markup)
    for word in spoken:
        starts.append(end + 1)
        if word.rate != 1.0:
            markup += f'<prosody rate="{round(100 * word.rate)}%">'
        markup += _say(word, language)
        end = len(markup)
        if word.rate != 1.0:
            markup += " </prosody>"  # espeak reads a tag aloud that touches phonemes in brackets
        markup += f' <break time="{round(1000 * word.pause)}ms"/> ' if word.pause else " "
    return markup + "</speak>", starts


def _say(word: SpokenWord, language: str) -> str:
    if language == "cmn":
        pinyin = word.reading or word.text
        if not re.fullmatch(r"[a-z]{1,6}[1-5]", pinyin):
            raise ValueError(
                f"Mandarin is spoken from pinyin with a tone number (ü is v), such as 'lv4'; got {pinyin!r}"
            )
        return pinyin
    text, punctuation = re.fullmatch(r"(.*?)([.,;:!?]*)", word.text).groups()
    reading = word.reading or _FUNCTION_WORDS.get(text.lower())
    if reading:
        if not re.fullmatch(r"[^\s\[\]<>&]+", reading):
            raise ValueError(
                f"espeak phonemes come without spaces and brackets, such as l'Ed; got {reading!r}"
            )
        return f"[[{reading}]]{punctuation}"
    return word.text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _tone(word: SpokenWord) -> int | None:
    last = (word.reading or word.text)[-1]
    return int(last) if last.isdigit() else None


# --- espeak's events to phonemes and words -----------------------------------------------------------------


@dataclass(frozen=True)
class _Event:
    """A phoneme's mnemonic, or "" where a word begins; seconds; index of the word."""

    mnemonic: str
    start: float
    word: int


def _locate(raw: Sequence[_RawTuple], starts: Sequence[int], sample_rate: int) -> Iterator[_Event]:
    word = -1
    for kind, position, sample, mnemonic in raw:
        if kind == _WORD_EVENT:
            located = (
                int(np.searchsorted(starts, position + 1, side="right")) - 1
            )  # one early after a full stop
            if located <= word:  # "42" or "it's" may come in several pieces of one word
                continue
            word, mnemonic = located, ""
        yield _Event(mnemonic, sample / sample_rate, word)


def _last_sound(events: Sequence[_Event]) -> float:
    """Seconds at which espeak's closing silence begins (it adds some 0.4 s after the last word)."""
    last = max(i for i, event in enumerate(events) if event.mnemonic and not event.mnemonic.startswith("_"))
    if last + 1 == len(events):
        raise SynthesisError("espeak-ng's events end within a word")
    return events[last + 1].start


def _phonemes(
    events: Sequence[_Event], spoken: Sequence[SpokenWord], language: str, *, lead: float, end: float
) -> tuple[Phoneme, ...]:
    """Phonemes from 0 to `end` seconds without gaps.

    A phoneme lasts until the next one. The closure before a word's first sound (espeak's `_|`, or the time
    between the word's event and its first phoneme) belongs to that sound, unless nothing would be left of the
    one before.
    """
    marks = [Phoneme(SILENCE, 0.0, 0.0)]
    closure: float | None = None
    for event in events:
        start = event.start + lead
        if event.mnemonic in ("", "_|"):
            closure = start if closure is None else closure
            continue
        word = spoken[event.word]
        try:
            symbol, stress = normalize(event.mnemonic, language, _tone(word))
        except ValueError as error:
            raise SynthesisError(f"espeak-ng cannot say {word.reading or word.text!r}: {error}") from error
        before = marks[-1]
        if symbol == SILENCE:
            if before.symbol != SILENCE:
                marks.append(Phoneme(SILENCE, start, start))
        else:
            if closure is not None and (before.symbol == SILENCE or closure - before.start > _SHORTEST):
                start = closure
            marks.append(Phoneme(symbol, start, start, stress, event.word))
        closure = None
    ends = [mark.start for mark in marks[1:]] + [end]
    lasting = (replace(mark, end=min(stop, end)) for mark, stop in zip(marks, ends, strict=True))
    return tuple(phoneme for phoneme in lasting if phoneme.end > phoneme.start)


def _words(spoken: Sequence[SpokenWord], phonemes: Sequence[Phoneme]) -> tuple[Word, ...]:
    words = []
    for index, word in enumerate(spoken):
        own = [p for p in phonemes if p.word == index]
        if not own:
            raise SynthesisError(f"espeak-ng said nothing for {word.text!r}")
        words.append(Word(word.text, own[0].start, own[-1].end))
    return tuple(words)


# --- The engine --------------------------------------------------------------------------------------------


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _RawEvent(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_RawTuple = tuple[int, int, int, str]  # event type, position in the text, sample, phoneme mnemonic
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_RawEvent)
)


class _Engine:
    """The process's one espeak-ng, loaded afresh for every utterance.

    espeak-ng keeps state in static variables (pitch flutter, a count of glottal cycles, gain control) that no
    call resets, and seeds its noise with the clock, so the same text never sounds the same twice. Unloading the
    library and loading it again resets the one, a seed of our own the other, for 3 ms an utterance.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._library: ctypes.CDLL | None = None
        self._chunks: list[bytes] = []
        self._events: list[_RawTuple] = []
        self._callback = _CALLBACK(self._receive)  # espeak keeps only the address: hold on to the object

    def run(
        self, voice: str, settings: dict[int, int], markup: str
    ) -> tuple[np.ndarray, int, list[_RawTuple]]:
        """(samples,) int16, its rate in Hz, and events as (type, text position, sample, mnemonic)."""
        with self._lock:
            library, sample_rate = self._reload()
            if library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise ValueError(f"espeak-ng has no voice {voice!r}")
            for parameter, value in settings.items():
                library.espeak_SetParameter(parameter, value, 0)
            self._chunks, self._events = [], []
            text = markup.encode()
            flags = _UTF8 | _SSML | _PHONEME_INPUT
            status = library.espeak_Synth(text, len(text) + 1, 0, 0, 0, flags, None, None)
            library.espeak_Synchronize()
            if status != 0 or not self._chunks:
                raise SynthesisError(f"espeak-ng could not speak (status {status}): {markup[:80]!r}")
            return np.frombuffer(b"".join(self._chunks), np.int16), sample_rate, self._events

    def _reload(self) -> tuple[ctypes.CDLL, int]:
        if self._library is not None:
            self._library.espeak_Terminate()
            unload = getattr(_ctypes, "dlclose", None) or _ctypes.FreeLibrary  # the latter on Windows
            unload(self._library._handle)
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        options = _PHONEME_EVENTS | _DONT_EXIT
        data_path = espeakng_loader.get_data_path().encode()
        sample_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data_path, options)
        if sample_rate <= 0:
            raise SynthesisError("espeak-ng could not start: is the espeakng-loader package complete?")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(_NOISE_SEED))
        self._library.espeak_SetSynthCallback(self._callback)
        return self._library, sample_rate

    def _receive(self, samples: object, count: int, events: object) -> int:
        if count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        index = 0
        while events[index].type != _END_OF_LIST:
            event = events[index]
            if event.type in (_WORD_EVENT, _PHONEME_EVENT):
                mnemonic = event.id.string.decode() if event.type == _PHONEME_EVENT else ""
                self._events.append((event.type, event.text_position, event.sample, mnemonic))
            index += 1
        return 0


_ENGINE = _Engine()


def check_voice(voice: str) -> str:
    """Returns `voice`; raises ValueError if it has no name or a variant that espeak does not know."""
    name, plus, variant = voice.partition("+")
    if plus and variant not in voice_variants():  # espeak ignores an unknown variant without a word
        raise ValueError(f"espeak-ng has no voice variant {variant!r}: see voice_variants()")
    if not name:
        raise ValueError(f"espeak-ng has no voice {voice!r}")
    return voice


def _check_range(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie between {low} and {high}, got {value}")
    return value
