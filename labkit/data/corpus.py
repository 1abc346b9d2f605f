"""The toy speech corpus: sentences spoken once, kept in the cache, handed out with true word and phoneme times.

    >>> corpus = generate(CorpusSpec(sentences=14_000, seed=0))      # minutes once, then at once from the cache
    >>> utterance = corpus[0]
    >>> utterance.text, utterance.language, utterance.kind, utterance.split
    >>> utterance.waveform, utterance.sample_rate                    # (samples,) float32, 16000
    >>> utterance.words[0].start, utterance.phonemes[1].symbol       # seconds; symbols of `phoneme_inventory`
    >>> corpus.indices(language="en", split="train", kind=("plain", "homograph"))
    >>> first, second = corpus.probes("cmn")[0]                      # a held-out minimal pair

On the command line: ``python -m labkit.data.corpus --sentences 14000 --seed 0``.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import functools
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from labkit.data.espeak import SAMPLE_RATE, VOICES, Phoneme, SpokenWord, Synthesizer, Word
from labkit.data.phonemes import LANGUAGES, check_language
from labkit.data.prosody import Prosody, draw_prosody
from labkit.data.sampling import homograph_pair, training_sentence
from labkit.data.sentences import Homograph, Sentence
from labkit.paths import cache_folder

_PART = 250  # utterances written at a time: what an interruption can lose
_SMALL = 2 * _PART  # below this, starting workers costs more than it saves

MIXTURE = {"homograph": 0.55, "plain": 0.2, "coverage": 0.25}
"""Share of each kind among the training and validation sentences."""


@dataclass(frozen=True)
class CorpusSpec:
    """What to generate; equal specs give equal bytes.

    sentences: training sentences, shared by the languages.
    validation: held-out sentences for choosing among models, in each language.
    test: held-out plain and coverage sentences in each language.
    probes: held-out minimal pairs of homographs in each language that go on neutrally, so that only the deciding word
        tells the reading; a quarter as many again go on in their sense.
    voices: espeak voices to choose from, per language; empty takes the default one.
    """

    sentences: int = 14_000
    seed: int = 0
    validation: int = 200
    test: int = 200
    probes: int = 300
    languages: tuple[str, ...] = LANGUAGES
    voices: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        for name in ("sentences", "validation", "test", "probes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} counts sentences and cannot be negative, got {getattr(self, name)}")
        if not self.languages:
            raise ValueError(f"a corpus needs a language: choose from {', '.join(LANGUAGES)}")
        for language in (*self.languages, *(language for language, _ in self.voices)):
            check_language(language)


@dataclass(frozen=True)
class Utterance:
    """A sentence as it was said. Times are in seconds; phonemes cover the waveform without gaps.

    index: its place in the corpus.  partner: the index of its minimal pair, where that was spoken too.
    """

    index: int
    sentence: Sentence
    voice: str
    words: tuple[Word, ...]
    phonemes: tuple[Phoneme, ...]
    partner: int | None
    _audio: np.ndarray
    sample_rate: int = SAMPLE_RATE

    @property
    def waveform(self) -> np.ndarray:
        """(samples,) float32 in [-1, 1]."""
        return self._audio.astype(np.float32) / 32768

    @property
    def seconds(self) -> float:
        return len(self._audio) / self.sample_rate

    @property
    def text(self) -> str:
        return self.sentence.text

    @property
    def language(self) -> str:
        return self.sentence.language

    @property
    def kind(self) -> str:
        return self.sentence.kind

    @property
    def split(self) -> str:
        return self.sentence.split

    @property
    def homograph(self) -> Homograph | None:
        return self.sentence.homograph


class Corpus(Sequence[Utterance]):
    """Utterances in a folder: ``audio.i16``, one after the other, and ``index.jsonl``, a line for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        lines = (self.folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
        self._records = [json.loads(line) for line in lines]
        self._audio = (
            np.memmap(self.folder / "audio.i16", dtype=np.int16, mode="r") if lines else np.zeros(0, np.int16)
        )

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Utterance:
        record = self._records[index]
        audio = self._audio[record["offset"] : record["offset"] + record["samples"]]
        sentence = _sentence(record)
        phonemes = _restore(record["phonemes"], record["samples"])
        words = tuple(
            Word(text, own[0].start, own[-1].end)
            for i, text in enumerate(sentence.words)
            if (own := [p for p in phonemes if p.word == i])
        )
        return Utterance(
            index % len(self), sentence, record["voice"], words, phonemes, record["partner"], audio
        )

    def indices(
        self,
        *,
        language: str | None = None,
        split: str | None = None,
        kind: str | Sequence[str] | None = None,
    ) -> list[int]:
        """Indices of the utterances of a language, a split, one kind or several."""
        kinds = (kind,) if isinstance(kind, str) else kind
        return [
            i
            for i, record in enumerate(self._records)
            if (language is None or record["language"] == check_language(language))
            and (split is None or record["split"] == split)
            and (kinds is None or record["kind"] in kinds)
        ]

    def probes(self, language: str, *, sense: bool = False) -> list[tuple[Utterance, Utterance]]:
        """Held-out minimal pairs, first and second reading: equal but for the deciding word.

        With `sense`, those whose text goes on in the sense of the reading (there the continuations differ too).
        """
        pairs = []
        for i in self.indices(language=language, split="test", kind="homograph"):
            record = self._records[i]
            if (
                record["partner"] is not None
                and record["partner"] > i
                and bool(record["homograph"]["sense"]) == sense
            ):
                pairs.append((self[i], self[record["partner"]]))
        return pairs

    @property
    def seconds(self) -> float:
        return len(self._audio) / SAMPLE_RATE


def generate(spec: CorpusSpec | None = None, *, workers: int = 2, progress: bool = True) -> Corpus:
    """The corpus of that spec, from the cache if it is there; an interrupted generation is taken up where it stopped.

    Raises ValueError for a spec that cannot be; OSError, with the folder's name, if the cache cannot be written.
    """
    spec = spec or CorpusSpec()
    folder = cache_folder("corpus", _key(spec))
    if (folder / "index.jsonl").exists():
        return Corpus(folder)
    total = len(_plan(spec))
    parts = -(-total // _PART)
    with tqdm(total=total, desc="speaking the corpus", unit="sentence", disable=not progress) as bar:
        if workers > 1 and total > _SMALL:
            _run_workers(spec, folder, workers, parts, bar)
        else:
            for part in range(parts):
                _write_part(spec, folder, part)
                bar.update(min(_PART, total - part * _PART))
    _join(folder, parts)
    return Corpus(folder)


# --- Planning ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Planned:
    sentence: Sentence
    prosody: Prosody
    voice: str
    partner: int | None = None


@functools.lru_cache(maxsize=2)
def _plan(spec: CorpusSpec) -> list[_Planned]:
    """Every utterance of the corpus in order, before anything is spoken."""
    planned: list[_Planned] = []
    voices = dict(spec.voices)

    def rng_for(*key: object) -> random.Random:
        return random.Random("/".join(map(str, (spec.seed, *key))))

    def add(sentence: Sentence, rng: random.Random, partner: int | None = None) -> None:
        voice = rng.choice(voices.get(sentence.language) or (VOICES[sentence.language],))
        prosody = draw_prosody(len(sentence.words), sentence.language, rng)
        planned.append(_Planned(sentence, prosody, voice, partner))

    for split, count in (("train", spec.sentences // len(spec.languages)), ("validation", spec.validation)):
        for kind, share in MIXTURE.items():
            for number in range(round(share * count)):
                for language in spec.languages:
                    rng = rng_for(language, split, kind, number)
                    add(training_sentence(language, kind, split, rng, number), rng)
    for language in spec.languages:
        for number in range(spec.test):
            rng = rng_for(language, "test", number)
            add(
                training_sentence(language, "coverage" if number % 4 == 0 else "plain", "test", rng, number),
                rng,
            )
        for number, sense in [(n, 0.0) for n in range(spec.probes)] + [
            (n, 1.0) for n in range(spec.probes // 4)
        ]:
            rng = rng_for(language, "probe", sense, number)
            pair = homograph_pair(language, "test", rng, entry=number, sense_rate=sense)
            at = len(planned)
            add(pair[0], rng, partner=at + 1)
            add(pair[1], rng, partner=at)
    return planned


@functools.cache
def _code_version() -> str:
    """A digest of this package's code without comments: a changed grammar never meets an old corpus."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    return hashlib.sha256("".join(ast.dump(ast.parse(source)) for source in sources).encode()).hexdigest()


def _key(spec: CorpusSpec) -> str:
    text = json.dumps(dataclasses.asdict(spec), sort_keys=True) + _code_version()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# --- Speaking and keeping ----------------------------------------------------------------------------------


def _write_part(spec: CorpusSpec, folder: Path, part: int) -> None:
    """Speaks utterances part * _PART and following; the index appears last, and marks the part as done."""
    if (folder / f"part-{part:05d}.jsonl").exists():
        return
    plan = _plan(spec)[part * _PART : (part + 1) * _PART]
    lines, audio = [], []
    for planned in plan:
        record, samples = _speak(planned)
        lines.append(json.dumps(record, ensure_ascii=False))
        audio.append(samples)
    np.concatenate(audio).tofile(folder / f"part-{part:05d}.i16")
    unfinished = folder / f"part-{part:05d}.tmp"
    unfinished.write_text("\n".join(lines) + "\n", encoding="utf-8")
    unfinished.replace(folder / f"part-{part:05d}.jsonl")


def _speak(planned: _Planned) -> tuple[dict, np.ndarray]:
    sentence, prosody = planned.sentence, planned.prosody
    spoken = [
        SpokenWord(word, reading, rate, pause)
        for word, reading, rate, pause in zip(
            sentence.words, sentence.readings, prosody.word_rates, prosody.pauses, strict=True
        )
    ]
    synthesizer = Synthesizer(sentence.language, planned.voice, rate=prosody.rate)
    speech = synthesizer.speak(spoken, lead=prosody.lead, tail=prosody.tail)
    record = dataclasses.asdict(sentence) | {
        "voice": planned.voice,
        "partner": planned.partner,
        "samples": len(speech.waveform),
        "phonemes": [[p.symbol, round(p.start * SAMPLE_RATE), p.stress, p.word] for p in speech.phonemes],
    }
    return record, np.round(speech.waveform * 32768).astype(np.int16)


def _run_workers(spec: CorpusSpec, folder: Path, workers: int, parts: int, bar: tqdm) -> None:
    """Processes of our own rather than multiprocessing, which needs an importable main and fails in a console."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "labkit.data.corpus",
        "--parts",
        json.dumps(dataclasses.asdict(spec)),
        str(folder),
    ]
    processes = [
        subprocess.Popen(
            [*command, f"{worker}/{workers}"], env=environment, stderr=subprocess.PIPE, text=True
        )
        for worker in range(workers)
    ]
    try:
        while any(process.poll() is None for process in processes):
            time.sleep(0.2)
            done = len(list(folder.glob("part-*.jsonl")))
            bar.update(min(done * _PART, bar.total) - bar.n)
    finally:
        for process in processes:
            process.terminate()
    for process in processes:
        if process.wait() != 0:
            raise RuntimeError(f"a worker that spoke the corpus failed:\n{process.stderr.read()}")
    bar.update(bar.total - bar.n)


def _join(folder: Path, parts: int) -> None:
    """All parts into audio.i16 and index.jsonl, whose presence says that the corpus is whole."""
    offset = 0
    unfinished = folder / "index.tmp"
    with (folder / "audio.i16").open("wb") as audio, unfinished.open("w", encoding="utf-8") as index:
        for part in range(parts):
            audio.write((folder / f"part-{part:05d}.i16").read_bytes())
            for line in (folder / f"part-{part:05d}.jsonl").read_text(encoding="utf-8").splitlines():
                record = json.loads(line) | {"offset": offset}
                offset += record["samples"]
                index.write(json.dumps(record, ensure_ascii=False) + "\n")
    unfinished.replace(folder / "index.jsonl")
    for path in folder.glob("part-*"):
        path.unlink()


def _sentence(record: dict) -> Sentence:
    homograph = record["homograph"]
    if homograph:
        homograph = Homograph(**homograph | {name: tuple(homograph[name]) for name in ("sense", "partner")})
    words, readings = tuple(record["words"]), tuple(record["readings"])
    return Sentence(
        record["language"], record["kind"], words, readings, record["split"], record["combination"], homograph
    )


def _restore(rows: Sequence[Sequence], samples: int) -> tuple[Phoneme, ...]:
    ends = [row[1] for row in rows[1:]] + [samples]
    return tuple(
        Phoneme(symbol, start / SAMPLE_RATE, end / SAMPLE_RATE, stress, word)
        for (symbol, start, stress, word), end in zip(rows, ends, strict=True)
    )


# --- Command line ------------------------------------------------------------------------------------------


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m labkit.data", description="Generates the toy speech corpus."
    )
    parser.add_argument("--sentences", type=int, default=CorpusSpec.sentences, help="training sentences")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that speak at the same time")
    parser.add_argument("--parts", nargs=3, metavar=("SPEC", "FOLDER", "WORKER"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Generates, or finds, the corpus and says what is in it."""
    arguments = _arguments()
    if arguments.parts:
        settings, folder, worker = arguments.parts
        loaded = json.loads(settings)
        loaded["languages"] = tuple(loaded["languages"])
        loaded["voices"] = tuple((language, tuple(names)) for language, names in loaded["voices"])
        number, workers = map(int, worker.split("/"))
        spec = CorpusSpec(**loaded)
        for part in range(number, -(-len(_plan(spec)) // _PART), workers):
            _write_part(spec, Path(folder), part)
        return
    corpus = generate(
        CorpusSpec(sentences=arguments.sentences, seed=arguments.seed), workers=arguments.workers
    )
    print(f"{len(corpus)} utterances, {corpus.seconds / 3600:.2f} hours in {corpus.folder}")


if __name__ == "__main__":
    main()
