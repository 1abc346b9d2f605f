"""Estimates beside each other, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from labkit.statistics import Estimate
from labkit.views.style import BLUE, GRAY, GREEN, ORANGE, PINK, style

SYMBOLS = ("circle", "diamond", "square", "triangle-up")
COLORS = (BLUE, ORANGE, GREEN, PINK)


def compare_ways(
    groups: Mapping[str, Mapping[str, Estimate]],
    *,
    axis: str,
    goal: float | None = None,
    title: str = "",
    lowest: float = 0.0,
) -> go.Figure:
    """Shares with 95% intervals, one line of the picture for each way of doing something.

    Args:
        groups: by name, such as a language, the share of each way; the ways are the same in all.
        axis: what they are shares of.
        goal: drawn as a dashed line.
        title: one line.
        lowest: where the axis begins, above 0 where all shares are large and differences small.
    """
    figure = go.Figure()
    ways = list(next(iter(groups.values())))
    for place, (name, estimates) in enumerate(groups.items()):
        values = [estimates[way] for way in ways]
        # Groups stand a little apart, so that their intervals can be told from each other.
        shift = 0.22 * (place - (len(groups) - 1) / 2)
        figure.add_scatter(
            x=[each.value for each in values],
            y=[row + shift for row in range(len(ways))],
            error_x=error_bars(values, thickness=2.5),
            mode="markers",
            marker={
                "size": 12,
                "symbol": SYMBOLS[place % len(SYMBOLS)],
                "color": COLORS[place % len(COLORS)],
            },
            cliponaxis=False,  # markers at 100% are drawn whole
            customdata=ways,
            hovertemplate="%{customdata}<br>%{x:.1%}<extra>" + name + "</extra>",
            name=name,
        )
    if goal is not None:
        figure.add_vline(
            goal,
            line={"color": GRAY, "dash": "dash"},
            annotation_text=f"goal {goal:.0%} ",
            annotation_position="top left",
        )
    figure.update_xaxes(title_text=axis, tickformat=".0%", range=[lowest, 1])
    figure.update_yaxes(
        tickvals=list(range(len(ways))), ticktext=ways, range=[len(ways) - 0.5, -0.5], showgrid=False
    )
    return style(figure, title, height=190 + 44 * len(ways))


def error_bars(estimates: Sequence[Estimate], thickness: float = 1.2) -> dict[str, object]:
    """The 95% intervals of estimates in plotly's form; thickness in pixels."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [each.high - each.value for each in estimates],
        "arrayminus": [each.value - each.low for each in estimates],
        "thickness": thickness,
    }
