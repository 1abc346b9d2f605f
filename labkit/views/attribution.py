"""Attributions as pictures: the words of one sentence under three methods, and how the methods agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from labkit.statistics import Estimate
from labkit.study.attribution import METHODS, WordRow
from labkit.views.intervals import error_bars
from labkit.views.style import BLUE, GREEN, ORANGE, style

NAMES = {"integrated": "integrated gradients", "ablated": "ablated", "cut": "hidden from the audio"}
ROLES = ("deciding", "homograph", "other")


def words_figure(rows: Sequence[WordRow], title: str) -> go.Figure:
    """What each word of one sentence brings to its reading, in nats.

    Raises:
        ValueError: no rows, or those of several utterances.
    """
    if len({row.utterance for row in rows}) != 1:
        raise ValueError("show the words of one utterance at a time")
    labels = [f"<b>{row.text}</b>" if row.role != "other" else row.text for row in rows]
    figure = go.Figure()
    for method, color in zip(METHODS, (BLUE, ORANGE, GREEN), strict=True):
        figure.add_bar(
            x=[row.word for row in rows],
            y=[getattr(row, method) for row in rows],
            name=NAMES[method],
            marker_color=color,
        )
    figure.update_xaxes(tickvals=[row.word for row in rows], ticktext=labels)
    figure.update_yaxes(title="nats for this reading")
    return style(figure, title, 400)


def roles_figure(shares: Mapping[str, Mapping[str, Estimate]], title: str) -> go.Figure:
    """Which role gets how much of all attribution, method by method, with 95% intervals.

    Args:
        shares: by method, then by role.
        title: one line.
    """
    figure = go.Figure()
    for method, color in zip(METHODS, (BLUE, ORANGE, GREEN), strict=True):
        own = [shares[method][role] for role in ROLES]
        figure.add_bar(
            x=["deciding word", "homograph", "all others"],
            y=[each.value for each in own],
            error_y=error_bars(own),
            name=NAMES[method],
            marker_color=color,
        )
    figure.update_yaxes(title="share of all attribution", tickformat=".0%", rangemode="tozero")
    return style(figure, title, 400)
