"""FLEURS (Conneau et al., 2022): ``data/en_us/test.tsv`` without a header, recordings in ``data/en_us/audio/test``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labkit.data.faults import Faults, SampleError
from labkit.evaluation.benchmarks.files import complete, find, lines
from labkit.evaluation.benchmarks.items import Clip, Item, to_write

FOLDERS = {"en": ("en_us", "en"), "zh": ("cmn_hans_cn", "cmn")}
"""Each of the paper's splits: the data set's own name for it, and the lab's name for its language."""

FILE, TRANSCRIPTION, COLUMNS = 1, 3, 7


def read_fleurs(source: str | Path, split: str, faults: Faults) -> list[Item]:
    """Items of the test set of ``en`` or ``zh``. Several people read the same sentence, so items are named by file.

    Raises:
        FileNotFoundError: the table is not there, or the recordings are still packed.
        SampleError: it is empty.
    """
    name, language = FOLDERS[split]
    places = (f"{name}/test.tsv", f"data/{name}/test.tsv", f"fleurs/data/{name}/test.tsv")
    table = find(source, places, f"FLEURS with {name}")
    recordings = find(
        table.parent, ("audio/test", "test"), f"FLEURS with audio/test.tar.gz unpacked for {name}"
    )

    def items() -> Iterator[Item]:
        for number, line in lines(table, faults):
            fields = line.split("\t")
            if len(fields) < COLUMNS or not fields[TRANSCRIPTION].strip():
                advice = (
                    f"a line has {COLUMNS} columns, a transcription among them; this one has {len(fields)}"
                )
                faults.add(SampleError(table, number, "bad line", advice))
            else:
                file = fields[FILE]
                yield to_write(Path(file).stem, language, Clip.of(recordings / file), fields[TRANSCRIPTION])

    return complete(items(), table, f"FLEURS {split}", faults)
