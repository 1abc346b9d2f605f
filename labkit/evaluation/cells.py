"""What an evaluation consists of: cells, one for each language, task and mode, their rows, and what those add up to."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch

from labkit.audio.toy import ToyCodec
from labkit.data.corpus import Corpus, CorpusSpec, corpus_key, generate
from labkit.data.phonemes import LANGUAGES, check_language
from labkit.data.speaking import replace_bytes
from labkit.evaluation.answers import MAX_NEW_TOKENS, Answer, SpeechSystem
from labkit.evaluation.asr import WrittenRow, asr_measures, evaluate_asr
from labkit.evaluation.codec import held_out
from labkit.evaluation.listener import Listener
from labkit.evaluation.modules import ForcedRow, evaluate_modules, module_measures
from labkit.evaluation.provenance import code_digest
from labkit.evaluation.recogniser import PhonemeJudge
from labkit.evaluation.spoken_qa import (
    QuestionRow,
    evaluate_spoken_qa,
    evaluate_true_answers,
    held_out_questions,
    qa_measures,
)
from labkit.evaluation.tts import SpokenRow, evaluate_originals, evaluate_tts, tts_measures
from labkit.interleave import MODES, VANILLA, mode
from labkit.model import load_speech_lm
from labkit.model.checkpoint import find_checkpoint
from labkit.paths import weights_folder
from labkit.statistics import Estimate
from labkit.training.recipes import TOY
from labkit.vocabulary import load_tokenizer

ORIGINAL, CODEC = "original", "codec"
"""In place of a mode: the true speech as it is, and what the codec makes of it."""

WORLD = replace(TOY.corpus, sentences=0, validation=0)
"""The toy recipe's world without what is learned from; what is held out for tests is the same sentences."""

VALIDATION = replace(WORLD, validation=1000, test=0, probes=0)
"""The sentences of that world by which models are chosen: as many as the test has, and none of them."""

SPLITS = ("test", "validation")

Row = SpokenRow | WrittenRow | QuestionRow | ForcedRow
TASKS: dict[str, type[Row]] = {"tts": SpokenRow, "asr": WrittenRow, "qa": QuestionRow, "modules": ForcedRow}
"""The tasks, and what a row of each is."""


class Cell(NamedTuple):
    """What is evaluated at a time, and kept."""

    language: str
    task: str
    mode: str

    def __str__(self) -> str:
        return "-".join(self)


@dataclass(frozen=True)
class Settings:
    """What to evaluate and how. Equal settings and equal weights give equal numbers.

    Attributes:
        model: folder in the released layout, the tokenizer's files beside it, or a hub id.
        tasks, modes, languages: of which all combinations are evaluated.
        utterances: held-out utterances in each language, half of them or more homograph probes; and as many
            questions, or all that the corpus has.
        kinds: of the sentences beside the probes. Those of random words ("coverage") are for models that have
            learned to read letters, which the toy has not.
        steps: Euler steps of the codec, for model and ceiling alike.
        streaming: whether the codec streams, with steps of its own; see `labkit.evaluation.listener.Listener`.
        batch: prompts answered at a time.
        max_new_tokens: where an answer that does not end is cut.
        codec, judge: folders of their weights.
        corpus: whose held-out utterances are evaluated; `WORLD` unless given.
        split: "test", or "validation" to choose models by, of a corpus that has it (`VALIDATION`).
        device: of the model; codec and judge stay on the CPU.

    Raises:
        ValueError: a task, mode or language does not exist, or there are too few utterances for an interval.
    """

    model: str
    tasks: tuple[str, ...] = tuple(TASKS)
    modes: tuple[str, ...] = tuple(MODES)
    languages: tuple[str, ...] = LANGUAGES
    utterances: int = 500
    kinds: tuple[str, ...] = ("plain",)
    steps: int = 2
    streaming: bool = False
    batch: int = 64
    max_new_tokens: int = MAX_NEW_TOKENS
    codec: str = str(weights_folder() / "toy-codec")
    judge: str = str(weights_folder() / "phoneme-judge")
    corpus: CorpusSpec = WORLD
    split: str = "test"
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name in self.modes:
            mode(name)
        for language in self.languages:
            check_language(language)
        if unknown := set(self.tasks) - set(TASKS):
            raise ValueError(f"unknown task {min(unknown)!r}: choose from {', '.join(TASKS)}")
        if self.split not in SPLITS:
            raise ValueError(f"unknown split {self.split!r}: choose from {', '.join(SPLITS)}")
        if self.utterances < 2:
            raise ValueError(f"an interval needs at least 2 utterances, got {self.utterances}")

    def cells(self) -> list[Cell]:
        """All that there is to do, ceilings first."""
        contents: dict[object, str] = {}
        for (
            name
        ) in self.modes:  # teacher forcing knows a mode by what its slots hold, which two modes may share
            contents.setdefault(mode(name).content, name)
        modes = {
            "tts": (ORIGINAL, CODEC, *self.modes),
            "asr": self.modes,
            "qa": (ORIGINAL, CODEC, *self.modes),
            "modules": tuple(contents.values()),
        }
        return [
            Cell(language, task, name)
            for task in self.tasks
            for language in self.languages
            for name in modes[task]
        ]

    def key(self) -> str:
        """A digest of the settings, of the corpus, of all weights and of the code that makes the rows."""
        settings = [asdict(self), corpus_key(self.corpus), code_digest()]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for folder in (find_checkpoint(self.model), Path(self.codec), Path(self.judge)):
            for path in sorted(
                [*folder.glob("*.safetensors"), *folder.glob("*config.json"), *folder.glob("tok*")]
            ):
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _World:
    """What all cells share."""

    corpus: Corpus
    system: SpeechSystem
    listener: Listener


@functools.lru_cache(maxsize=1)
def _world(settings: Settings) -> _World:
    codec, folder = ToyCodec.load(settings.codec), find_checkpoint(settings.model)
    model = load_speech_lm(folder, dtype=torch.float32, device=settings.device, tell=None).eval()
    system = SpeechSystem(model, load_tokenizer(folder), codec, settings.batch, settings.max_new_tokens)
    listener = Listener(codec, PhonemeJudge.load(settings.judge), settings.steps, settings.streaming)
    return _World(generate(settings.corpus, progress=False), system, listener)


def evaluate_cell(settings: Settings, cell: Cell, *, progress: bool = False) -> list[Row]:
    """The rows of one language, task and mode.

    Raises:
        ValueError: the corpus has too few utterances.
        ScheduleError: the mode needs more modules than the model has.
    """
    world = _world(settings)
    system, listener = world.system, world.listener
    truth, through_codec = cell.mode in (ORIGINAL, CODEC), cell.mode == CODEC
    if cell.task == "qa":
        questions = held_out_questions(world.corpus, cell.language, settings.utterances, settings.split)
        if truth:
            return evaluate_true_answers(listener, questions, through_codec=through_codec, progress=progress)
        return evaluate_spoken_qa(system, listener, questions, mode(cell.mode), progress=progress)
    pairs = held_out(world.corpus, cell.language, settings.utterances, settings.kinds, settings.split)
    if truth:
        return evaluate_originals(listener, pairs, through_codec=through_codec, progress=progress)
    if cell.task == "tts":
        return evaluate_tts(system, listener, pairs, mode(cell.mode), progress=progress)
    utterances = [utterance for utterance, _ in pairs]
    evaluate = evaluate_asr if cell.task == "asr" else evaluate_modules
    return evaluate(system, utterances, mode(cell.mode), progress=progress)


def cell_measures(cell: Cell, rows: Mapping[Cell, Sequence[Row]]) -> dict[str, Estimate]:
    """What the rows of a cell add up to; in TTS also compared with the codec's ceiling and with Vanilla."""
    own = rows[cell]
    if cell.task == "asr":
        return asr_measures(own, cell.language)
    if cell.task == "qa":
        return qa_measures(own)
    if cell.task == "modules":
        return module_measures(own)
    compared = {name: cell._replace(mode=name) for name in (CODEC, VANILLA.name)}
    known = {name: rows[other] for name, other in compared.items() if other in rows and other != cell}
    return tts_measures(own, known if cell.mode in MODES else None)


def write_rows(folder: Path, cell: Cell, rows: Sequence[Row]) -> None:
    """Keep the rows of a cell, all or none."""
    lines = [json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows]
    replace_bytes(folder / f"{cell}.jsonl", "".join(lines).encode())


def read_rows(folder: Path, cell: Cell) -> list[Row] | None:
    """The rows of a cell, None if they are not there."""
    path = folder / f"{cell}.jsonl"
    if not path.exists():
        return None
    return [
        _row(TASKS[cell.task], json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()
    ]


def _row(kind: type[Row], record: dict) -> Row:
    if record.get("answer"):
        record["answer"] = Answer(**_with_tuples(record["answer"]))
    return kind(**_with_tuples(record))


def _with_tuples(record: dict) -> dict:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
