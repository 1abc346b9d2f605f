"""What a run tells: a line of JSON per logged step, TensorBoard's event files where it is installed, and listeners."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path

Row = dict[str, float]
Listener = Callable[[Row], None]

FILE = "history.jsonl"


class History(Sequence[Row]):
    """The logged rows of a run, on disk as they come.

    Args:
        folder: where `history.jsonl` and `tensorboard/` lie; None to keep the rows in memory only.
        until: rows of this step and later ones are dropped from an older file: a resumed run writes them anew.
        listeners: called with every new row, such as a live plot.
    """

    def __init__(
        self, folder: Path | None = None, *, until: int = 0, listeners: Sequence[Listener] = ()
    ) -> None:
        self._folder, self._listeners = folder, tuple(listeners)
        self._rows = [] if folder is None else [row for row in read_history(folder) if row["step"] < until]
        self._board = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            lines = "".join(json.dumps(row) + "\n" for row in self._rows)
            partial = folder / f"{FILE}.partial"
            partial.write_text(lines, encoding="utf-8")
            partial.replace(folder / FILE)
            if importlib.util.find_spec("tensorboard") is not None:
                from torch.utils.tensorboard import SummaryWriter

                self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=until)

    def add(self, row: Row) -> None:
        """Keep, write and pass on one row; it needs a `step`."""
        self._rows.append(row)
        if self._folder is not None:
            with (self._folder / FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        if self._board is not None:
            for name, value in row.items():
                if name != "step":
                    self._board.add_scalar(name, value, int(row["step"]))
        for listener in self._listeners:
            listener(row)

    def close(self) -> None:
        """Flush TensorBoard's files."""
        if self._board is not None:
            self._board.close()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index):
        return self._rows[index]


def read_history(folder: Path) -> list[Row]:
    """Rows of a finished or running training; none where there is no file.

    A last line that a killed run left half written is no row.
    """
    path = folder / FILE
    if not path.exists():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
