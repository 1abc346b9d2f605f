"""The toy speech corpus: sentences spoken once, kept in the cache, handed out with true word and phoneme times.

    >>> corpus = generate(CorpusSpec(sentences=14_000, seed=0))      # minutes once, then at once from the cache
    >>> utterance = corpus[0]
    >>> utterance.text, utterance.language, utterance.kind, utterance.split
    >>> utterance.waveform, utterance.sample_rate                    # (samples,) float32, 16000
    >>> utterance.words[0].start, utterance.phonemes[1].symbol       # seconds; symbols of `phoneme_inventory`
    >>> corpus.indices(language="en", split="train", kind=("plain", "homograph"))
    >>> first, second = corpus.probes("cmn")[0]                      # a held-out minimal pair

On the command line: ``python -m labkit.data --sentences 14000 --seed 0 --prosody varied``.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import json
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.data.espeak import SAMPLE_RATE, Phoneme, Word
from labkit.data.phonemes import LANGUAGES, check_language
from labkit.data.plan import CorpusSpec
from labkit.data.sentences import KINDS, SPLITS, Homograph, Sentence, check_split
from labkit.data.speaking import replace_bytes, speak_parts
from labkit.paths import cache_folder

AUDIO, INDEX = "audio.i16", "index.jsonl"

__all__ = ["Corpus", "CorpusSpec", "Utterance", "corpus_key", "generate"]


@dataclass(frozen=True)
class Utterance:
    """A sentence as it was said. Times are in seconds; phonemes cover the waveform without gaps.

    index: its place in the corpus.
    partner: the index of its minimal pair, of a question's answer or of an answer's question; None for the others.
    """

    index: int
    sentence: Sentence
    voice: str
    words: tuple[Word, ...]
    phonemes: tuple[Phoneme, ...]
    partner: int | None
    pcm: np.ndarray
    sample_rate: int = SAMPLE_RATE

    @property
    def waveform(self) -> np.ndarray:
        """(samples,) float32 in [-1, 1]."""
        return self.pcm.astype(np.float32) / 32768

    @property
    def seconds(self) -> float:
        return len(self.pcm) / self.sample_rate

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


@dataclass(frozen=True, slots=True)
class _Head:
    """What utterances are chosen by."""

    language: str
    split: str
    kind: str
    partner: int | None
    sense: bool


def _head(line: str) -> _Head:
    record = json.loads(line)
    sense = bool(record["homograph"] and record["homograph"]["sense"])
    return _Head(record["language"], record["split"], record["kind"], record["partner"], sense)


class Corpus(Sequence[Utterance]):
    """Utterances in a folder: ``audio.i16``, one after the other, and ``index.jsonl``, a line for each."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._lines = (self.folder / INDEX).read_text(encoding="utf-8").splitlines()
        self._heads = [_head(line) for line in self._lines]  # all records at once would take 200 MB
        audio = self.folder / AUDIO
        self._audio = np.memmap(audio, np.int16, "r") if audio.stat().st_size else np.zeros(0, np.int16)

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, index: int) -> Utterance:
        index = range(len(self))[operator.index(index)]
        record = json.loads(self._lines[index])
        pcm = self._audio[record["offset"] : record["offset"] + record["samples"]]
        sentence, phonemes = _sentence(record), _phonemes(record)
        spans: dict[int, list[Phoneme]] = {}
        for phoneme in phonemes:
            spans.setdefault(phoneme.word, []).append(phoneme)
        words = tuple(
            Word(text, spans[i][0].start, spans[i][-1].end) for i, text in enumerate(sentence.words)
        )
        return Utterance(index, sentence, record["voice"], words, phonemes, record["partner"], pcm)

    def indices(
        self,
        *,
        language: str | None = None,
        split: str | None = None,
        kind: str | Sequence[str] | None = None,
    ) -> list[int]:
        """Indices of the utterances of a language, of a split, of one kind or several.

        Raises ValueError for a language, split or kind that does not exist.
        """
        languages = LANGUAGES if language is None else (check_language(language),)
        splits = SPLITS if split is None else (check_split(split),)
        kinds = KINDS if kind is None else (kind,) if isinstance(kind, str) else tuple(kind)
        if unknown := set(kinds) - set(KINDS):
            raise ValueError(f"unknown kind {unknown.pop()!r}: choose from {', '.join(KINDS)}")
        return [
            index
            for index, head in enumerate(self._heads)
            if head.language in languages and head.split in splits and head.kind in kinds
        ]

    def probes(self, language: str, *, sense: bool = False) -> list[tuple[Utterance, Utterance]]:
        """Held-out minimal pairs, (first reading, second reading), equal but for the deciding word.

        With `sense`, those that go on in the sense of the reading instead, so that their endings differ too.
        """
        firsts = [
            index
            for index in self.indices(language=language, split="test", kind="homograph")
            if self._heads[index].partner == index + 1 and self._heads[index].sense == sense
        ]
        return [(self[index], self[index + 1]) for index in firsts]

    @property
    def seconds(self) -> float:
        return len(self._audio) / SAMPLE_RATE


def generate(spec: CorpusSpec | None = None, *, workers: int = 2, progress: bool = True) -> Corpus:
    """The corpus of that spec, from the cache if it is there; an interrupted generation goes on where it stopped.

    Args:
        spec: what to generate; None for `CorpusSpec()`.
        workers: processes that speak at the same time; their number changes nothing but the time.

    Raises:
        OSError: the cache folder cannot be written.
    """
    spec = spec or CorpusSpec()
    folder = cache_folder("corpus", corpus_key(spec))
    if not (folder / INDEX).exists():
        parts = speak_parts(spec, folder, workers=workers, progress=progress)
        try:
            _join(folder, parts)
        except FileNotFoundError:
            if not (folder / INDEX).exists():  # unless another process joined these parts first
                raise
    return Corpus(folder)


_SPEAKING = (
    "beat", "coverage", "espeak", "grammar", "homographs", "phonemes", "pinyin", "plain", "plan", "prosody",
    "questions", "sentences", "speaking",
)  # fmt: skip
"""The modules on which the bytes depend."""


@functools.cache
def _version() -> str:
    """A digest of grammars and code without its prose, so that changed rules never meet an old corpus."""
    package = Path(__file__).parent
    parts = [path.read_text(encoding="utf-8") for path in sorted(package.glob("grammars/*.toml"))]
    for module in _SPEAKING:
        tree = ast.parse((package / f"{module}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(getattr(node, "body", None), list):
                node.body = [line for line in node.body if not _is_prose(line)]
        parts.append(ast.dump(tree))
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _is_prose(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def corpus_key(spec: CorpusSpec) -> str:
    """The corpus folder's name: equal keys, equal bytes."""
    text = json.dumps(dataclasses.asdict(spec), sort_keys=True) + _version()
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _join(folder: Path, parts: int) -> None:
    """All parts into audio.i16 and index.jsonl, whose presence says that the corpus is whole."""
    offset, lines = 0, []
    unfinished = folder / f"{AUDIO}.{os.getpid()}"
    with unfinished.open("wb") as audio:
        for part in range(parts):
            audio.write((folder / f"part-{part:05d}.i16").read_bytes())
            for line in (folder / f"part-{part:05d}.jsonl").read_text(encoding="utf-8").splitlines():
                record = json.loads(line) | {"offset": offset}
                offset += record["samples"]
                lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    unfinished.replace(folder / AUDIO)
    replace_bytes(folder / INDEX, "".join(lines).encode())
    for path in folder.glob("part-*"):
        path.unlink(missing_ok=True)


def _sentence(record: dict) -> Sentence:
    homograph = record["homograph"]
    if homograph:
        tuples = {name: tuple(homograph[name]) for name in ("deciding", "sense", "partner")}
        homograph = Homograph(**homograph | tuples)
    return Sentence(
        record["language"],
        record["kind"],
        tuple(record["words"]),
        tuple(record["readings"]),
        record["split"],
        record["combination"],
        homograph,
        record["fact"],
    )


def _phonemes(record: dict) -> tuple[Phoneme, ...]:
    rows = record["phonemes"]
    ends = [row[1] for row in rows[1:]] + [record["samples"]]
    return tuple(
        Phoneme(symbol, start / SAMPLE_RATE, end / SAMPLE_RATE, stress, word)
        for (symbol, start, stress, word), end in zip(rows, ends, strict=True)
    )
