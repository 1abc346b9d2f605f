"""Token generation speed curves (paper Fig. 5): tokens over time, each marked by who made it."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from labkit.study.take import Take
from labkit.views.style import BLUE, DASHES, GRAY, GREEN, VERMILION, style


def speed_curves(takes: Sequence[Take], *, title: str = "") -> go.Figure:
    """Tokens over milliseconds of the model's work; a note marks where the first sound can be heard.

    Args:
        takes: one for each mode.
        title: one line.

    Raises:
        ValueError: no takes, or one in which nothing was said yet.
    """
    if not takes or not all(take.marks for take in takes):
        raise ValueError("there is nothing to draw yet: iterate over each take first")
    figure = go.Figure()
    for place, take in enumerate(takes):
        times = [1000 * mark.seconds for mark in take.marks]
        name = take.mode.name.capitalize()
        figure.add_scatter(
            x=times,
            y=list(range(1, len(times) + 1)),
            mode="lines",
            line={"color": GRAY, "width": 1.5, "dash": DASHES[place % len(DASHES)]},
            hoverinfo="skip",
            showlegend=False,
        )
        for maker, color, symbol in (("backbone", GREEN, "diamond"), ("MCTP module", BLUE, "circle")):
            chosen = [
                i for i, mark in enumerate(take.marks) if (mark.module is None) == (maker == "backbone")
            ]
            if not chosen and place:
                continue
            figure.add_scatter(
                x=[times[i] for i in chosen],
                y=[i + 1 for i in chosen],
                mode="markers",
                marker={"color": color, "symbol": symbol, "size": 7},
                name=maker,
                legendgroup=maker,
                showlegend=place == 0,
                hovertemplate=f"{name}: token %{{y}}, %{{x:.0f}} ms<br>made by the {maker}<extra></extra>",
            )
        figure.add_annotation(
            x=times[-1],
            y=len(times),
            text=f"<b>{name}</b>",
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            yshift=4,
            font={"size": 17},
        )
    _mark_first_sounds(figure, takes)
    figure.update_xaxes(title_text="milliseconds of the model's work", rangemode="tozero")
    figure.update_yaxes(title_text="tokens", rangemode="tozero")
    return style(figure, title, height=520)


def _mark_first_sounds(figure: go.Figure, takes: Sequence[Take]) -> None:
    """Stars on top of everything else, and their times in words, for two of them may lie on each other."""
    sounding = sorted(
        (take for take in takes if take.first_sound is not None), key=lambda take: take.first_sound
    )
    for place, take in enumerate(sounding):
        name = take.mode.name.capitalize()
        when = 1000 * take.first_sound
        height = sum(mark.seconds <= take.sounds[0].tokens_at for mark in take.marks)
        figure.add_scatter(
            x=[when],
            y=[height],
            mode="markers",
            marker={
                "color": VERMILION,
                "symbol": "star",
                "size": 15,
                "line": {"width": 1, "color": "white"},
            },
            name="first sound",
            legendgroup="first sound",
            showlegend=place == 0,
            hovertemplate=f"{name}: first sound %{{x:.0f}} ms<extra></extra>",
        )
    if sounding:
        when = [f"{take.mode.name.capitalize()} {1000 * take.first_sound:.0f} ms" for take in sounding]
        figure.add_annotation(
            text="first sound<br>" + "<br>".join(when),
            x=1,
            y=0.02,
            xref="paper",
            yref="paper",
            xanchor="right",
            yanchor="bottom",
            align="right",
            showarrow=False,
            font={"size": 15, "color": VERMILION},
        )
