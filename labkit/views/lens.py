"""What each layer and each module would say, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.statistics import Estimate
from labkit.study.lens import LensRow
from labkit.views.intervals import error_bars
from labkit.views.style import AUDIO_COLOR, BLUE, GRAY, TAG_COLOR, TEXT_COLOR, VERMILION, style


def lens_figure(plain: Sequence[LensRow], swapped: Sequence[LensRow], title: str) -> go.Figure:
    """Left, the modality that each layer is about to speak in; right, which reading it leans to.

    Args:
        plain: the text as it is.
        swapped: the deciding word swapped.
        title: one line.

    Raises:
        ValueError: no rows.
    """
    if not plain or not swapped:
        raise ValueError("the lens has seen nothing; give rows of both runs")
    layers = sorted({row.layer for row in plain})
    figure = make_subplots(
        rows=1,
        cols=2,
        subplot_titles=("probability by modality", "log-odds of the two readings"),
        horizontal_spacing=0.12,
    )
    for name, color in (("audio", AUDIO_COLOR), ("text", TEXT_COLOR), ("tags", TAG_COLOR)):
        figure.add_scatter(
            x=layers,
            y=[
                float(np.mean([getattr(row, name) for row in plain if row.layer == layer]))
                for layer in layers
            ],
            name=name,
            stackgroup="mass",
            line={"color": color, "width": 1},
            row=1,
            col=1,
        )
    for name, rows, color, symbol in (
        ("text as it is", plain, BLUE, "circle"),
        ("deciding word swapped", swapped, VERMILION, "diamond"),
    ):
        quartiles = [
            np.percentile([row.log_odds for row in rows if row.layer == layer], (25, 50, 75))
            for layer in layers
        ]
        low, middle, high = np.transpose(quartiles)
        figure.add_scatter(
            x=layers,
            y=middle,
            error_y={"type": "data", "symmetric": False, "array": high - middle, "arrayminus": middle - low},
            name=f"{name} (median, quartiles)",
            mode="lines+markers",
            line={"color": color, "width": 2.5},
            marker={"symbol": symbol, "size": 9},
            row=1,
            col=2,
        )
    figure.add_hline(0, line={"color": GRAY, "dash": "dot"}, row=1, col=2)
    figure.update_xaxes(title="leaving layer", dtick=1)
    figure.update_yaxes(tickformat=".0%", range=[0, 1], row=1, col=1)
    figure.update_yaxes(title="nats", row=1, col=2)
    style(figure, title, 460)
    return figure.update_layout(legend={"y": 1.1}, margin={"t": 140})


def drift_figure(agreement: Sequence[Estimate], right: Sequence[Estimate], title: str) -> go.Figure:
    """Along the chain: how often each module's likeliest token is the backbone's, and how often it is the true one."""
    figure = go.Figure()
    for name, values, color, symbol in (
        ("as the backbone", agreement, BLUE, "circle"),
        ("as the truth", right, VERMILION, "diamond"),
    ):
        figure.add_scatter(
            x=list(range(len(values))),
            y=[each.value for each in values],
            error_y=error_bars(values),
            name=name,
            mode="lines+markers",
            line={"color": color, "width": 2.5},
            marker={"symbol": symbol, "size": 9},
        )
    figure.update_xaxes(title="MCTP module", dtick=1)
    figure.update_yaxes(title="likeliest audio token", tickformat=".0%", rangemode="tozero")
    return style(figure, title, 400)


def skip_figure(
    whole: Sequence[Estimate], skipped: Mapping[int, Sequence[Estimate]], title: str
) -> go.Figure:
    """What skipping one module's layer does to its own token and to all after it: divergence gained, nats per token.

    Args:
        whole: each module's divergence from the backbone, nothing skipped.
        skipped: by skipped module, the divergence of that module and of those after it.
        title: one line.

    Raises:
        ValueError: a row does not reach the end of the chain.
    """
    if any(len(values) != len(whole) - module for module, values in skipped.items()):
        raise ValueError("a skipped module's row needs a value for itself and for each module after it")
    gained = [
        [None] * module
        + [own.value - before.value for own, before in zip(values, whole[module:], strict=True)]
        for module, values in skipped.items()
    ]
    figure = go.Figure(
        go.Heatmap(
            x=list(range(len(whole))),
            y=[str(module) for module in skipped],
            z=gained,
            zmin=0,
            colorscale="Cividis",
            texttemplate="%{z:.2f}",
            xgap=2,
            ygap=2,
            hovertemplate="module %{y} skipped, token of module %{x}: %{z:.2f} nats<extra></extra>",
            colorbar={"thickness": 14},
        )
    )
    figure.update_xaxes(title="token of module", dtick=1)
    figure.update_yaxes(title="skipped", autorange="reversed", type="category")
    return style(figure, title, 130 + 38 * len(skipped))
