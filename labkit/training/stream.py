"""Packed rows as one endless, numbered stream: step `s` always trains on the same rows, on however many processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from labkit.data.packing import PackedRow


class RowStream:
    """Rows of epoch 0, then of epoch 1, and so on, numbered through.

    An optimizer step takes its rows by number. So a resumed run needs no state of the data, and an epoch that does
    not fill its last step is not cut short: that step goes on in the next epoch.

    Args:
        epoch: the rows of an epoch, equal whenever it is asked.
    """

    def __init__(self, epoch: Callable[[int], Sequence[PackedRow]]) -> None:
        self._epoch = epoch
        self._starts = [0]  # number of the first row of each epoch met so far
        self._loaded: tuple[int, Sequence[PackedRow]] = (-1, ())

    def take(self, start: int, count: int) -> list[PackedRow]:
        """Rows number `start` to `start + count - 1`.

        Raises:
            ValueError: an epoch has no rows at all.
        """
        return [self._row(number) for number in range(start, start + count)]

    def epoch_of(self, number: int) -> int:
        """The epoch in which a row lies."""
        while self._starts[-1] <= number:
            epoch = len(self._starts) - 1
            self._starts.append(self._starts[-1] + len(self._rows(epoch)))
        return next(epoch for epoch, stop in enumerate(self._starts[1:]) if number < stop)

    def _row(self, number: int) -> PackedRow:
        epoch = self.epoch_of(number)
        return self._rows(epoch)[number - self._starts[epoch]]

    def _rows(self, epoch: int) -> Sequence[PackedRow]:
        if self._loaded[0] != epoch:
            rows = self._epoch(epoch)
            if not rows:
                raise ValueError(
                    f"epoch {epoch} has no rows to train on; check the data and its sampling ratios"
                )
            self._loaded = (epoch, rows)
        return self._loaded[1]
