"""What a linear probe tells of each homograph, layer by layer, as a map for each language."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.study.reading_probe import ProbeRow
from labkit.views.style import LANGUAGE_NAMES, style


def told_by_homograph(rows: Sequence[ProbeRow]) -> dict[tuple[str, str], list[float]]:
    """By language and homograph, how often the probe of each layer tells the reading, 0 to 1.

    Sorted by how early in the stack it is told: first the homographs that the lowest layers know.
    """
    answers: dict[tuple[str, str], list[tuple[bool, ...]]] = {}
    for row in rows:
        answers.setdefault((row.language, row.homograph), []).append(row.right)
    shares = {
        key: [sum(layer) / len(layer) for layer in zip(*each, strict=True)] for key, each in answers.items()
    }
    return dict(sorted(shares.items(), key=lambda item: -sum(item[1])))


def probe_figure(rows: Sequence[ProbeRow], title: str) -> go.Figure:
    """A map of homographs by layers, a panel for each language: how often the probe tells the reading.

    Args:
        rows: of `labkit.study.reading_probe.probe`.
        title: one line.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("there is no sentence that a probe was asked about")
    shares = told_by_homograph(rows)
    languages = list(dict.fromkeys(row.language for row in rows))
    figure = make_subplots(
        1,
        len(languages),
        subplot_titles=[LANGUAGE_NAMES.get(language, language) for language in languages],
        horizontal_spacing=0.12,
    )
    layers = [str(layer) for layer in range(len(rows[0].right))]
    for column, language in enumerate(languages, start=1):
        own = {word: by for (spoken, word), by in shares.items() if spoken == language}
        figure.add_heatmap(
            x=layers,
            y=list(own),
            z=list(own.values()),
            coloraxis="coloraxis",
            hovertemplate="%{y}, leaving layer %{x}: told in %{z:.0%}<extra></extra>",
            xgap=2,
            ygap=2,
            row=1,
            col=column,
        )
    figure.update_layout(
        coloraxis={
            "colorscale": "Cividis",
            "cmin": 0.5,  # chance
            "cmax": 1,
            "colorbar": {"tickformat": ".0%", "thickness": 14},
        }
    )
    figure.update_xaxes(title="state leaving layer", type="category")
    figure.update_yaxes(autorange="reversed", type="category")
    tallest = max(sum(spoken == language for spoken, _ in shares) for language in languages)
    return style(figure, title, 150 + 24 * tallest)
