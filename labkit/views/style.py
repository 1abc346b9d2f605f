"""One look for the lab's figures: colors that everybody can tell apart, on light and on dark pages.

The colors are those of Okabe and Ito. Text, lines and background suit JupyterLab's light and dark themes
alike; type is large enough for a projector.
"""

import plotly.graph_objects as go

BLUE, ORANGE, PINK = "#0072B2", "#E69F00", "#CC79A7"
GREEN, VERMILION, SKY, YELLOW = "#009E73", "#D55E00", "#56B4E9", "#F0E442"
GRAY = "#767676"  # contrast 4.5 to white and 4.6 to black
FAINT = "rgba(128,128,128,0.16)"
CLEAR = "rgba(0,0,0,0)"
DASHES = ("solid", "dash", "dot", "dashdot")  # of lines, beside their colors

LANGUAGE_NAMES = {"en": "English", "cmn": "Mandarin"}

TEXT_COLOR, AUDIO_COLOR, TAG_COLOR = BLUE, ORANGE, PINK


def style(figure: go.Figure, title: str, height: int) -> go.Figure:
    """Give a figure the lab's look, in place; returns it.

    Args:
        figure: any figure.
        title: one line above it.
        height: in pixels; the width is that of the page.
    """
    figure.update_layout(
        title={"text": title, "font": {"size": 20}, "x": 0, "xref": "paper"},
        height=height,
        font={"size": 15, "color": GRAY},
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        margin={"l": 10, "r": 10, "t": 90, "b": 10},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "traceorder": "normal"},
    )
    figure.update_xaxes(automargin=True, gridcolor=FAINT, zeroline=False)
    figure.update_yaxes(automargin=True, gridcolor=FAINT, zeroline=False)
    return figure
