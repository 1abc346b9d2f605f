"""``python -m labkit.data.export FOLDER``: writes the toy corpus in the release's JSONL format, and says what is in it.

    FOLDER/audio/en/000000.flac      every utterance once
    FOLDER/clips/en/000000.flac      a few words of one
    FOLDER/train/tts-en.jsonl        a file for each split and dataset; `labkit.data.mixture.TOY_MIXTURE` names them
    FOLDER/export.json               what was exported; says "finished" once all of it lies there

tts-* holds every utterance but those of random words, which tts-coverage-* holds, and tts-long-* the longest tenth of
them once more; asr-* and asr-coverage-* hold as many as tts, or fewer to train on, and asr-clips-* short clips of them.
speech-qa-* holds spoken questions with their answers in text and speech. text-* holds sentences without speech, each
the whole message of an assistant so that all of it is learned, and questions with answers, written; text-qa-* holds
those questions alone. long-text-* holds documents, one sentence a line. repeat-* asks for words in no order to be said
again. readings-* holds sentences with a word or a pinyin after the homograph that tells its reading, every other one
asked for.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import itertools
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
from tqdm.auto import tqdm

from labkit.data.clips import cut_clip
from labkit.data.corpus import INDEX, Corpus, CorpusSpec, generate
from labkit.data.homographs import minimal_pair
from labkit.data.messages import write_samples
from labkit.data.phonemes import LANGUAGES
from labkit.data.prosody import PROSODIES
from labkit.data.questions import question_and_answer, question_cells
from labkit.data.sentences import KINDS, SPLITS, join_words
from labkit.data.speaking import replace_bytes
from labkit.data.texts import text_sentences
from labkit.paths import cache_folder
from labkit.vocabulary.prompts import (
    Messages,
    speech_recognition,
    speech_to_speech,
    text_only,
    text_to_speech,
)

FORMAT = 7  # another number for every change of what is written
MANIFEST = "export.json"
DOCUMENT_SENTENCES = (4, 12)
REPEATED_WORDS = (3, 12)
REPEAT = "Convert the text to text.\n"
READINGS = "Convert the text to readings.\n"
LONGEST = 0.1

T = TypeVar("T")

Conversations = Iterable[tuple[Messages, list[str]]]


@dataclass(frozen=True)
class ExportSpec:
    """How much to write, in each language.

    texts, documents, repeats, readings: sentences, documents, texts to be repeated, and texts that tell a homograph's
        reading, to train on.
    held_out_texts, held_out_documents, held_out_repeats, held_out_readings: as many for validation, and for testing.
    heard: share of the corpus' utterances to train recognition on.
    clips: short clips of utterances to train recognition on.
    """

    texts: int = 30_000
    documents: int = 3_000
    repeats: int = 15_000
    readings: int = 15_000
    held_out_texts: int = 1_000
    held_out_documents: int = 100
    held_out_repeats: int = 100
    held_out_readings: int = 100
    heard: float = 1.0
    clips: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name != "seed" and value < 0:
                raise ValueError(f"{name} is a number to write and cannot be negative, got {value}")
        if self.heard > 1:
            raise ValueError(f"heard is a share of the utterances, from 0 to 1, got {self.heard}")

    def counts(self, split: str) -> tuple[int, int, int, int]:
        """(texts, documents, repeats, readings) of a split."""
        if split == "train":
            return self.texts, self.documents, self.repeats, self.readings
        return self.held_out_texts, self.held_out_documents, self.held_out_repeats, self.held_out_readings


@dataclass(frozen=True, slots=True)
class _Spoken:
    """An utterance without its waveform."""

    language: str
    split: str
    kind: str
    text: str
    partner: int | None
    audio: str  # relative to a JSONL file


def export(
    corpus: Corpus,
    folder: str | Path | None = None,
    spec: ExportSpec | None = None,
    *,
    workers: int = 2,
    progress: bool = True,
) -> Path:
    """Write a corpus as JSONL files and FLAC audio. One that lies there is recognised; an interrupted one goes on.

    Args:
        folder: where to; None for a place in the machine's cache folder.
        spec: how much text; None for `ExportSpec()`.
        workers: threads that compress audio at the same time.

    Returns:
        The folder.

    Raises:
        ValueError: another export, or something else, lies in the folder.
        OSError: the folder cannot be written.
    """
    spec = spec or ExportSpec()
    key = _key(corpus, spec)
    folder = cache_folder("export", key) if folder is None else Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if _state(folder, key):
        return folder
    _write_state(folder, key, finished=False)
    spoken = _write_audio(corpus, folder, workers, progress)
    languages = [language for language in LANGUAGES if any(each.language == language for each in spoken)]
    with tqdm(total=len(SPLITS) * len(languages), desc="writing JSONL", disable=not progress) as bar:
        for split, language in itertools.product(SPLITS, languages):
            datasets = _datasets(spoken, language, split, spec)
            if split == "train":
                clips = _clips(corpus, language, folder, spec, workers, progress)
                datasets = itertools.chain(datasets, [("asr-clips", clips)])
            for name, conversations in datasets:
                if conversations := list(conversations):
                    write_samples(folder / split / f"{name}-{language}.jsonl", conversations)
            bar.update()
    _write_state(folder, key, finished=True)
    return folder


def _datasets(
    spoken: list[_Spoken], language: str, split: str, spec: ExportSpec
) -> Iterator[tuple[str, Conversations]]:
    own = [each for each in spoken if (each.language, each.split) == (language, split)]
    texts, documents, repeats, readings = spec.counts(split)
    for suffix, random_words in (("", False), ("-coverage", True)):
        said = [each for each in own if (each.kind == "coverage") == random_words]
        heard = _some(said, spec.heard, spec.seed) if split == "train" else said
        yield f"asr{suffix}", ((speech_recognition(each.text), [each.audio]) for each in heard)
        yield f"tts{suffix}", _to_be_said(said)
        if not random_words:
            yield "tts-long", _to_be_said(_longest(said, LONGEST))
    yield "speech-qa", _spoken_answers(own, spoken)
    yield (
        "text",
        itertools.chain(_sentences(language, split, texts, spec.seed), _written_answers(language, split)),
    )
    yield "text-qa", _written_answers(language, split)
    yield "long-text", _documents(language, split, documents, spec.seed)
    yield "repeat", _repeats(language, split, repeats, spec.seed)
    yield "readings", _readings(language, split, readings, spec.seed)


def _to_be_said(spoken: Iterable[_Spoken]) -> Conversations:
    return ((text_to_speech(each.text, answer=True), [each.audio]) for each in spoken)


def _longest(spoken: list[_Spoken], share: float) -> list[_Spoken]:
    """That share of them, those with the longest texts, in their order."""
    by_length = sorted(range(len(spoken)), key=lambda place: -len(spoken[place].text))
    return [spoken[place] for place in sorted(by_length[: round(share * len(spoken))])]


def _some(spoken: list[_Spoken], share: float, seed: int) -> list[_Spoken]:
    """That share of them, drawn by chance, in their order."""
    chosen = random.Random(f"{seed}/heard").sample(range(len(spoken)), round(share * len(spoken)))
    return [spoken[index] for index in sorted(chosen)]


def _spoken_answers(own: Iterable[_Spoken], spoken: list[_Spoken]) -> Conversations:
    for question in own:
        if question.kind == "question":
            answer = spoken[question.partner]
            yield speech_to_speech(answer.text), [question.audio, answer.audio]


def _written_answers(language: str, split: str) -> Conversations:
    for index in range(len(question_cells(language, split))):
        question, answer = question_and_answer(language, split, index)
        yield text_only(question.text, answer.text), []


def _sentences(language: str, split: str, count: int, seed: int) -> Conversations:
    for sentence in text_sentences(language, count, seed=seed, split=split):
        yield _said(sentence.text), []


def _documents(language: str, split: str, count: int, seed: int) -> Conversations:
    rng = random.Random(f"{seed}/{language}/documents/{split}")
    lengths = [rng.randint(*DOCUMENT_SENTENCES) for _ in range(count)]
    sentences = text_sentences(language, sum(lengths), seed=seed + 1, split=split)
    for length in lengths:
        yield _said("\n".join(sentence.text for sentence in itertools.islice(sentences, length))), []


def _repeats(language: str, split: str, count: int, seed: int) -> Conversations:
    """Natural text is full of words that come again, by which a language model learns to look back for what followed
    them (Olsson et al. 2022, "In-context learning and induction heads"). The grammars' sentences have next to none."""
    rng = random.Random(f"{seed}/{language}/repeats/{split}")
    for sentence in text_sentences(language, count, seed=seed + 2, split=split):
        words = rng.sample(sentence.words, len(sentence.words))[: rng.randint(*REPEATED_WORDS)]
        text = join_words(words, language)
        yield text_only(f"{REPEAT}{text}", text), []


def _readings(language: str, split: str, count: int, seed: int) -> Conversations:
    """A large model has met every homograph beside what tells its readings apart, in dictionaries, rhymes and lessons.
    Here the sense's name, or the pinyin, directly follows the homograph, so that it has to be known right there."""
    for number in range(count):
        rng = random.Random(f"{seed}/{language}/readings/{split}/{number}")
        sentence = rng.choice(minimal_pair(language, split, rng, entry=number))
        after = sentence.homograph.index + 1
        sense = sentence.homograph.reading.partition("/")[2]
        glossed = join_words((*sentence.words[:after], sense, *sentence.words[after:]), language)
        asked = rng.random() < 0.5
        yield text_only(f"{READINGS}{sentence.text}", glossed) if asked else _said(glossed), []


def _said(text: str) -> Messages:
    """Text that is a target from its first token on: an assistant says it unasked."""
    return [{"role": "assistant", "content": text}]


def _write_audio(corpus: Corpus, folder: Path, workers: int, progress: bool) -> list[_Spoken]:
    """Every utterance as FLAC, where it is not there yet; returns what was said, in the corpus' order."""

    def write(index: int) -> _Spoken:
        utterance = corpus[index]
        name = f"audio/{utterance.language}/{index:06d}.flac"
        _write_flac(folder / name, utterance.pcm, utterance.sample_rate)
        sentence = utterance.sentence
        return _Spoken(
            sentence.language, sentence.split, sentence.kind, sentence.text, utterance.partner, f"../{name}"
        )

    return _side_by_side(write, range(len(corpus)), "writing audio", workers, progress)


def _clips(
    corpus: Corpus, language: str, folder: Path, spec: ExportSpec, workers: int, progress: bool
) -> list[tuple[Messages, list[str]]]:
    """Short clips to train on, each written as FLAC where it is not there yet."""
    kinds = [kind for kind in KINDS if kind != "coverage"]
    indices = corpus.indices(language=language, split="train", kind=kinds)

    def write(number: int) -> tuple[Messages, list[str]]:
        rng = random.Random(f"{spec.seed}/{language}/clips/{number}")
        utterance = corpus[rng.choice(indices)]
        clip, name = cut_clip(utterance, rng), f"clips/{language}/{number:06d}.flac"
        _write_flac(folder / name, clip.pcm, utterance.sample_rate)
        return speech_recognition(clip.text), [f"../{name}"]

    count = spec.clips if indices else 0
    return _side_by_side(write, range(count), f"cutting clips, {language}", workers, progress)


def _write_flac(path: Path, pcm: np.ndarray, sample_rate: int) -> None:
    """There whole or not at all; left alone where it is there already."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.{os.getpid()}")
        soundfile.write(unfinished, pcm, sample_rate, format="FLAC")
        unfinished.replace(path)


def _side_by_side(
    write: Callable[[int], T], numbers: Sequence[int], description: str, workers: int, progress: bool
) -> list[T]:
    """What `write` returns for every number, in their order."""
    with ThreadPoolExecutor(workers) as pool:  # libsndfile compresses outside the interpreter's lock
        try:
            written = pool.map(write, numbers)
            return list(
                tqdm(written, desc=description, total=len(numbers), unit="file", disable=not progress)
            )
        finally:
            pool.shutdown(cancel_futures=True)


def _key(corpus: Corpus, spec: ExportSpec) -> str:
    """Names what is exported."""
    digest = hashlib.sha256((corpus.folder / INDEX).read_bytes())
    digest.update(json.dumps([FORMAT, asdict(spec)], sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _state(folder: Path, key: str) -> bool:
    """Whether the export is finished. Raises ValueError if something else lies in the folder."""
    path = folder / MANIFEST
    if path.exists():
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["export"] == key:
            return state["finished"]
        raise ValueError(f"{folder} holds another export; remove it, or choose another folder")
    if any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no export; choose another folder")
    return False


def _write_state(folder: Path, key: str, finished: bool) -> None:
    replace_bytes(folder / MANIFEST, json.dumps({"export": key, "finished": finished}).encode())


def read_options(
    typed: Sequence[str] | None = None,
) -> tuple[argparse.Namespace, CorpusSpec, ExportSpec]:
    """The command line, and the corpus and export that it asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.data.export",
        description=__doc__.partition(": ")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2, help="processes that speak, threads that compress")
    corpus = parser.add_argument_group("the corpus")
    corpus.add_argument("--sentences", type=int, default=CorpusSpec.sentences, help="to train on")
    corpus.add_argument("--seed", type=int, default=CorpusSpec.seed)
    corpus.add_argument("--prosody", choices=PROSODIES, default=CorpusSpec.prosody)
    switch = argparse.BooleanOptionalAction
    corpus.add_argument(
        "--coverage", action=switch, default=CorpusSpec.coverage, help="sentences of random words too"
    )
    corpus.add_argument(
        "--pairs", action=switch, default=CorpusSpec.pairs, help="both sentences of every minimal pair"
    )
    written = parser.add_argument_group("what is written of it", inspect.getdoc(ExportSpec))
    for field in fields(ExportSpec):
        option = "--export-seed" if field.name == "seed" else f"--{field.name.replace('_', '-')}"
        kind = type(field.default)
        written.add_argument(
            option, dest=f"export_{field.name}", type=kind, default=field.default, metavar=kind.__name__
        )
    options = parser.parse_args(typed)
    spoken = {name: getattr(options, name) for name in ("sentences", "seed", "prosody", "coverage", "pairs")}
    spec = {field.name: getattr(options, f"export_{field.name}") for field in fields(ExportSpec)}
    return options, CorpusSpec(**spoken), ExportSpec(**spec)


def main(typed: Sequence[str] | None = None) -> None:
    """The command line."""
    options, spoken, spec = read_options(typed)
    corpus = generate(spoken, workers=options.workers)
    folder = export(corpus, options.folder, spec, workers=options.workers)
    for path in sorted(folder.glob("*/*.jsonl")):
        with path.open("rb") as file:
            print(f"{path}: {sum(1 for _ in file):,} samples")


if __name__ == "__main__":
    main()
