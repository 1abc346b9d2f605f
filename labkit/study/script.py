"""An utterance as a model reads and says it, with the role of every position: what the experiments point at.

The sentence stands in a script twice: in the prompt, to be read, and in the answer, where it is woven with its audio.
True audio tokens come with true word times, so each of them is known to sound this word or that one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from labkit.data.corpus import Utterance
from labkit.data.sentences import join_words
from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import InterleaveMode, interleave
from labkit.vocabulary.prompts import text_to_speech

Span = tuple[int, ...]
"""Positions of a word's tokens, in order."""


@dataclass(frozen=True)
class Script:
    """One utterance as token ids, the prompt and the whole answer, its end of turn included.

    Attributes:
        utterance: whose audio tokens these are.
        words: the words of the text, the utterance's own unless others were put in their place.
        ids: of all tokens.
        prompt: number of tokens before the answer.
        asked: for each word, where its tokens stand in the prompt.
        written: for each word, where its tokens stand in the answer.
        audio: where the audio tokens stand, in order of time. The row that *predicts* one stands one to the left.
        sounding: for each audio token, the index of the word that sounds in its middle; None in silence.
        token_rate: audio tokens per second.
    """

    utterance: Utterance
    words: tuple[str, ...]
    ids: tuple[int, ...]
    prompt: int
    asked: tuple[Span, ...]
    written: tuple[Span, ...]
    audio: tuple[int, ...]
    sounding: tuple[int | None, ...]
    token_rate: float

    @property
    def text(self) -> tuple[int, ...]:
        """Positions of all tokens of words, in the prompt and in the answer."""
        return tuple(position for word in range(len(self.words)) for position in self.of_word(word))

    def of_word(self, word: int) -> tuple[int, ...]:
        """Positions of a word's tokens, in the prompt and in the answer."""
        return (*self.asked[word], *self.written[word])

    def audio_of(self, word: int) -> range:
        """Audio tokens, by place in `audio`, from the one in which a word of the utterance begins to its last."""
        times = self.utterance.words[word]
        first = min(int(times.start * self.token_rate), len(self.audio) - 1)
        # A word that ends in the first half of a token hardly sounds in it.
        return range(first, max(first + 1, min(round(times.end * self.token_rate), len(self.audio))))


def script(
    system: SpeechSystem,
    utterance: Utterance,
    mode: InterleaveMode,
    *,
    words: Sequence[str] | None = None,
    codes: Sequence[int] | None = None,
) -> Script:
    """Lay an utterance out as a TTS prompt and its true answer.

    Args:
        system: whose tokenizer and codec to use.
        utterance: what is said.
        mode: how text and audio take turns.
        words: another text in place of the utterance's, as many words; its audio stays as it is. So a word can be
            swapped before the text is read.
        codes: the utterance's audio tokens, where they are known already.

    Raises:
        ValueError: another number of words, or a tokenizer whose tokens reach across two words.
    """
    words = tuple(utterance.sentence.words if words is None else words)
    if len(words) != len(utterance.words):
        raise ValueError(
            f"the utterance has {len(utterance.words)} words, the text {len(words)}: {' '.join(words)}"
        )
    vocabulary = system.vocabulary
    prompt, asked = text_prompt(system, words, utterance.language)
    audio = vocabulary.audio_ids(system.codes(utterance) if codes is None else codes)
    ids, spans = _tokens(system, join_words(words, utterance.language), words, utterance.language)
    answer = interleave(ids, audio, mode, vocabulary)
    places = [place for place, token in enumerate(answer) if vocabulary.is_text(token)]
    sound = [place for place, token in enumerate(answer) if vocabulary.is_audio(token)]
    return Script(
        utterance=utterance,
        words=words,
        ids=(*prompt, *answer, vocabulary.im_end),
        prompt=len(prompt),
        asked=asked,
        written=tuple(tuple(len(prompt) + places[token] for token in span) for span in spans),
        audio=tuple(len(prompt) + place for place in sound),
        sounding=_sounding(utterance, len(audio), system.codec.token_rate),
        token_rate=system.codec.token_rate,
    )


def text_prompt(
    system: SpeechSystem, words: Sequence[str], language: str
) -> tuple[tuple[int, ...], tuple[Span, ...]]:
    """The TTS prompt that asks for a text, and where the tokens of each of its words stand in it.

    Raises:
        ValueError: a tokenizer whose tokens reach across two words.
    """
    text = join_words(words, language)
    messages = text_to_speech(text)
    prompt = tuple(system.chat.encode(messages, add_generation_prompt=True).input_ids)
    # The user's turn is tokenized in one piece, its role before it.
    before = "user\n" + messages[-1]["content"].removesuffix(text)
    ids, spans = _tokens(system, text, words, language, before)
    turn = tuple(ids)
    starts = [
        start for start in range(len(prompt) - len(ids) + 1) if prompt[start : start + len(ids)] == turn
    ]
    return prompt, tuple(tuple(starts[-1] + token for token in span) for span in spans)


def _tokens(
    system: SpeechSystem, text: str, words: Sequence[str], language: str, before: str = ""
) -> tuple[list[int], list[Span]]:
    """Ids of `before + text`, and which of them each word of the text has."""
    encoded = system.tokenizer(before + text, add_special_tokens=False, return_offsets_mapping=True)
    gap = len(join_words(("", ""), language))
    ends = [len(before) + end - gap for end in accumulate(len(word) + gap for word in words)]
    spans: list[list[int]] = [[] for _ in words]
    for token, (start, stop) in enumerate(encoded["offset_mapping"]):
        # A token with the space before its word begins at that space, so words are told by where tokens end.
        if stop <= len(before):
            continue
        word = next(word for word, end in enumerate(ends) if stop <= end)
        if start < len(before) or (word and start < ends[word - 1]):
            raise ValueError(
                f"the token {(before + text)[start:stop]!r} reaches across two words of {text!r}; an experiment on "
                "single words needs a tokenizer that keeps them apart"
            )
        spans[word].append(token)
    return list(encoded["input_ids"]), [tuple(span) for span in spans]


def _sounding(utterance: Utterance, tokens: int, rate: float) -> tuple[int | None, ...]:
    """The word in the middle of each of so many audio tokens."""
    spoken = [(word.start, word.end) for word in utterance.words]
    return tuple(
        next((word for word, (start, end) in enumerate(spoken) if start <= middle < end), None)
        for middle in ((token + 0.5) / rate for token in range(tokens))
    )
