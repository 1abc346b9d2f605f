"""One measure by training stage and interleave mode, each with its interval, the judge's ceiling behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from labkit.statistics import Estimate
from labkit.views.intervals import error_bars
from labkit.views.style import BLUE, LANGUAGE_NAMES, ORANGE, style

COLORS = {"en": BLUE, "cmn": ORANGE}
SYMBOLS = {"en": "circle", "cmn": "diamond"}


def stage_intervals(
    rows: Sequence[Mapping[str, Any]],
    measures: Sequence[str],
    *,
    axis: str,
    title: str,
    ceiling: str | None = None,
    goal: float | None = None,
) -> go.Figure:
    """Shares with 95% intervals: a column for each stage and mode, a color for each language.

    Args:
        rows: of `labkit.evaluation.tables`, a ceiling's with None for a stage.
        measures: which to draw, one for each language at most.
        axis: what they are shares of.
        title: one line.
        ceiling: the ceiling to draw, dashed, such as "codec".
        goal: drawn as a dotted line.

    Raises:
        ValueError: no row has such a measure.
    """
    drawn = [row for row in rows if row["measure"] in measures]
    columns = list(dict.fromkeys(_column(row) for row in drawn if row["stage"]))
    if not columns:
        raise ValueError(f"no row measures {' or '.join(measures)}")
    languages = [language for language in LANGUAGE_NAMES if any(row["language"] == language for row in drawn)]
    figure = go.Figure()
    for place, language in enumerate(languages):
        own = [row for row in drawn if row["language"] == language and row["stage"]]
        shift = 0.22 * (place - (len(languages) - 1) / 2)
        figure.add_scatter(
            x=[columns.index(_column(row)) + shift for row in own],
            y=[row["value"] for row in own],
            error_y=error_bars([_estimate(row) for row in own], thickness=2.5),
            mode="markers",
            marker={"size": 11, "symbol": SYMBOLS[language], "color": COLORS[language]},
            customdata=[(_column(row), row["n"]) for row in own],
            hovertemplate="%{customdata[0]}<br>%{y:.1%}, n=%{customdata[1]}<extra>"
            + LANGUAGE_NAMES[language]
            + "</extra>",
            name=LANGUAGE_NAMES[language],
        )
        for row in drawn:
            if ceiling and row["language"] == language and row["stage"] is None and row["mode"] == ceiling:
                figure.add_hline(row["value"], line={"color": COLORS[language], "dash": "dash", "width": 1.5})
    if goal is not None:
        figure.add_hline(goal, line={"dash": "dot"}, annotation_text=f"goal {goal:.0%}")
    figure.update_xaxes(tickvals=list(range(len(columns))), ticktext=columns, showgrid=False)
    figure.update_yaxes(title_text=axis, tickformat=".0%", rangemode="tozero")
    return style(figure, title, height=420)


def _estimate(row: Mapping[str, Any]) -> Estimate:
    """An interval without an upper end, which JSON has as None, is drawn without one."""
    high = row["value"] if row["high"] is None else row["high"]
    return Estimate(row["value"], row["low"], high, row["n"])


def _column(row: Mapping[str, Any]) -> str:
    return f"{row['stage']}<br>{row['mode']}"
