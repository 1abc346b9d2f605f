"""Where a reading is decided, as pictures: maps of patches, and curves of cuts, over the layers of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import plotly.graph_objects as go

from labkit.statistics import Estimate
from labkit.study.patching import PatchRow, flips, turned
from labkit.views.intervals import error_bars
from labkit.views.style import BLUE, GRAY, GREEN, ORANGE, PINK, VERMILION, style

LINES = (("solid", "circle"), ("dash", "diamond"), ("dot", "square"))  # of lines and their markers
COLORS = (BLUE, VERMILION, GREEN, ORANGE, PINK)


def patch_figure(rows: Sequence[PatchRow], title: str, measure: str = "flip") -> go.Figure:
    """A map of places by classes of positions: how far each patch turns the reading.

    Args:
        rows: of one or more hook points, in the order in which they are to stand.
        title: one line.
        measure: "flip", the share of the whole effect, or "turned", how often the other reading's token is preferred.

    Raises:
        ValueError: no rows, or no such measure.
    """
    if not rows:
        raise ValueError("there is no patch to show")
    if measure not in ("flip", "turned"):
        raise ValueError(f"no measure {measure!r}; choose flip or turned")
    values = flips(rows) if measure == "flip" else turned(rows)
    return place_figure(values, title)


def place_figure(values: Mapping[tuple[str, str], Estimate], title: str) -> go.Figure:
    """A map of places by classes of positions, whatever was measured there, as shares from 0 to 1.

    Args:
        values: by hook point and class, in the order in which they are to stand; some may be missing.
        title: one line.

    Raises:
        ValueError: nothing to show.
    """
    if not values:
        raise ValueError("there is no patch to show")
    hooks, groups = (list(dict.fromkeys(key[place] for key in values)) for place in (0, 1))
    cells = [[values.get((hook, group)) for hook in hooks] for group in groups]
    figure = go.Figure(
        go.Heatmap(
            x=[hook_label(hook) for hook in hooks],
            y=groups,
            z=[[cell.value if cell else None for cell in line] for line in cells],
            zmin=0,
            zmax=1,
            colorscale="Cividis",
            text=[[_percent(cell.value) if cell else "" for cell in line] for line in cells],
            texttemplate="%{text}",
            textfont={"size": 13},
            customdata=[[_interval(cell) for cell in line] for line in cells],
            hovertemplate="%{y}, patched at %{x}<br>%{text} %{customdata}<extra></extra>",
            xgap=2,
            ygap=2,
            colorbar={"tickformat": ".0%", "thickness": 14},
        )
    )
    place = "layer (m: MCTP module)" if any("module" in hook for hook in hooks) else "layer"
    entering = all("resid_pre" in hook for hook in hooks)
    figure.update_xaxes(title=f"patched {'entering' if entering else 'in'} {place}", type="category")
    figure.update_yaxes(autorange="reversed", type="category")
    return style(figure, title, 130 + 38 * len(groups))


def hook_label(hook: str) -> str:
    """A hook point in a few letters: the number of its layer, or of its module with an m before it.

    >>> hook_label("backbone.3.resid_pre"), hook_label("module.0.z")
    ('3', 'm0')
    """
    parts = hook.split(".")
    if " to " in hook:
        first, last = hook.split(" to ")
        return f"{hook_label(first)}–{hook_label(last)}"
    return parts[1] if parts[0] == "backbone" else f"m{parts[1]}"


def cut_figure(
    values: Mapping[tuple[str, str, int], Estimate], title: str, *, undecided: float | None = None
) -> go.Figure:
    """Curves over layers of what is lost when the audio does not see a word there, with 95% intervals.

    Args:
        values: by word, side and layer, as `labkit.study.layer_knockouts.lost` gives them.
        title: one line.
        undecided: what is lost where a model leans to neither reading, drawn as a line.

    Raises:
        ValueError: nothing to show.
    """
    if not values:
        raise ValueError("there is no cut to show")
    figure = go.Figure()
    words, sides = (list(dict.fromkeys(key[place] for key in values)) for place in (0, 1))
    for color, word in zip(cycle(COLORS), words, strict=False):
        for (dash, symbol), side in zip(cycle(LINES), sides, strict=False):
            curve = sorted(
                (layer, value) for (w, s, layer), value in values.items() if (w, s) == (word, side)
            )
            if curve:
                layers, estimates = zip(*curve, strict=True)
                figure.add_scatter(
                    x=layers,
                    y=[each.value for each in estimates],
                    error_y=error_bars(estimates),
                    name=f"{word}, {side}",
                    mode="lines+markers",
                    line={"color": color, "dash": dash, "width": 2.5},
                    marker={"size": 8, "symbol": symbol},
                )
    figure.add_hline(
        1, line={"color": GRAY, "dash": "dot"}, annotation_text="as much as swapping the deciding word"
    )
    if undecided is not None:
        figure.add_hline(undecided, line={"color": GRAY, "dash": "dash"}, annotation_text="neither reading")
    figure.update_xaxes(title="layer", dtick=1)
    figure.update_yaxes(title="log-odds lost", tickformat=".0%")
    style(figure, title, 470)
    # Three words and two sides take two rows of legend, and the title goes above both.
    return figure.update_layout(title={"y": 0.97, "yanchor": "top"}, margin={"t": 120})


def _percent(share: float) -> str:
    """A share in whole percent, without a sign before nothing."""
    return f"{round(100 * share) or 0}%"


def _interval(cell: Estimate | None) -> str:
    return f"[{cell.low:.0%}, {cell.high:.0%}], n={cell.n}" if cell else "no such position"
