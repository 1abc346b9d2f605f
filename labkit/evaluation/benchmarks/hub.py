"""Benchmarks as the hub distributes them, through `datasets`: a hub id, or a local folder of Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from labkit.data.faults import Faults, SampleError
from labkit.evaluation.benchmarks.files import complete
from labkit.evaluation.benchmarks.items import Clip, Item


@dataclass(frozen=True)
class HubSplit:
    """Where the hub has a split, and how its rows become items.

    Attributes:
        hub_id: of the copy that most people use.
        config: the data set's configuration, None where it has but one.
        split: within it.
        item: makes an item of a row without its audio, a name for it, and its audio.
        audio: the column of speech.
        name: the column that names a row; a row's number where there is none.
    """

    hub_id: str
    config: str | None
    split: str
    item: Callable[[Mapping[str, Any], str, Clip], Item]
    audio: str = "audio"
    name: str | None = "id"


def is_on_hub(source: str | Path) -> bool:
    """Whether a source is a hub id, or a folder of Parquet files: what `datasets` reads, not this lab's own readers."""
    path = Path(source).expanduser()
    if path.exists():
        return path.is_dir() and next(path.rglob("*.parquet"), None) is not None
    return str(source).count("/") == 1 and not str(source).startswith((".", "/", "~"))


def read_hub(source: str | Path, where: HubSplit, faults: Faults) -> list[Item]:
    """Items of a split. Speech stays on disk, as the bytes of its file, until it is listened to.

    Raises:
        ImportError: `datasets` is not installed.
        FileNotFoundError: no such data set, configuration or split.
        SampleError: the split is empty, or has no column of speech.
    """
    rows = _load(str(source), where)
    named, path = f"{source} {where.config or ''} {where.split}", Path(str(source))
    if where.audio not in rows.column_names:
        advice = f"{named} has the columns {', '.join(rows.column_names)}"
        raise SampleError(path, None, f"no column {where.audio!r}", advice)
    texts = rows.remove_columns(where.audio)
    # Arrow's own rows are not decoded: the lab reads sound with libsndfile, without the FFmpeg that `datasets` needs.
    recordings = rows.with_format("arrow")

    def items() -> Iterator[Item]:
        for index, row in enumerate(texts):
            name = str(row.get(where.name) or index) if where.name else str(index)
            clip = Clip(f"{named}, {name}", partial(_bytes, recordings, index, where.audio))
            try:
                yield where.item(row, name, clip)
            except (KeyError, TypeError, ValueError) as error:
                faults.add(SampleError(path, index + 1, "bad row", f"{named}: {error!r}"))

    return complete(items(), path, named, faults)


def _bytes(rows: Any, index: int, column: str) -> bytes:
    audio = rows[index][column][0].as_py()
    return audio["bytes"] if audio["bytes"] is not None else Path(audio["path"]).read_bytes()


def _load(source: str, where: HubSplit) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise ImportError(
            f"reading {source} needs the `datasets` package: pip install 'labkit[benchmarks]'. "
            "A data set's own archive, unpacked, is read without it"
        ) from error
    folder = Path(source).expanduser()
    try:
        if folder.is_dir():
            files = _parquet_files(folder, where)
            rows = datasets.load_dataset("parquet", data_files=files, split="train")
        else:
            rows = datasets.load_dataset(source, where.config, split=where.split)
    except FileNotFoundError:
        raise
    except (ValueError, OSError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise FileNotFoundError(
            f"`datasets` cannot read {source} (configuration {where.config}, split {where.split}): {error}"
        ) from error
    return rows


def _parquet_files(folder: Path, where: HubSplit) -> list[str]:
    """Files of a configuration and split in a copy of a hub repository, ``CONFIG/SPLIT-00000-of-00001.parquet``."""
    every = sorted(folder.rglob("*.parquet"))
    names = [file.relative_to(folder).as_posix() for file in every]
    configured = [name for name in names if where.config and where.config in name.split("/")] or names
    starts = (f"{where.split}-", f"{where.split}.")
    found = [
        name
        for name in configured
        if any(part == where.split or part.startswith(starts) for part in name.split("/"))
    ]
    if not found:
        raise FileNotFoundError(
            f"no Parquet file under {folder} is of the split {where.split!r}"
            f"{f' of {where.config!r}' if where.config else ''}; there are {', '.join(names[:5])}"
        )
    return [str(folder / name) for name in found]
