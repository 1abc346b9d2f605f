"""Time as pictures: who made which token when, what was predicted, and what stands before the first sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from labkit.benchmark.first_audio import FirstAudio
from labkit.generation import Event
from labkit.views.style import BLUE, GRAY, GREEN, ORANGE, PINK, SKY, style

MAKERS = (("backbone", GREEN, "diamond", 11), ("MCTP module", BLUE, "line-ns-open", 11))  # the paper's colors
PARTS = (("encoder", SKY), ("chunk", ORANGE), ("decoder", PINK))
BARS = (BLUE, ORANGE, GREEN, SKY, PINK)


def token_lanes(
    runs: Mapping[str, Sequence[Event]], chunks: Mapping[str, int], title: str = "", tokens: int = 40
) -> go.Figure:
    """When each token was there and who made it, a lane for each mode (paper Fig. 5).

    Args:
        runs: events by mode.
        chunks: for each mode, the token with which the first audio chunk is complete; a line is drawn there.
        title: one line.
        tokens: most to draw in a lane.
    """
    figure = go.Figure()
    names = list(runs)
    for maker, color, symbol, size in MAKERS:
        chosen = [
            (name, event)
            for name in names
            for event in runs[name][:tokens]
            if (event.module is None) == (maker == "backbone")
        ]
        figure.add_scatter(
            x=[1000 * event.seconds for _, event in chosen],
            y=[name for name, _ in chosen],
            customdata=[event.index for _, event in chosen],
            mode="markers",
            name=maker,
            marker={"color": color, "symbol": symbol, "size": size, "line": {"width": 2, "color": color}},
            hovertemplate="token %{customdata}, %{x:.1f} ms<extra>" + maker + "</extra>",
        )
    figure.add_scatter(
        x=[1000 * runs[name][chunks[name]].seconds for name in names],
        y=names,
        mode="markers",
        name="first audio chunk complete",
        marker={"color": ORANGE, "symbol": "triangle-left", "size": 16},
        hovertemplate="%{x:.1f} ms<extra>first audio chunk</extra>",
    )
    figure.update_xaxes(title="milliseconds", rangemode="tozero")
    figure.update_yaxes(autorange="reversed", type="category")
    return style(figure, title, 110 + 70 * len(names))


def grouped_bars(
    groups: Mapping[str, Mapping[str, float]],
    title: str = "",
    unit: str = "seconds",
    spread: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> go.Figure:
    """Values side by side: one color for each group, one place for each mode.

    Args:
        groups: by name, values by mode.
        title: one line.
        unit: of the values.
        spread: for some groups, least and most by mode.
    """
    figure = go.Figure()
    for place, (name, values) in enumerate(groups.items()):
        ends = (spread or {}).get(name)
        bars = None
        if ends:
            bars = {
                "type": "data",
                "symmetric": False,
                "array": [ends[mode][1] - value for mode, value in values.items()],
                "arrayminus": [value - ends[mode][0] for mode, value in values.items()],
                "color": GRAY,
            }
        figure.add_bar(
            x=list(values),
            y=list(values.values()),
            name=name,
            marker_color=BARS[place % len(BARS)],
            error_y=bars,
            texttemplate="%{y:.3g}",
            textposition="inside",
        )
    figure.update_yaxes(title=unit, rangemode="tozero")
    return style(figure, title, 420)


def first_audio_bars(
    rows: Mapping[str, FirstAudio | Mapping[str, float]], title: str = "", unit: str = "milliseconds"
) -> go.Figure:
    """What stands before the first sound: encoder, first audio token chunk, decoder (paper Table 9).

    Args:
        rows: by name, a measurement or the seconds of its parts.
        title: one line.
        unit: of the axis.
    """
    figure = go.Figure()
    for part, color in PARTS:
        figure.add_bar(
            y=list(rows),
            x=[
                1000 * (getattr(row, part) if isinstance(row, FirstAudio) else row[part])
                for row in rows.values()
            ],
            orientation="h",
            name={"chunk": "first audio token chunk"}.get(part, f"audio {part}"),
            marker_color=color,
            texttemplate="%{x:.3g}",
            textangle=0,
            insidetextanchor="middle",
        )
    figure.update_layout(barmode="stack")
    figure.update_yaxes(autorange="reversed", type="category")
    figure.update_xaxes(title=unit)
    return style(figure, title, 110 + 60 * len(rows))
