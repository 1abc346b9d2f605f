"""Cost models: what a few constants say of every mode.

The paper's twelve totals follow from two constants a size, `T = n_M t_main + n_m t_module`, for there every pass
took as long as its launches. Where reading weights is the work, more matters: how many tokens a pass reads, in the
backbone and in a module, how many rows of the head are scored, and in a long answer how many tokens there are to look
at. All are times, so the fit keeps them from going below zero, and it weighs every kind of step alike.
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls
from transformers import Qwen2Config

from labkit.benchmark.work import Bytes, Work

PAUSE = 3.0


class TwoConstants(NamedTuple):
    """The paper's model: seconds of a backbone pass and of a module step."""

    main: float
    module: float

    def predict(self, backbone_passes: int, module_steps: int) -> float:
        """Seconds in all."""
        return backbone_passes * self.main + module_steps * self.module


def fit_totals(rows: Sequence[tuple[int, int, float]]) -> TwoConstants:
    """The two constants that fit totals best, relative to each total.

    Args:
        rows: (backbone passes, module steps, seconds), at least two of them.

    Raises:
        ValueError: fewer than two rows.
    """
    if len(rows) < 2:
        raise ValueError(f"two constants need at least two totals, got {len(rows)}")
    counts = np.array([row[:2] for row in rows], dtype=float)
    seconds = np.array([row[2] for row in rows])
    main, module = nnls(counts / seconds[:, None], np.ones(len(rows)))[0]
    return TwoConstants(float(main), float(module))


@dataclass(frozen=True)
class CostModel:
    """Seconds that the parts of a step take.

    Attributes:
        main: a backbone pass over one token, without the head.
        module: a module step over one token, without the head.
        column: each further token that a backbone pass reads.
        module_column: each further token that a module reads.
        head_row: each row of the head.
        key: each token that a backbone pass looks at. A module looks with one layer.
        layers: of the backbone.
    """

    main: float
    module: float
    column: float
    module_column: float
    head_row: float
    key: float
    layers: int

    def step(self, each: Work) -> float:
        """Seconds for one token."""
        constants = (self.main, self.module, self.column, self.module_column, self.head_row)
        looking = self.key * each.keys / (1 if each.module is None else self.layers)
        return float(np.dot(features(each), constants)) + looking

    def predict(self, steps: Iterable[Work]) -> float:
        """Seconds for a whole generation."""
        return sum(map(self.step, steps))

    def scaled(self, measured: Qwen2Config, wanted: Qwen2Config) -> "CostModel":
        """The same machine with a model of another shape, taking time to go with the bytes that are read."""
        ours, theirs = Bytes.of(measured, 1), Bytes.of(wanted, 1)
        backbone, module = theirs.backbone / ours.backbone, theirs.module / ours.module
        return CostModel(
            self.main * backbone,
            self.module * module,
            self.column * backbone,
            self.module_column * module,
            self.head_row * theirs.head_row / ours.head_row,
            self.key * theirs.layers * theirs.column / (ours.layers * ours.column),
            theirs.layers,
        )


def features(each: Work) -> list[float]:
    """How often each of the first five constants of a `CostModel` occurs in a step."""
    own, further = (0, 2) if each.module is None else (1, 3)
    row = [0.0, 0.0, 0.0, 0.0, float(each.head_rows)]
    row[own], row[further] = 1.0, each.columns - 1.0
    return row


def fit_steps(measured: Iterable[tuple[Work, float]], layers: int, key: float = 0.0) -> CostModel:
    """Fit a cost model to measured steps.

    Steps of one kind (maker, columns, head rows) count together, with their mean, for a total is a sum of means; but
    those that take over `PAUSE` times their kind's median are pauses of the machine, and do not count. What looking
    at a token costs cannot be seen in a short run, and is given.

    Args:
        measured: steps and their seconds, of both kinds of makers.
        layers: of the backbone.
        key: seconds for each token that a backbone pass looks at; see `labkit.benchmark.length.attention_seconds`.

    Raises:
        ValueError: no steps, or only those of one kind of maker.
    """
    kinds: dict[Work, list[float]] = defaultdict(list)
    for each, seconds in measured:
        maker = None if each.module is None else 0  # all modules are alike
        looking = key * each.keys / (1 if maker is None else layers)
        kinds[Work(maker, each.columns, each.head_rows, 0)].append(max(seconds - looking, 1e-9))
    if {kind.module for kind in kinds} != {None, 0}:
        raise ValueError("fit to runs in which both the backbone and the chain make tokens, such as Turbo's")
    kept = [[time for time in times if time <= PAUSE * statistics.median(times)] for times in kinds.values()]
    means = np.array([statistics.mean(times) for times in kept])
    weights = np.sqrt([len(times) for times in kept])
    matrix = np.array([features(kind) for kind in kinds])
    scale = matrix.max(axis=0)
    scale[scale == 0] = 1.0  # a constant that never occurs: the fit gives it 0
    found = nnls(matrix / scale * (weights / means)[:, None], weights)[0] / scale
    return CostModel(*map(float, found), key, layers)
