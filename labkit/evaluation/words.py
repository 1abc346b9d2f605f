"""The word judge: pocketsphinx, a recogniser that is not ours, listening for the corpus' English words.

Its acoustic model was trained on people, its dictionary is CMU's; from this project it gets only a small language
model of the words that may occur. That makes it a truly independent second opinion on English.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pocketsphinx import Decoder, get_model_path

from labkit.audio.io import as_mono
from labkit.data.lexicon import vocabulary_words
from labkit.data.texts import text_sentences
from labkit.evaluation.language_model import write_bigram_model
from labkit.paths import cache_folder

SAMPLE_RATE = 16_000
TEXTS = 30_000
_QUIET = np.zeros(SAMPLE_RATE // 4, dtype=np.int16)


@dataclass(frozen=True)
class HeardWords:
    """What was heard.

    Attributes:
        words: the words in order, lower case.
        pronunciations: for each word, the ARPAbet that was heard.
    """

    words: tuple[str, ...]
    pronunciations: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def pronunciation(self, word: str) -> str | None:
        """The ARPAbet heard for `word`, the first time it occurs; None if it was not heard at all."""
        return dict(zip(reversed(self.words), reversed(self.pronunciations), strict=True)).get(word)


class WordJudge:
    """Pocketsphinx with a bigram model of given sentences.

    Args:
        dictionary: ARPAbet pronunciations of every word, the first being number 0.
        sentences: example sentences, each a sequence of words of the dictionary.
        folder: where the model files are written (a cache folder).
    """

    def __init__(
        self, dictionary: Mapping[str, Sequence[str]], sentences: Iterable[Sequence[str]], folder: Path
    ) -> None:
        self._dictionary = dictionary
        words = write_bigram_model(sentences, folder / "words.arpa")
        missing = sorted(words - dictionary.keys())
        if missing:
            raise ValueError(f"no pronunciation for {', '.join(missing[:5])}; add them to the dictionary")
        lines = [
            f"{word if number == 0 else f'{word}({number + 1})'} {sounds}"
            for word in sorted(words)
            for number, sounds in enumerate(dictionary[word])
        ]
        (folder / "words.dict").write_text("\n".join(lines) + "\n", encoding="utf-8")
        # Wide beams, many Gaussians in every frame and a cepstral mean taken over the whole utterance: with the
        # defaults, made for live microphones, the word error on clean espeak speech is several times higher. The
        # language model's weights were chosen on validation sentences.
        self._decoder = Decoder(
            hmm=get_model_path("en-us/en-us"),
            lm=str(folder / "words.arpa"),
            dict=str(folder / "words.dict"),
            beam=1e-80,
            wbeam=1e-60,
            topn=16,
            ds=1,
            lw=10.0,
            fwdflatlw=10.0,
            bestpathlw=12.0,
            cmn="batch",
            loglevel="FATAL",
        )

    def hear(self, waveform: object, sample_rate: int) -> HeardWords:
        """Transcribe one utterance.

        Raises:
            AudioInputError: if the waveform is empty or no audio.
        """
        samples = as_mono(waveform, sample_rate, SAMPLE_RATE).numpy()
        pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)
        self._decoder.start_utt()
        self._decoder.process_raw(np.concatenate([_QUIET, pcm, _QUIET]).tobytes(), full_utt=True)
        self._decoder.end_utt()
        words, pronunciations = [], []
        for segment in self._decoder.seg() or ():
            word, _, number = segment.word.rstrip(")").partition("(")
            if not word.startswith(("<", "[", "+")):
                words.append(word)
                pronunciations.append(self._dictionary[word][int(number) - 1 if number else 0])
        return HeardWords(tuple(words), tuple(pronunciations))


@functools.cache
def english_word_judge() -> WordJudge:
    """The judge of the toy speech world's English, its language model made from freshly drawn text.

    The text comes from the training split's grammar, so no sentence that is judged was ever in it.
    """
    sentences = [sentence.words for sentence in text_sentences("en", TEXTS)]
    return WordJudge(vocabulary_words("en"), sentences, cache_folder("word-judge"))
