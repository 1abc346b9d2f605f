"""Shares over a dose: a panel for each group, a line for each way of measuring, with 95% intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.statistics import Estimate
from labkit.views.intervals import SYMBOLS, error_bars
from labkit.views.style import BLUE, DASHES, GRAY, GREEN, ORANGE, PINK, SKY, VERMILION, style

COLORS = (BLUE, ORANGE, GREEN, PINK, VERMILION, SKY)


def dose_figure(
    groups: Mapping[str, Mapping[str, Sequence[Estimate]]],
    doses: Sequence[str],
    *,
    dose: str,
    axis: str,
    chance: float | None = None,
    title: str = "",
) -> go.Figure:
    """Shares with 95% intervals over doses.

    Args:
        groups: by name, such as a language, a share for each dose of each way; the ways are the same in all.
        doses: names of the doses, in order.
        dose: what they are doses of.
        axis: what the shares are of.
        chance: drawn as a dashed line.
        title: one line.
    """
    figure = make_subplots(
        1, len(groups), shared_yaxes=True, subplot_titles=list(groups), horizontal_spacing=0.04
    )
    for column, ways in enumerate(groups.values(), start=1):
        for place, (way, estimates) in enumerate(ways.items()):
            figure.add_scatter(
                # Ways stand a little apart, so that their intervals can be told from each other.
                x=[number + 0.05 * (place - (len(ways) - 1) / 2) for number in range(len(doses))],
                y=[each.value for each in estimates],
                error_y=error_bars(estimates),
                mode="lines+markers",
                marker={"size": 11, "symbol": SYMBOLS[place % len(SYMBOLS)]},
                line={"color": COLORS[place % len(COLORS)], "dash": DASHES[place % len(DASHES)]},
                hovertemplate="%{y:.1%}<extra>" + way + "</extra>",
                name=way,
                legendgroup=way,
                showlegend=column == 1,
                row=1,
                col=column,
            )
    if chance is not None:
        figure.add_hline(chance, line={"color": GRAY, "dash": "dash"})
    figure.update_xaxes(
        title_text=dose, tickvals=list(range(len(doses))), ticktext=list(doses), showgrid=False
    )
    figure.update_yaxes(tickformat=".0%", range=[-0.02, 1.04])
    figure.update_yaxes(title_text=axis, col=1)
    style(figure, title, height=520)
    figure.update_layout(title={"y": 0.97, "yanchor": "top"}, legend={"y": 1.1}, margin={"t": 170})
    return figure
