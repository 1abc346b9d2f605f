"""Speech on one strip: words, waveform, log-mel frames and audio tokens over the same seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from labkit.views.style import BLUE, GRAY, GREEN, ORANGE, VERMILION, style

MOST_POINTS = 2000
"""Points drawn of a waveform; longer ones are binned to their extremes, which is all a screen can show."""


def speech_strip(
    waveform: ArrayLike,
    sample_rate: int,
    mel: ArrayLike,
    frame_rate: float,
    tokens: Sequence[int],
    token_rate: float,
    words: Sequence[tuple[str, float, float]] = (),
    *,
    title: str = "",
) -> go.Figure:
    """One utterance seen four ways on one time axis.

    Args:
        waveform: `(samples,)` at `sample_rate` Hz.
        mel: log-mels `(frames, mel_bins)` at `frame_rate` frames per second.
        tokens: audio tokens at `token_rate` per second; each is a cell, coloured and labelled by its number.
        words: `(text, start, end)` in seconds.
    """
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.04, row_heights=[0.32, 0.48, 0.2]
    )
    times, low, high = extremes(np.asarray(waveform, dtype=float), sample_rate)
    figure.add_trace(
        go.Scatter(
            x=np.concatenate([times, times[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            fill="toself",
            line={"width": 0.6, "color": BLUE},
            fillcolor=BLUE,
            hoverinfo="skip",
            showlegend=False,
        ),
        row=1,
        col=1,
    )
    mel = np.asarray(mel)
    figure.add_trace(
        go.Heatmap(
            z=np.round(mel.T, 1),
            x=(np.arange(len(mel)) + 0.5) / frame_rate,
            colorscale="Cividis",
            showscale=False,
            hovertemplate="%{x:.2f} s, mel bin %{y}<br>%{z:.1f}<extra></extra>",
        ),
        row=2,
        col=1,
    )
    # Neighbouring numbers mean nothing, so a cyclic scale keeps the eye from reading an order into them.
    figure.add_trace(
        go.Heatmap(
            z=[[token * 37 % 64 for token in tokens]],
            x=(np.arange(len(tokens)) + 0.5) / token_rate,
            y=[0],
            text=[[str(token) for token in tokens]],
            texttemplate="%{text}" if len(tokens) <= 40 else None,
            textfont={"size": 10},
            colorscale="Phase",
            opacity=0.75,
            showscale=False,
            xgap=1,
            hovertemplate="token %{text}<br>%{x:.2f} s<extra></extra>",
        ),
        row=3,
        col=1,
    )
    loudest = float(max(np.abs(low).max(), np.abs(high).max(), 1e-3))
    for text, start, end in words:
        figure.add_vline(x=start, line={"color": GRAY, "width": 0.8, "dash": "dot"})
        figure.add_annotation(
            x=(start + end) / 2, y=1.25 * loudest, text=text, showarrow=False, font={"size": 15}, row=1, col=1
        )
    figure.update_yaxes(range=[-1.1 * loudest, 1.45 * loudest], title_text="wave", row=1, col=1)
    figure.update_yaxes(title_text="mel bin", row=2, col=1)
    figure.update_yaxes(showticklabels=False, title_text="tokens", row=3, col=1)
    figure.update_xaxes(title_text="seconds", row=3, col=1)
    return style(figure, title, height=520)


def mel_comparison(
    panels: Mapping[str, ArrayLike], frame_rate: float, *, title: str = "", columns: int = 2
) -> go.Figure:
    """Log-mels `(frames, mel_bins)` side by side on one colour scale; the keys of `panels` are their titles."""
    rows = -(-len(panels) // columns)
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(panels),
        shared_xaxes=True,
        shared_yaxes=True,
        vertical_spacing=0.25 / max(rows, 2),
        horizontal_spacing=0.04,
    )
    arrays = [np.asarray(mel) for mel in panels.values()]
    low, high = min(mel.min() for mel in arrays), max(mel.max() for mel in arrays)
    for place, mel in enumerate(arrays):
        figure.add_trace(
            go.Heatmap(
                z=np.round(mel.T, 1),
                x=(np.arange(len(mel)) + 0.5) / frame_rate,
                zmin=low,
                zmax=high,
                colorscale="Cividis",
                showscale=False,
                hoverinfo="skip",
            ),
            row=place // columns + 1,
            col=place % columns + 1,
        )
    figure.update_xaxes(title_text="seconds", row=rows)
    return style(figure, title, height=110 + 200 * rows)


def rates_by_steps(
    steps: Sequence[int], rates: Mapping[str, Sequence[tuple[float, float, float]]], *, title: str, unit: str
) -> go.Figure:
    """Numbers with intervals over Euler steps; `rates` maps a name to `(value, low, high)` for each of `steps`."""
    figure = go.Figure()
    looks = cycle(((BLUE, "circle"), (VERMILION, "diamond"), (GREEN, "square"), (ORANGE, "x")))
    for (color, symbol), (name, values) in zip(looks, rates.items(), strict=False):
        figure.add_trace(
            go.Scatter(
                x=[str(count) for count in steps],
                y=[value for value, _, _ in values],
                error_y={
                    "array": [high - value for value, _, high in values],
                    "arrayminus": [value - low for value, low, _ in values],
                },
                name=name,
                mode="lines+markers",
                line={"color": color},
                marker={"symbol": symbol, "size": 10},
            )
        )
    figure.update_xaxes(title_text="Euler steps", type="category")
    figure.update_yaxes(title_text=unit, rangemode="tozero")
    return style(figure, title, height=420)


def codebook_usage(counts: ArrayLike, *, title: str = "") -> go.Figure:
    """How often each audio token is used: shares in falling order, on a log scale; `counts` `(size,)`."""
    shares = np.sort(np.asarray(counts, dtype=float))[::-1]
    shares = shares / shares.sum()
    figure = go.Figure(
        go.Scatter(x=np.arange(1, len(shares) + 1), y=shares, mode="lines", line={"color": BLUE})
    )
    figure.add_hline(
        y=1 / len(shares),
        line={"dash": "dot", "color": VERMILION},
        annotation_text="all tokens equally often",
    )
    figure.update_xaxes(title_text="audio tokens, most frequent first")
    figure.update_yaxes(title_text="share of all tokens", type="log")
    return style(figure, title, height=380)


def extremes(waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times in seconds and the lowest and highest sample of each of at most `MOST_POINTS` bins."""
    width = max(1, -(-len(waveform) // MOST_POINTS))
    padded = np.pad(waveform, (0, -len(waveform) % width), mode="edge").reshape(-1, width)
    return (np.arange(len(padded)) + 0.5) * width / sample_rate, padded.min(axis=1), padded.max(axis=1)
