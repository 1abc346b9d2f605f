"""Pictures of attention alignment: where the audio looks in the text, which heads do, and what crosses modalities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from labkit.statistics import Estimate
from labkit.study.alignment_choice import RankedLook
from labkit.study.alignment_weights import FROM, TO, Head
from labkit.study.script import Script
from labkit.views.intervals import COLORS, SYMBOLS, error_bars
from labkit.views.style import DASHES, GRAY, VERMILION, style

SCALE = "Cividis"  # made to look alike to all eyes, and as a gray


def alignment_map(
    script: Script,
    weights: ArrayLike,
    *,
    attended: ArrayLike | None = None,
    measure: str = "attention",
    title: str = "",
) -> go.Figure:
    """The paper's Fig. 1a: text against audio, with the time in which each word truly sounds framed.

    Args:
        script: of the utterance.
        weights: ``(audio, words)``, as `labkit.study.alignment.word_weights` gives them.
        attended: ``(audio,)`` a word for each audio token, drawn as dots.
        measure: what the weights are, on the color bar.
        title: one line.

    Raises:
        ValueError: the weights are not of this utterance.
    """
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (len(script.audio), len(script.words)):
        raise ValueError(
            f"weights must be {(len(script.audio), len(script.words))} (audio, words), got {weights.shape}"
        )
    middles = (np.arange(len(script.audio)) + 0.5) / script.token_rate
    labels = [[f"{word}<br>{time:.2f} s" for time in middles] for word in script.words]
    figure = go.Figure(
        go.Heatmap(
            z=np.round(weights.T, 3),
            x=middles,
            y=list(range(len(script.words))),
            text=labels,
            hovertemplate=f"%{{text}}<br>{measure} %{{z:.0%}}<extra></extra>",
            colorscale=SCALE,
            zmin=0,
            colorbar={"tickformat": ".0%", "thickness": 14, "title": {"text": measure, "side": "right"}},
        )
    )
    x, y = [], []
    for place, word in enumerate(script.utterance.words):
        x += [word.start, word.end, word.end, word.start, word.start, None]
        y += [place - 0.5, place - 0.5, place + 0.5, place + 0.5, place - 0.5, None]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": VERMILION, "width": 3},
        hoverinfo="skip",
        name="when the word sounds",
    )
    if attended is not None:
        figure.add_scatter(
            x=middles,
            y=np.asarray(attended),
            mode="markers",
            marker={"color": "white", "size": 8, "line": {"color": "black", "width": 1.5}},
            name="most attention",
            hoverinfo="skip",
        )
    figure.update_xaxes(title_text="seconds; one column is one audio token", showgrid=False)
    figure.update_yaxes(
        tickvals=list(range(len(script.words))),
        ticktext=list(script.words),
        tickfont={"size": 18},
        range=[len(script.words) - 0.45, -0.55],  # a hair more than the words, for their frames
        showgrid=False,
    )
    return style(figure, title, height=170 + 36 * len(script.words))


def head_accuracies(ranked: Sequence[RankedLook], *, title: str = "") -> go.Figure:
    """Layers and modules against heads: how often each head, read as suits it best, looks at the sounding word.

    Args:
        ranked: as `labkit.study.alignment_choice.rank_looks` gives them.
        title: one line.
    """
    best: dict[Head, RankedLook] = {}
    for each in ranked:
        if each.look.head not in best or each.accuracy > best[each.look.head].accuracy:
            best[each.look.head] = each
    places, heads = _axes(list(best))
    values = np.full((len(places), len(heads)), np.nan)
    texts = [["" for _ in heads] for _ in places]
    hovers = [["" for _ in heads] for _ in places]
    for head, each in best.items():
        row, column = places.index(head.place), heads.index(head.index)
        values[row, column] = each.accuracy
        texts[row][column] = f"{each.accuracy:.0%}"
        hovers[row][column] = f"{each.look}<br>{each.accuracy:.1%}"
    figure = go.Figure(
        go.Heatmap(
            z=values,
            text=texts,
            texttemplate="%{text}" if len(heads) <= 16 else None,
            textfont={"size": 15},
            customdata=hovers,
            hovertemplate="%{customdata}<extra></extra>",
            colorscale=SCALE,
            zmin=0,
            zmax=1,
            xgap=2,
            ygap=2,
            colorbar={"tickformat": ".0%", "thickness": 14},
        )
    )
    _name_axes(figure, places, heads)
    return style(figure, title, height=150 + 30 * len(places))


def mass_by_modality(heads: Sequence[Head], mass: ArrayLike, *, title: str = "") -> go.Figure:
    """How much attention goes from text and audio to text and audio, head by head: four maps on one scale.

    Args:
        heads: as the masses have them.
        mass: ``(heads, from, to)``, as `labkit.study.alignment_weights.mean_mass` gives it.
        title: one line.

    Raises:
        ValueError: another number of heads.
    """
    mass = np.asarray(mass, dtype=float)
    if mass.shape != (len(heads), len(FROM), len(TO)):
        raise ValueError(f"mass must be {(len(heads), len(FROM), len(TO))}, got {mass.shape}")
    places, indices = _axes(heads)
    pairs = [(source, target) for source in FROM for target in TO[:2]]
    figure = make_subplots(
        rows=1,
        cols=len(pairs),
        shared_yaxes=True,
        horizontal_spacing=0.02,
        subplot_titles=[f"{source} → {target}" for source, target in pairs],
    )
    for column, (source, target) in enumerate(pairs, 1):
        values = np.full((len(places), len(indices)), np.nan)
        for head, shares in zip(heads, mass, strict=True):
            share = shares[FROM.index(source), TO.index(target)]
            values[places.index(head.place), indices.index(head.index)] = share
        figure.add_trace(
            go.Heatmap(
                z=np.round(values, 3),
                coloraxis="coloraxis",
                xgap=1,
                ygap=1,
                customdata=[[f"{place} head {index}" for index in indices] for place in places],
                hovertemplate=f"%{{customdata}}<br>{source} → {target} %{{z:.0%}}<extra></extra>",
            ),
            row=1,
            col=column,
        )
    _name_axes(figure, places, indices)
    figure.update_layout(
        coloraxis={
            "colorscale": SCALE,
            "cmin": 0,
            "cmax": 1,
            "colorbar": {"tickformat": ".0%", "thickness": 14},
        }
    )
    figure.update_annotations(font={"size": 16, "color": GRAY})
    return style(figure, title, height=170 + 26 * len(places))


def along_words(
    groups: Mapping[str, Mapping[str, Sequence[Estimate]]], *, goal: float | None = None, title: str = ""
) -> go.Figure:
    """Accuracy at a word's first audio token, its second, and so on, with 95% intervals.

    Args:
        groups: by name, such as a language, the accuracies of up to three ways of telling the word attended to; the
            first is drawn as a line, the others dashed and dotted.
        goal: drawn as a line of long dashes.
        title: one line.
    """
    figure = go.Figure()
    longest = 0
    for place, (name, ways) in enumerate(groups.items()):
        color, symbol = COLORS[place % len(COLORS)], SYMBOLS[place % len(SYMBOLS)]
        for number, (way, estimates) in enumerate(ways.items()):
            longest = max(longest, len(estimates))
            figure.add_scatter(
                x=list(range(len(estimates))),
                y=[each.value for each in estimates],
                error_y=error_bars(estimates),
                mode="lines+markers",
                line={"color": color, "dash": DASHES[number % len(DASHES)]},
                marker={"size": 9, "symbol": f"{symbol}-open" if number else symbol},
                hovertemplate="%{y:.1%}<extra>" + f"{name}: {way}" + "</extra>",
                name=f"{name}: {way}",
            )
    if goal is not None:
        figure.add_hline(
            goal,
            line={"color": GRAY, "dash": "longdash"},
            annotation_text=f"goal {goal:.0%}",
            annotation_position="top left",
        )
    figure.update_xaxes(
        title_text="place of the audio token in its word; the last holds all later ones",
        tickvals=list(range(longest)),
        ticktext=[f"{number + 1}." for number in range(longest)],
    )
    figure.update_yaxes(title_text="audio tokens", tickformat=".0%", range=[0, 1.02])
    # The legend takes a row for each group.
    return style(figure, title, height=500).update_layout(margin_t=130)


def _axes(heads: Sequence[Head]) -> tuple[list[str], list[int]]:
    """Layers and modules, and head numbers, in the order of the model."""

    def depth(place: str) -> tuple[bool, int]:
        kind, _, number = place.partition(".")
        return kind != "backbone", int(number)

    return sorted({head.place for head in heads}, key=depth), sorted({head.index for head in heads})


def _name_axes(figure: go.Figure, places: Sequence[str], heads: Sequence[int]) -> None:
    figure.update_xaxes(
        title_text="head", tickvals=list(range(len(heads))), ticktext=list(map(str, heads)), showgrid=False
    )
    figure.update_yaxes(
        tickvals=list(range(len(places))),
        ticktext=[place.replace(".", " ") for place in places],
        range=[len(places) - 0.5, -0.5],
        showgrid=False,
    )
