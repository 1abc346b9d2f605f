"""Interleave modes to look at: their slots, their delays, and a packed training row."""

from collections.abc import Iterable, Sequence

import plotly.graph_objects as go

from labkit.interleave import FIRST_CHUNK, Content, InterleaveMode, SpeechModel, content_of, delays
from labkit.interleave.delay import TEXT
from labkit.views.style import AUDIO_COLOR, CLEAR, FAINT, GRAY, GREEN, TAG_COLOR, TEXT_COLOR, VERMILION, style
from labkit.vocabulary import IGNORE, Vocabulary

COLORS = {
    Content.TEXT: TEXT_COLOR,
    Content.BEGIN_OF_AUDIO: TAG_COLOR,
    Content.AUDIO: AUDIO_COLOR,
    Content.END_OF_AUDIO: TAG_COLOR,
}
LETTERS = {
    Content.TEXT: "T",
    Content.BEGIN_OF_AUDIO: "[",
    Content.AUDIO: "A",
    Content.END_OF_AUDIO: "]",
}
LEGEND = {
    Content.TEXT: "T  text token",
    Content.AUDIO: "A  audio token",
    Content.BEGIN_OF_AUDIO: "[ ]  begin_of_audio, end_of_audio",
}
ON_COLOR = {TEXT_COLOR: "white", AUDIO_COLOR: "black", TAG_COLOR: "black", GREEN: "white", FAINT: GRAY}
BAR = 0.86  # share of its cell that a box fills


def schedule_figure(
    modes: Iterable[InterleaveMode], slots: int = 33, first_chunk: int = FIRST_CHUNK, title: str | None = None
) -> go.Figure:
    """Draw the first slots of some modes, as in the paper's Fig. 4.

    Each mode has two lanes, for what the backbone makes and for what the MCTP modules make; the color says
    what a slot holds, the shades behind it which slots one backbone pass leads to, and the line where the
    first ``first_chunk`` audio tokens are complete.
    """
    modes = list(modes)
    figure = go.Figure()
    boxes: dict[Content, list[tuple]] = {content: [] for content in LEGEND}
    ticks: list[tuple[float, str]] = []
    for row, mode in enumerate(modes):
        top = -2.6 * row
        ticks += [(top, f"<b>{mode.name.capitalize()}</b>  backbone"), (top - 1, "MCTP")]
        step, start, audio = -1, 0, 0
        for slot in mode.slots(slots):
            if slot.module is None:
                if slot.index:
                    _shade(figure, start, slot.index, top, step)
                step, start = step + 1, slot.index
            kind = Content.BEGIN_OF_AUDIO if slot.content is Content.END_OF_AUDIO else slot.content
            lane = top if slot.module is None else top - 1
            maker = "backbone" if slot.module is None else f"MCTP module {slot.module}"
            hover = f"{mode.name}, slot {slot.index}<br>{slot.content}<br>made by {maker}<br>in pass {step}"
            boxes[kind].append((slot.index, lane, LETTERS[slot.content], hover))
            audio += slot.content is Content.AUDIO
            if slot.content is Content.AUDIO and audio == first_chunk:
                _mark(figure, slot.index, top, f"{first_chunk} audio tokens, pass {step}")
        _shade(figure, start, slots, top, step)
    for content, name in LEGEND.items():
        _boxes(figure, boxes[content], COLORS[content], name)
    figure.update_xaxes(
        title="slot: token after the prompt", range=[-0.7, slots - 0.3], dtick=5, showgrid=False
    )
    figure.update_yaxes(
        tickvals=[y for y, _ in ticks],
        ticktext=[name for _, name in ticks],
        showgrid=False,
        range=[ticks[-1][0] - 0.8, 1.1],
    )
    figure.update_layout(barmode="overlay", bargap=0)
    return style(figure, title or "Who makes each slot, and what it holds", height=180 + 95 * len(modes))


def delay_figure(models: Sequence[SpeechModel], passes: int = 24, text_length: int = 16) -> go.Figure:
    """Draw what each pass of some models emits, stream by stream, up to where sound begins.

    Args:
        models: the models, top to bottom.
        passes: how many passes to draw.
        text_length: text tokens of the answer.
    """
    figure = go.Figure()
    boxes: dict[str, list[tuple]] = {TEXT_COLOR: [], AUDIO_COLOR: []}
    ticks, y = [], 0.0
    for model in models:
        lanes = [TEXT, *range(model.pattern.codebooks)]
        found = delays(model.pattern, model.first_chunk, text_length)
        for number, lane in enumerate(lanes):
            for step in range(passes):
                count = list(model.pattern.emits(step, text_length)).count(lane)
                if count:
                    what = "text" if lane == TEXT else f"audio, codebook {lane}"
                    color = TEXT_COLOR if lane == TEXT else AUDIO_COLOR
                    hover = f"{model.name}, pass {step}<br>{count} × {what}"
                    boxes[color].append((step, y - number, str(count) if count > 1 else "", hover))
        ticks.append((y - (len(lanes) - 1) / 2, f"<b>{model.name}</b>"))
        for delay, dash in ((found.audio_token, "solid"), (found.audio_generation, "dot")):
            if delay < passes:
                figure.add_shape(
                    type="line",
                    x0=delay - 0.5,
                    x1=delay - 0.5,
                    y0=y + 0.6,
                    y1=y - len(lanes) + 0.4,
                    line={"color": VERMILION, "width": 3, "dash": dash},
                )
        y -= len(lanes) + 0.9
    _boxes(figure, boxes[TEXT_COLOR], TEXT_COLOR, "text tokens")
    _boxes(figure, boxes[AUDIO_COLOR], AUDIO_COLOR, "audio tokens (one row a codebook)")
    for name, dash in (("audio token delay", "solid"), ("audio generation delay", "dot")):
        line = {"color": VERMILION, "width": 3, "dash": dash}
        figure.add_scatter(x=[None], y=[None], mode="lines", line=line, name=name)
    figure.update_xaxes(
        title="pass of the language model (0: the prompt is read)", range=[-0.8, passes - 0.3], dtick=1
    )
    figure.update_yaxes(
        tickvals=[t for t, _ in ticks], ticktext=[n for _, n in ticks], showgrid=False, range=[y + 1.2, 1]
    )
    figure.update_layout(barmode="overlay", bargap=0)
    return style(
        figure, f"What each pass emits, for an answer of {text_length} text tokens", height=180 + int(-17 * y)
    )


def packed_row_figure(
    input_ids: Sequence[int],
    labels: Sequence[int],
    position_ids: Sequence[int],
    vocabulary: Vocabulary,
    modules: Sequence[int] = (0, 1, 9),
) -> go.Figure:
    """Draw a packed training row: tokens, positions that restart with each sample, and who learns where.

    Args:
        input_ids: (time,), a few samples one after another.
        labels: (time,), the id where a token is a target, -100 elsewhere.
        position_ids: (time,), counting from 0 in each sample.
        vocabulary: the id space.
        modules: MCTP modules to show. Module k reads the hidden state of the row before, from module k - 1,
            so each sample's first k + 1 rows have nothing for it to read and are dropped.

    Raises:
        ValueError: the three differ in length.
    """
    if not len(input_ids) == len(labels) == len(position_ids):
        raise ValueError(
            "a row has as many ids as labels and positions, "
            f"got {len(input_ids)}, {len(labels)} and {len(position_ids)}"
        )
    figure = go.Figure()
    colors: dict[str, list[tuple]] = {TEXT_COLOR: [], AUDIO_COLOR: [], TAG_COLOR: []}
    for x, token in enumerate(input_ids):
        content = content_of(token, vocabulary)
        hover = f"row {x}, position {position_ids[x]}<br>id {token} ({content})"
        colors[COLORS[content]].append((x, 0, "", hover))
    for (color, boxes), name in zip(colors.items(), ("text", "audio", "audio tags"), strict=True):
        _boxes(figure, boxes, color, name)
    ticks = ["token", "position"]
    marked = [x for x, position in enumerate(position_ids) if position % 5 == 0]
    figure.add_scatter(
        x=marked,
        y=[-1] * len(marked),
        text=[str(position_ids[x]) for x in marked],
        mode="text",
        hoverinfo="skip",
        showlegend=False,
    )
    reads, learns = [], []
    for lane, module in enumerate((None, *modules), start=2):
        ticks.append("backbone" if module is None else f"MCTP module {module}")
        first = 0 if module is None else module + 1
        for x in [x for x, position in enumerate(position_ids) if position >= first]:
            same_sample = x + 1 < len(input_ids) and position_ids[x + 1] == position_ids[x] + 1
            if same_sample and labels[x + 1] != IGNORE:
                target = f"predicts id {labels[x + 1]} at position {position_ids[x + 1]}"
                learns.append((x, -lane, "", f"row {x}: {ticks[-1]} {target}"))
            else:
                reads.append((x, -lane, "", f"row {x}: {ticks[-1]} reads it, without a target"))
    _boxes(figure, reads, FAINT, "read")
    _boxes(figure, learns, GREEN, "read, with a target")
    for x, position in enumerate(position_ids):
        if x and position == 0:
            line = {"color": VERMILION, "width": 3}
            figure.add_shape(type="line", x0=x - 0.5, x1=x - 0.5, y0=0.6, y1=-len(ticks) + 0.4, line=line)
    figure.update_xaxes(title="row", range=[-0.8, len(input_ids) - 0.2], showgrid=False)
    figure.update_yaxes(
        tickvals=[-y for y in range(len(ticks))],
        ticktext=ticks,
        showgrid=False,
        range=[-len(ticks) + 0.3, 0.8],
    )
    figure.update_layout(barmode="overlay", bargap=0)
    return style(figure, "A packed training row", height=190 + 34 * len(ticks))


def _boxes(figure: go.Figure, boxes: list[tuple], color: str, name: str) -> None:
    """Boxes of one color: (x, lane, letter, hover)."""
    figure.add_bar(
        x=[x for x, *_ in boxes],
        y=[BAR] * len(boxes),
        base=[lane - BAR / 2 for _, lane, *_ in boxes],
        width=BAR,
        text=[letter for *_, letter, _ in boxes],
        textposition="inside",
        insidetextanchor="middle",
        textangle=0,
        textfont={"size": 14, "color": ON_COLOR[color]},
        hovertext=[hover for *_, hover in boxes],
        hoverinfo="text",
        marker={"color": color, "line": {"width": 0}},
        name=name,
    )


def _shade(figure: go.Figure, start: int, stop: int, top: float, step: int) -> None:
    """Mark the slots that one backbone pass leads to."""
    figure.add_shape(
        type="rect",
        x0=start - 0.5,
        x1=stop - 0.5,
        y0=top + 0.6,
        y1=top - 1.6,
        layer="below",
        line={"width": 0},
        fillcolor=FAINT if step % 2 == 0 else CLEAR,
    )


def _mark(figure: go.Figure, slot: int, top: float, label: str) -> None:
    """A line after a slot, with a few words above it."""
    figure.add_shape(
        type="line",
        x0=slot + 0.5,
        x1=slot + 0.5,
        y0=top + 0.75,
        y1=top - 1.6,
        line={"color": VERMILION, "width": 3},
    )
    figure.add_annotation(
        x=slot + 0.6,
        y=top + 0.62,
        text=label,
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        font={"color": GRAY, "size": 13},
    )
