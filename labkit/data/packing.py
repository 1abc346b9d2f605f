"""Samples of any length packed into rows of a fixed one (section 3.3.1).

    row   | sample 0          | sample 1    | sample 2  | padding |
    pos   | 0 1 2 3 4 5 6 7 8 | 0 1 2 3 4 5 | 0 1 2 3 4 | -1 -1   |
    label | · · · · 4 5 6 7 8 | · · · 3 4 5 | · 1 2 3 4 | ·  ·    |

Where a position does not go up by one a new sample begins: the model reads the block-diagonal attention mask, and
which targets would lie in another sample, off the positions alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from labkit.data.faults import Faults, SampleError
from labkit.vocabulary import IGNORE

PADDING = -1  # the position of a column that holds nothing


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """A sample as ids, and where it comes from.

    Attributes:
        input_ids: (time,) int32.
        labels: (time,) int32, the id where it is a training target, else -100.
        path, line: its JSONL file and line.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    path: Path
    line: int

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class PackedRow:
    """Samples one after the other, padding last; each array is (length,) int32.

    Attributes:
        input_ids: ids; 0 on padding.
        labels: the id where it is a training target, else -100.
        positions: from 0 up in each sample, -1 on padding.
        samples: how many samples it holds.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    positions: np.ndarray
    samples: int

    @classmethod
    def of(cls, samples: Sequence[EncodedSample], length: int) -> PackedRow:
        """Lay samples into a row of that length, which must have room for them."""
        row = cls(
            np.zeros(length, np.int32),
            np.full(length, IGNORE, np.int32),
            np.full(length, PADDING, np.int32),
            len(samples),
        )
        start = 0
        for sample in samples:
            stop = start + len(sample)
            row.input_ids[start:stop] = sample.input_ids
            row.labels[start:stop] = sample.labels
            row.positions[start:stop] = np.arange(len(sample))
            start = stop
        return row

    @property
    def tokens(self) -> int:
        """How many columns are not padding."""
        return int((self.positions != PADDING).sum())


def pack(
    samples: Iterable[EncodedSample], length: int, *, open_rows: int = 32, faults: Faults | None = None
) -> list[PackedRow]:
    """Pack samples into rows, greedily: each goes into the first of a few open rows that has room for it.

    The order of the samples alone decides, and is kept but for the few rows that are open at a time.

    Args:
        length: columns of a row.
        open_rows: how many rows wait for short samples; the fullest is closed when a sample fits nowhere.
        faults: what to do with a sample longer than a row; by default it raises.

    Raises:
        ValueError: a length or number of open rows below 1.
        SampleError: a sample is longer than a row, unless `faults` skips those.
    """
    if length < 1 or open_rows < 1:
        raise ValueError(f"length and open_rows must be at least 1, got {length} and {open_rows}")
    faults = Faults() if faults is None else faults
    rows: list[PackedRow] = []
    waiting: list[list[EncodedSample]] = []
    room: list[int] = []
    for sample in samples:
        tokens = len(sample)
        if tokens > length:
            faults.add(too_long(sample, length))
            continue
        place = next((place for place, left in enumerate(room) if left >= tokens), None)
        if place is None:
            if len(room) == open_rows:
                fullest = room.index(min(room))
                rows.append(PackedRow.of(waiting.pop(fullest), length))
                room.pop(fullest)
            place = len(room)
            waiting.append([])
            room.append(length)
        waiting[place].append(sample)
        room[place] -= tokens
    return rows + [PackedRow.of(samples, length) for samples in waiting]


def too_long(sample: EncodedSample, length: int) -> SampleError:
    """What is wrong with a sample that no row has room for."""
    advice = (
        f"{len(sample)} tokens, a row has {length}; cut it up, train with longer rows, or skip such samples"
    )
    return SampleError(sample.path, sample.line, "too long", advice)


def fill(rows: Sequence[PackedRow]) -> float:
    """Share of the rows' columns that are not padding."""
    return sum(row.tokens for row in rows) / max(1, sum(len(row.positions) for row in rows))


def collate(rows: Sequence[PackedRow]) -> dict[str, torch.Tensor]:
    """A batch of rows, as `labkit.model.speech_losses` takes it.

    Returns:
        `input_ids`, `labels` and `positions`, (batch, length) int64, and where there is padding `attention_mask`,
        (batch, length) int64, 0 on padding.

    Raises:
        ValueError: no rows, or rows of different lengths.
    """
    if len({len(row.positions) for row in rows}) != 1:
        raise ValueError("a batch needs at least one row, and all rows of the same length")
    batch = {
        name: torch.from_numpy(np.stack([getattr(row, name) for row in rows]).astype(np.int64))
        for name in ("input_ids", "labels", "positions")
    }
    real = batch["positions"] != PADDING
    if not real.all():
        batch["attention_mask"] = real.long()
    return batch
