"""Scores of a speech language model on the paper's tasks: `python -m labkit.evaluation.speech_lm --model FOLDER`.

For each language, task and interleave mode: text to speech (Table 5), speech recognition (Tables 6 and 7) and spoken
question answering (Table 4), judged by others; and the teacher-forced accuracy of the backbone and of each MCTP module.
Written as one tidy JSON table, with 95% intervals and the ceiling of codec and judge beside.

Answers are free-running: beyond the prompt, nothing of the truth is given. Written answers are decoded greedily and
freely. Spoken ones are decoded greedily within the mode's layout, which says what tokens each slot may hold
(`labkit.generation.constraint`), where the paper decodes freely: that they keep to the format and the layout is partly
by construction.

Rows are kept as they come: an interrupted run goes on where it stopped, and a finished one is taken as it is, unless
--anew.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from labkit.data.corpus import generate
from labkit.data.phonemes import LANGUAGES
from labkit.evaluation.cells import (
    SPLITS,
    TASKS,
    VALIDATION,
    WORLD,
    Cell,
    Row,
    Settings,
    cell_measures,
    evaluate_cell,
    read_rows,
    write_rows,
)
from labkit.evaluation.outputs import output_file
from labkit.interleave import MODES, mode
from labkit.model.checkpoint import find_checkpoint
from labkit.model.layout import read_config
from labkit.paths import cache_folder, weights_folder
from labkit.training.release import SCORES, TRAINING, write_card


def scores_file(split: str = "test", *, streaming: bool = False) -> str:
    """Where a model's scores go in its folder: its card's are the test's, of sound that is decoded at once."""
    kind = ["validation"] * (split == "validation") + ["streaming"] * streaming
    return "-".join([SCORES.removesuffix(".json"), *kind]) + ".json"


def evaluate(settings: Settings, *, workers: int = 1, anew: bool = False) -> dict[Cell, list[Row]]:
    """Every cell's rows: those that an earlier run has left, and all that are missing.

    Args:
        settings: what to evaluate.
        workers: processes that evaluate cells; with 1, this process does, with a progress bar for every step.
        anew: start again where an earlier run has finished; otherwise its rows are taken.

    Raises:
        ScheduleError: a mode needs more modules than the model has.
        FileNotFoundError: no such model.
    """
    modules = _modules(settings.model)
    for name in settings.modes:
        mode(name).require_modules(modules)
    folder = rows_folder(settings)
    if anew and (folder / "finished").exists():
        shutil.rmtree(folder)
        folder.mkdir()
    cells = settings.cells()
    rows = {cell: kept for cell in cells if (kept := read_rows(folder, cell)) is not None}
    missing = [cell for cell in cells if cell not in rows]
    if missing:
        generate(settings.corpus)  # with a bar, and once: workers find it in the cache
    with tqdm(total=len(cells), initial=len(rows), desc="evaluating", unit="cell") as bar:
        for cell, made in _evaluate(settings, missing, workers):
            write_rows(folder, cell, made)
            rows[cell] = made
            bar.set_postfix_str(str(cell))
            bar.update()
    (folder / "finished").touch()
    return {cell: rows[cell] for cell in cells}


def rows_folder(settings: Settings) -> Path:
    """Where the rows of an evaluation are kept: a file ``LANGUAGE-TASK-MODE.jsonl`` for each cell."""
    return cache_folder("evaluation", settings.key())


def tidy_table(rows: Mapping[Cell, Sequence[Row]]) -> list[dict[str, Any]]:
    """One row for each language, task, mode and measure; an infinite end of an interval is None."""
    return [
        cell._asdict() | {"measure": measure} | {k: _finite(v) for k, v in estimate._asdict().items()}
        for cell in rows
        for measure, estimate in cell_measures(cell, rows).items()
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _evaluate(settings: Settings, cells: Sequence[Cell], workers: int) -> Iterator[tuple[Cell, list[Row]]]:
    if workers == 1:
        for cell in cells:
            yield cell, evaluate_cell(settings, cell, progress=True)
        return
    # Small networks gain nothing from more threads: a process for each core, with one thread.
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        running = {pool.submit(evaluate_cell, settings, cell): cell for cell in cells}
        try:
            for done in as_completed(running):
                yield running[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _modules(model: str) -> int:
    _, modules, _ = read_config(find_checkpoint(model))
    return modules


def main(arguments: list[str] | None = None) -> None:
    """Score a model, write the numbers and print them."""
    parser = argparse.ArgumentParser(
        prog="python -m labkit.evaluation.speech_lm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="folder in the released layout, or a hub id")
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS), default=tuple(TASKS))
    parser.add_argument(
        "--modes", nargs="+", choices=tuple(MODES), help="default: all that the model can run"
    )
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=LANGUAGES)
    parser.add_argument("--utterances", type=int, default=500, help="held-out utterances in each language")
    parser.add_argument(
        "--split", choices=SPLITS, default="test", help="validation: sentences to choose models by"
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=("plain", "coverage"),
        default=("plain",),
        help="of sentence beside homographs",
    )
    parser.add_argument("--steps", type=int, default=2, help="Euler steps of the codec")
    parser.add_argument(
        "--streaming", action="store_true", help="let the codec speak as tokens come, in few steps at first"
    )
    parser.add_argument("--batch", type=int, default=64, help="prompts answered at a time")
    parser.add_argument("--max-new-tokens", type=int, default=256, help="where an endless answer is cut")
    parser.add_argument("--codec", default=str(weights_folder() / "toy-codec"))
    parser.add_argument("--judge", default=str(weights_folder() / "phoneme-judge"))
    parser.add_argument("--device", default="cpu", help="of the model")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--anew", action="store_true", help="evaluate again what was finished")
    parser.add_argument(
        "--out",
        type=output_file,
        help="default: scores.json (or scores-streaming.json, scores-validation.json) in the model's folder; a hub id "
        "needs it said",
    )
    options = vars(parser.parse_args(arguments))
    out, workers, anew = (options.pop(name) for name in ("out", "workers", "anew"))
    if out is None:
        if not Path(options["model"]).is_dir():
            parser.error(f"{options['model']} is not a folder here: say with --out where to write its scores")
        out = Path(options["model"]) / scores_file(options["split"], streaming=options["streaming"])
    if options["modes"] is None:
        modules = _modules(options["model"])
        options["modes"] = [name for name, each in MODES.items() if each.modules_needed <= modules]
    options["corpus"] = VALIDATION if options["split"] == "validation" else WORLD
    settings = Settings(**{name: tuple(v) if isinstance(v, list) else v for name, v in options.items()})
    table = tidy_table(evaluate(settings, workers=workers, anew=anew))
    report = {
        "model": Path(settings.model).name,
        **{
            name: getattr(settings, name)
            for name in ("split", "utterances", "kinds", "steps", "streaming", "batch", "max_new_tokens")
        },
        "corpus": asdict(settings.corpus),
        "table": table,
    }
    out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if (out.parent / TRAINING).exists():
        write_card(out.parent)
    for row in table:
        print(
            "{language:4} {task:8} {mode:9} {measure:48} {value:.4f} [{low:.4f}, {high}] n={n}".format(**row)
        )


if __name__ == "__main__":
    main()
