"""A table of all training stages: each stage's model in each mode that it can run, in the toy speech world.

Rows come from `labkit.evaluation.speech_lm`, kept as they come: a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labkit.data.corpus import Corpus, CorpusSpec, generate
from labkit.data.speaking import replace_bytes
from labkit.evaluation.asr import WrittenRow, text_units
from labkit.evaluation.cells import CODEC, ORIGINAL, WORLD, Cell, Row, Settings, cell_measures
from labkit.evaluation.listener import sounds
from labkit.evaluation.speech_lm import evaluate
from labkit.evaluation.spoken_qa import QuestionRow
from labkit.interleave import MODES, VANILLA
from labkit.model.checkpoint import find_checkpoint
from labkit.model.layout import read_config
from labkit.paths import weights_folder
from labkit.statistics import Estimate, ratio

STAGES = ("S1", "S2", "S3", "S4")
RESULTS = Path(__file__).parents[1] / "results"
"""The tables of the models that the recipe `toy` trained; those of stages 1 and 4 ship."""

HELD_OUT = replace(WORLD, test=400, probes=100)
"""400 held-out utterances for each cell, and as many questions."""

WORST = 3
"""Cases kept of each stage, language and mode, for who wants to hear what went wrong."""


@dataclass(frozen=True)
class TableSpec:
    """What a table consists of.

    Attributes:
        number: of the paper's table that it is in miniature.
        title: what it is about.
        task: of `labkit.evaluation.cells.TASKS`.
        languages: whose held-out utterances are asked.
        measures: its columns, of those that the task has, for each language.
    """

    number: int
    title: str
    task: str
    languages: tuple[str, ...]
    measures: tuple[str, ...]


TABLES = {
    each.number: each
    for each in (
        TableSpec(
            4,
            "spoken question answering",
            "qa",
            ("en", "cmn"),
            ("S -> T accuracy", "S -> S accuracy", "S -> S relative to S -> T"),
        ),
        TableSpec(5, "text to speech", "tts", ("en", "cmn"), ("phoneme error rate",)),
        TableSpec(6, "speech recognition, English", "asr", ("en",), ("word error rate",)),
        TableSpec(7, "speech recognition, Mandarin", "asr", ("cmn",), ("character error rate",)),
    )
}


def stage_folders(models: Path, stages: Sequence[str] = ()) -> dict[str, Path]:
    """The folder of each stage's model below ``models``, named as the lab's own are.

    Args:
        models: the folder of ``speech-lm-stage-1`` and so on.
        stages: of `STAGES`, whether they are there or not; all that are there when empty.

    Raises:
        FileNotFoundError: none is there.
    """
    folders = {stage: models / f"speech-lm-stage-{stage[1:]}" for stage in stages or STAGES}
    there = folders if stages else {stage: folder for stage, folder in folders.items() if folder.is_dir()}
    if not there:
        raise FileNotFoundError(
            f"{models} has no folder speech-lm-stage-1, -2, -3 or -4 with a stage's model"
        )
    return there


def shipped_stages() -> dict[str, Path]:
    """The folders of the stages' models that ship."""
    return stage_folders(weights_folder())


def runnable_modes(model: str | Path) -> tuple[str, ...]:
    """The interleave modes for which a model has modules enough.

    Raises:
        FileNotFoundError: there is no such model.
    """
    _, modules, _ = read_config(find_checkpoint(model))
    return tuple(name for name, each in MODES.items() if each.modules_needed <= modules)


def evaluate_table(
    spec: TableSpec,
    stages: Mapping[str, str | Path],
    *,
    utterances: int = 400,
    workers: int = 1,
    anew: bool = False,
    corpus: CorpusSpec = HELD_OUT,
    **options: Any,
) -> dict[str, Any]:
    """A table as tidy data, ready for JSON.

    Args:
        spec: one of `TABLES`.
        stages: by name, the folder of each stage's model; all are looked for before the first is evaluated.
        utterances: held-out utterances in each cell; of questions, as many as there are if fewer.
        workers: processes.
        anew: evaluate again what an earlier run has finished.
        corpus: whose test split is asked.
        **options: of `Settings`.

    Returns:
        ``rows``: stage, language, mode, measure, value, low, high, n, the ceilings with None for a stage, differences
        to Vanilla and to the first stage utterance by utterance; ``worst``: cases of each cell with all that is needed
        to play them; and what the numbers follow from.

    Raises:
        FileNotFoundError: a stage's model is not there.
    """
    modes = {stage: runnable_modes(folder) for stage, folder in stages.items()}
    rows, worst, texts = [], [], generate(corpus, progress=False)
    first: dict[str, Mapping[Cell, Sequence[Row]]] = {}
    for number, (stage, folder) in enumerate(stages.items()):
        settings = Settings(
            str(folder),
            tasks=(spec.task,),
            modes=modes[stage],
            languages=spec.languages,
            utterances=utterances,
            corpus=corpus,
            **options,
        )
        made = evaluate(settings, workers=workers, anew=anew)
        for cell in made:
            ceiling = cell.mode in (ORIGINAL, CODEC)
            if ceiling and number:
                continue  # no model has a part in it: the same for every stage
            rows += _named(None if ceiling else stage, cell, cell_measures(cell, made))
            if not ceiling:
                first = first or {stage: made}
                rows += _differences(stage, cell, made, first)
                worst += [{"stage": stage} | case for case in worst_cases(cell, made[cell], texts)]
    return {
        "table": spec.number,
        "title": spec.title,
        "task": spec.task,
        "utterances": utterances,
        "corpus": asdict(corpus),
        "stages": {stage: Path(folder).name for stage, folder in stages.items()},
        "options": {
            name: value for name, value in options.items() if name not in ("codec", "judge", "device")
        },
        "rows": rows,
        "worst": worst,
    }


def worst_cases(cell: Cell, rows: Sequence[Row], corpus: Corpus, count: int = WORST) -> list[dict[str, Any]]:
    """The answers of a cell that are furthest from right.

    Each has the utterance's index and text (``asked``), the model's text (``written``) and audio tokens (``codes``),
    and the words, characters or phonemes that were ``meant`` and that the judge ``got``; questions have their true
    ``answer``.
    """
    cases = [_case(cell, row, corpus) for row in rows]
    wrong = [case for case in cases if case["errors"]]
    return sorted(wrong, key=lambda case: -case["errors"] / case["units"])[:count]


def _case(cell: Cell, row: Row, corpus: Corpus) -> dict[str, Any]:
    asked = isinstance(row, QuestionRow)
    utterance = corpus[row.question if asked else row.utterance]
    case = {"language": cell.language, "mode": cell.mode, "utterance": utterance.index}
    case |= {"asked": utterance.text, "written": row.answer.text}
    if isinstance(row, WrittenRow):
        meant, got = (text_units(text, cell.language) for text in (utterance.text, row.answer.text))
        return case | {"meant": meant, "got": got, "units": row.units, "errors": row.errors}
    case |= {"codes": list(row.answer.codes), "got": row.heard.split(), "units": row.phonemes}
    if asked:
        truth = corpus[utterance.partner]
        errors = 0 if row.right_speech else row.phoneme_errors
        case |= {"answer": truth.text, "fact": row.fact, "chosen": row.chosen, "right_text": row.right_text}
        return case | {"meant": sounds(truth), "errors": errors}
    return case | {"meant": sounds(utterance), "errors": row.phoneme_errors}


def _named(stage: str | None, cell: Cell, measures: Mapping[str, Estimate]) -> list[dict[str, Any]]:
    return [
        {"stage": stage, "language": cell.language, "mode": cell.mode, "measure": measure}
        | {name: value if math.isfinite(value) else None for name, value in estimate._asdict().items()}
        for measure, estimate in measures.items()
    ]


def _differences(
    stage: str,
    cell: Cell,
    made: Mapping[Cell, Sequence[Row]],
    first: Mapping[str, Mapping[Cell, Sequence[Row]]],
) -> list[dict[str, Any]]:
    """How much more goes wrong than in Vanilla, and than in the first stage in Vanilla, on the same utterances."""
    vanilla, [(name, then)] = cell._replace(mode=VANILLA.name), first.items()
    compared = {}
    if cell != vanilla and vanilla in made:
        compared["vanilla"] = made[vanilla]
    if stage != name and vanilla in then:
        compared[name] = then[vanilla]
    more = {
        f"errors, minus {other}'s": ratio(
            [_wrong(row)[0] - _wrong(its)[0] for row, its in zip(made[cell], rows, strict=True)],
            [_wrong(row)[1] for row in made[cell]],
        )
        for other, rows in compared.items()
    }
    return _named(stage, cell, more)


def _wrong(row: Row) -> tuple[int, int]:
    """Errors of a row, and out of how many; a question is right or wrong by its speech."""
    if isinstance(row, QuestionRow):
        return int(not row.right_speech), 1
    return (row.errors, row.units) if isinstance(row, WrittenRow) else (row.phoneme_errors, row.phonemes)


def write_table(table: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write a table as ``table-NUMBER.json``, a row or case a line, whole or not at all; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"table-{table['table']}.json"
    entries = []
    for name, value in table.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(each, ensure_ascii=False, allow_nan=False) for each in value)
            entries.append(f'"{name}": [\n{lines}\n]')
        else:
            entries.append(f'"{name}": {json.dumps(value, ensure_ascii=False, allow_nan=False)}')
    replace_bytes(path, ("{\n" + ",\n".join(entries) + "\n}\n").encode())
    return path


def read_table(number: int, folder: Path = RESULTS) -> dict[str, Any]:
    """A table that was written.

    Raises:
        FileNotFoundError: it was not; the message says which command writes it.
    """
    path = folder / f"table-{number}.json"
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; python -m labkit.evaluation.tables {number} writes it")
    return json.loads(path.read_text(encoding="utf-8"))
