"""A split in a mode, batch by batch, each kept as soon as it is there: killed anywhere, it goes on to the same rows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm.auto import tqdm

from labkit.evaluation.asr import UNITS
from labkit.evaluation.benchmarks.answering import BenchmarkRow
from labkit.evaluation.benchmarks.items import QA, Item
from labkit.statistics import Estimate, proportion, ratio, relative


def run_items(
    examine: Callable[[Sequence[Item]], list[BenchmarkRow]],
    items: Sequence[Item],
    path: Path,
    batch: int,
    *,
    progress: bool = True,
) -> list[BenchmarkRow]:
    """Rows of all items, in their order: those that `path` has, and those that `examine` still has to make.

    Which items share a batch depends on the items alone, never on what was done before: padding moves sums in their
    last digits, and a run that was interrupted must give the numbers of one that was not.

    Args:
        examine: makes the rows of a batch, whose items are of one task and language.
        items: names unique.
        path: JSON lines, appended to.
        batch: items at a time.
        progress: show a bar.
    """
    done = read_rows(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        tqdm(total=len(items), desc=path.stem, unit="item", disable=not progress) as bar,
        path.open("a", encoding="utf-8") as file,
    ):
        for chosen in batches(items, batch):
            if not all(item.name in done for item in chosen):
                rows = examine(chosen)
                file.write("".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows))
                file.flush()
                os.fsync(file.fileno())
                done |= {row.item: row for row in rows}
            bar.update(len(chosen))
            bar.set_postfix(faults=sum(row.fault is not None for row in done.values()))
    return [done[item.name] for item in items]


def batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Items in groups of at most `size` that one call can answer: of one task and language, all with speech or none."""
    kinds: dict[tuple[str, str, bool], list[Item]] = {}
    for item in items:
        kinds.setdefault((item.task, item.language, bool(item.clips)), []).append(item)
    for kind in kinds.values():
        for start in range(0, len(kind), size):
            yield kind[start : start + size]


def read_rows(path: Path) -> dict[str, BenchmarkRow]:
    """Rows by item; what a killed run left of its last line is cut off."""
    if not path.exists():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    records = [json.loads(line) for line in whole.splitlines()]
    return {
        record["item"]: BenchmarkRow(**record | {"references": tuple(record["references"])})
        for record in records
    }


def benchmark_measures(rows: Sequence[BenchmarkRow]) -> dict[str, Estimate]:
    """What the rows of a split add up to, each with its 95% interval; rows without a result are left out.

    A measure that fewer than two rows speak for is not there.
    """
    rows = [row for row in rows if row.fault is None]
    measures: dict[str, Estimate] = {}
    for language in dict.fromkeys(row.language for row in rows):
        counted = [row for row in rows if row.language == language and row.task != QA]
        if len(counted) > 1:
            name = f"{UNITS[language]} error rate"
            measures[name] = ratio([row.errors for row in counted], [row.units for row in counted])
    asked = [row for row in rows if row.right_text is not None]
    if len(asked) > 1:
        written, spoken = [row.right_text for row in asked], [row.right_speech for row in asked]
        measures["S -> T accuracy"] = proportion(sum(written), len(asked))
        measures["S -> S accuracy"] = proportion(sum(spoken), len(asked))
        if any(written):
            measures["S -> S relative to S -> T"] = relative(spoken, written)
    answered = [row for row in rows if row.ended is not None]
    if answered:
        measures["never ended"] = proportion(sum(not row.ended for row in answered), len(answered))
    return measures
