"""What a corpus will hold and how each sentence will be said, before anything is spoken."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass

from labkit.data.coverage import coverage_sentence
from labkit.data.espeak import VOICES, check_voice
from labkit.data.homographs import minimal_pair, paper_pair
from labkit.data.phonemes import LANGUAGES, check_language
from labkit.data.plain import plain_sentence
from labkit.data.prosody import PROSODIES, Prosody, draw_prosody
from labkit.data.questions import question_and_answer
from labkit.data.sentences import Sentence

MIXTURE = {"homograph": 0.45, "plain": 0.15, "coverage": 0.2, "question": 0.2}
"""Share of each kind among training and validation sentences; a question brings its answer, and counts for both."""


@dataclass(frozen=True)
class CorpusSpec:
    """What to generate; equal specs give equal bytes.

    sentences: training sentences, shared by the languages.
    validation: held-out sentences for choosing among models, in each language.
    test: held-out plain and coverage sentences in each language, and as many questions with their answers.
    probes: held-out minimal pairs of homographs in each language that go on neutrally, so that the deciding word
        alone tells the reading; a quarter as many again go on in their sense.
    voices: espeak voices to choose from, as (language, voices) pairs; a language left out has its default voice.
    prosody: `varied` rates and pauses, or `even`.
    coverage: whether training and validation have sentences of random words, as the codec and the judge need, who
        must know every sound. A language model of words is the better for none, and they take longest to say.
    pairs: whether training and validation have both sentences of a homograph's minimal pair, or one drawn by chance.
        Where both are, nothing but the deciding word tells how the homograph is read.

    Raises ValueError for a negative number, an unknown language, voice variant or prosody.
    """

    sentences: int = 14_000
    seed: int = 0
    validation: int = 100
    test: int = 200
    probes: int = 300
    languages: tuple[str, ...] = LANGUAGES
    voices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    prosody: str = "varied"
    coverage: bool = True
    pairs: bool = False

    def __post_init__(self) -> None:
        for name in ("sentences", "validation", "test", "probes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} counts sentences and cannot be negative, got {getattr(self, name)}")
        if not self.languages:
            raise ValueError(f"a corpus needs a language: choose from {', '.join(LANGUAGES)}")
        for language in self.languages:
            check_language(language)
        if self.prosody not in PROSODIES:
            raise ValueError(f"unknown prosody {self.prosody!r}: choose from {', '.join(PROSODIES)}")
        for language, voices in self.voices:
            check_language(language)
            for voice in voices:
                check_voice(voice)


@dataclass(frozen=True)
class Planned:
    """A sentence, how and in which voice to say it, and the place in the plan of its minimal pair or its answer."""

    sentence: Sentence
    prosody: Prosody
    voice: str
    partner: int | None = None


class _Planner:
    """Collects planned sentences. Each has a random generator of its own, so that no number moves the others."""

    def __init__(self, spec: CorpusSpec) -> None:
        self.spec = spec
        self.voices = {language: (voice,) for language, voice in VOICES.items()} | dict(spec.voices)
        self.planned: list[Planned] = []

    def rng(self, *key: object) -> random.Random:
        return random.Random("/".join(map(str, (self.spec.seed, *key))))

    def add(self, sentence: Sentence, rng: random.Random, partner: int | None = None) -> None:
        voice = rng.choice(self.voices[sentence.language])
        prosody = draw_prosody(len(sentence.words), sentence.language, rng, self.spec.prosody)
        self.planned.append(Planned(sentence, prosody, voice, partner))

    def add_pair(self, pair: tuple[Sentence, Sentence], rng: random.Random) -> None:
        here = len(self.planned)
        self.add(pair[0], rng, here + 1)
        self.add(pair[1], rng, here)

    def add_kind(self, kind: str, language: str, split: str, number: int) -> None:
        rng = self.rng(language, split, kind, number)
        if kind == "homograph":
            pair = minimal_pair(language, split, rng, entry=number)
            if self.spec.pairs:
                self.add_pair(pair, rng)
            else:
                self.add(rng.choice(pair), rng)
        elif kind == "plain":
            self.add(plain_sentence(language, split, rng), rng)
        elif kind == "coverage":
            self.add(coverage_sentence(language, split, rng), rng)
        else:
            self.add_pair(question_and_answer(language, split, number), rng)


@functools.lru_cache(maxsize=2)
def plan(spec: CorpusSpec) -> tuple[Planned, ...]:
    """Every utterance of the corpus, in order: training, validation, test, probes."""
    planner = _Planner(spec)
    for split, count in (("train", spec.sentences // len(spec.languages)), ("validation", spec.validation)):
        for kind, share in MIXTURE.items():
            if kind == "coverage" and not spec.coverage:
                continue
            together = kind == "question" or (kind == "homograph" and spec.pairs)
            for number in range(round(share * count / (2 if together else 1))):
                for language in spec.languages:
                    planner.add_kind(kind, language, split, number)
    for language in spec.languages:
        for number in range(spec.test):
            planner.add_kind("coverage" if number % 4 == 0 else "plain", language, "test", number)
            planner.add_kind("question", language, "test", number)
        for sense_rate, count in ((0.0, spec.probes), (1.0, spec.probes // 4)):
            for number in range(count):
                rng = planner.rng(language, "probe", sense_rate, number)
                planner.add_pair(
                    minimal_pair(language, "test", rng, entry=number, sense_rate=sense_rate), rng
                )
        if language == "cmn" and spec.probes:
            planner.add_pair(paper_pair(), planner.rng("paper"))
    return tuple(planner.planned)
