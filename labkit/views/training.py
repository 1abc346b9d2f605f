"""Training, watched and compared: losses as they come, and what each module of the chain gets right."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from IPython.display import display

from labkit.figures import STATIC_VARIABLE
from labkit.statistics import Estimate
from labkit.views.intervals import error_bars
from labkit.views.style import BLUE, GRAY, GREEN, ORANGE, PINK, SKY, VERMILION, style

PALETTE = (BLUE, ORANGE, GREEN, VERMILION, PINK, SKY)
Rows = Sequence[Mapping[str, float]]
LABELS = {"accuracy": "next token right", "loss": "loss (nats)"}


class LiveCurves:
    """Curves that grow while a model trains; give it to the training loop as a listener.

    In JupyterLab the figure updates in place. Where nobody watches (a notebook executed by a program) nothing is
    drawn before the end; show `curves_figure` then.

    Args:
        title: one line.
        measure: "accuracy" or "loss".
        every: rows per update.
    """

    def __init__(self, title: str, measure: str = "accuracy", every: int = 1) -> None:
        self.rows: list[Mapping[str, float]] = []
        self._title, self._measure, self._every = title, measure, every
        self._figure: go.FigureWidget | None = None

    def __call__(self, row: Mapping[str, float]) -> None:
        """Take a row of a training's history."""
        self.rows.append(row)
        if os.environ.get(STATIC_VARIABLE) or len(self.rows) % self._every:
            return
        figure = curves_figure(self.rows, self._title, self._measure)
        if self._figure is None:
            self._figure = go.FigureWidget(figure)
            display(self._figure)
            return
        with self._figure.batch_update():
            for old, new in zip(self._figure.data, figure.data, strict=True):
                old.x, old.y = new.x, new.y


def curves_figure(rows: Rows, title: str, measure: str = "accuracy") -> go.Figure:
    """One measure of the backbone and of every module over the steps of a training.

    Args:
        rows: of a history.
        title: one line.
        measure: "accuracy" (share of targets that were the likeliest token) or "loss" (nats).

    Raises:
        ValueError: no rows, or they hold no such measure.
    """
    names = [name for name in rows[0] if name.startswith(f"{measure}/")] if rows else []
    if not names:
        raise ValueError(f"these {len(rows)} rows have no {measure!r}; choose accuracy or loss")
    figure = go.Figure()
    for place, name in enumerate(names):
        label = name.partition("/")[2]
        # Modules in turn from dark to light, so that the eye can follow the chain.
        shade = (
            GRAY
            if label == "backbone"
            else f"rgba(0,114,178,{1 - 0.75 * (place - 1) / max(1, len(names) - 1):.2f})"
        )
        figure.add_scatter(
            x=[row["step"] for row in rows],
            y=[row[name] for row in rows],
            name=label,
            line={"color": shade, "width": 2.5, "dash": "dash" if label == "backbone" else "solid"},
        )
    figure.update_xaxes(title="optimizer step")
    figure.update_yaxes(title=LABELS.get(measure, measure))
    if measure == "accuracy":
        figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return style(figure, title, 420)


def compared_curves(runs: Mapping[str, Rows], title: str, measure: str = "accuracy/module 0") -> go.Figure:
    """One measure over the steps of several trainings, one line for each.

    Args:
        runs: by name, the rows of a history.
        title: one line.
        measure: a column of the rows.

    Raises:
        ValueError: a run has no rows, or they lack the measure.
    """
    figure = go.Figure()
    for place, (name, rows) in enumerate(runs.items()):
        if not rows or measure not in rows[0]:
            raise ValueError(f"the run {name!r} has no {measure!r}: {sorted(rows[0]) if rows else 'no rows'}")
        figure.add_scatter(
            x=[row["step"] for row in rows],
            y=[row[measure] for row in rows],
            name=name,
            line={"color": PALETTE[place % len(PALETTE)], "width": 2.5},
        )
    kind, _, part = measure.partition("/")
    figure.update_xaxes(title="optimizer step")
    figure.update_yaxes(title=f"{part or kind}: {LABELS.get(kind, kind)}")
    if kind == "accuracy":
        figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    return style(figure, title, 420)


def module_accuracies(
    groups: Mapping[str, Sequence[Estimate]], title: str, backbone: Estimate | None = None
) -> go.Figure:
    """Accuracy along the chain, one line for each way of training, with 95% intervals.

    Args:
        groups: by name, an estimate for module 0, 1, ...
        title: one line.
        backbone: drawn as a level line.
    """
    figure = go.Figure()
    for place, (name, estimates) in enumerate(groups.items()):
        figure.add_scatter(
            x=list(range(len(estimates))),
            y=[each.value for each in estimates],
            error_y=error_bars(estimates),
            name=name,
            mode="lines+markers",
            line={"color": PALETTE[place % len(PALETTE)], "width": 2.5},
            marker={"size": 9},
        )
    if backbone is not None:
        figure.add_hline(backbone.value, line={"color": GRAY, "dash": "dash"}, annotation_text="backbone")
    figure.update_xaxes(title="MCTP module", dtick=1)
    figure.update_yaxes(title="audio token right", tickformat=".0%", rangemode="tozero")
    return style(figure, title, 420)
