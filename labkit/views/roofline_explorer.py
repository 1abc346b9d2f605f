"""A widget that says how fast a machine of any bandwidth could speak with a model of any size, by any schedule."""

from __future__ import annotations

import os

import ipywidgets
import plotly.graph_objects as go
from IPython.display import display

from labkit.benchmark.work import Bytes, work
from labkit.figures import STATIC_VARIABLE
from labkit.interleave import MODES, InterleaveMode, parse
from labkit.interleave.rate import speech_rate
from labkit.model import SIZES, size_config
from labkit.views.display import figure_output, show
from labkit.views.errors import ErrorArea
from labkit.views.latency import grouped_bars
from labkit.vocabulary import Vocabulary
from labkit.vocabulary.layout import CHAT_SPECIALS, released_specials

TOKENS = 1540  # ten whole periods of every mode of the paper
AUDIO_ROWS = 16384


def seconds_per_token(
    mode: InterleaveMode,
    size: str,
    bandwidth: float,
    text_rows: int,
    cut: bool,
    itemsize: int = 2,
    lost_per_layer: float = 0.0,
) -> float:
    """Seconds a token takes where time goes into reading weights, and into waiting for each layer to be launched.

    Args:
        mode: the schedule.
        size: one of `labkit.model.SIZES`.
        bandwidth: bytes per second.
        text_rows: text tokens of the vocabulary.
        cut: score only what a slot can hold.
        itemsize: bytes of a weight.
        lost_per_layer: seconds that each decoder layer loses, whatever it reads.
    """
    vocabulary = Vocabulary.of(text_rows, (*CHAT_SPECIALS, *released_specials()), AUDIO_ROWS)
    config = size_config(size, vocabulary.padded_size)
    size_in_bytes, total = Bytes.of(config, itemsize), 0.0
    for each in work(mode, TOKENS, 32, vocabulary.padded_size, vocabulary if cut else None):
        layers = size_in_bytes.layers if each.module is None else 1
        total += size_in_bytes.read(each) / bandwidth + layers * lost_per_layer
    return total / TOKENS


class RooflineExplorer:
    """Sliders for bandwidth, size, vocabulary and schedule; bars for how fast each mode could be.

    Args:
        bandwidth: to begin with, in bytes per second, such as what was measured here.
        size: to begin with.
    """

    def __init__(self, bandwidth: float = 4e12, size: str = "7B") -> None:
        wide = {
            "style": {"description_width": "170px"},
            "layout": ipywidgets.Layout(width="520px"),
            "continuous_update": False,
        }
        self.size = ipywidgets.SelectionSlider(options=list(SIZES), value=size, description="size", **wide)
        self.bandwidth = ipywidgets.FloatLogSlider(
            bandwidth / 1e9,
            min=0,
            max=4,
            step=0.05,
            description="bandwidth, GB/s",
            readout_format=".3g",
            **wide,
        )
        self.lost = ipywidgets.FloatSlider(
            0.0, min=0, max=0.6, step=0.02, description="lost per layer, ms", **wide
        )
        self.text_rows = ipywidgets.IntSlider(
            151_643, 1000, 300_000, 1000, description="text tokens in vocabulary", **wide
        )
        self.itemsize = ipywidgets.ToggleButtons(
            options={"float32": 4, "bfloat16": 2, "8 bits": 1},
            value=2,
            description="weights",
            style=wide["style"],
        )
        self.schedule = ipywidgets.Text("1 10 4 10", description="schedule of your own", **wide)
        self.errors, self.figure = ErrorArea(), ipywidgets.Output()
        self.controls = [self.size, self.bandwidth, self.lost, self.text_rows, self.itemsize, self.schedule]
        for control in self.controls:
            control.observe(self.errors.guard(lambda change: self.update()), names="value")
        self.widget = ipywidgets.VBox([*self.controls, self.errors.widget, self.figure])
        self.update()

    def speeds(self) -> dict[str, dict[str, float]]:
        """Seconds of speech per second, by head and mode.

        Raises:
            ScheduleError: the schedule cannot be run, or its repeating part holds no audio.
        """
        own = parse(self.schedule.value)
        modes = {**MODES, f"yours: {own.schedule}": own}
        return {
            name: {
                label: 1 / (self._seconds(mode, cut) * speech_rate(mode).tokens)
                for label, mode in modes.items()
            }
            for name, cut in (("whole head", False), ("head cut to the slot", True))
        }

    def _seconds(self, mode: InterleaveMode, cut: bool) -> float:
        return seconds_per_token(
            mode,
            self.size.value,
            1e9 * self.bandwidth.value,
            self.text_rows.value,
            cut,
            self.itemsize.value,
            self.lost.value / 1000,
        )

    def picture(self) -> go.Figure:
        """The bars for the controls as they stand.

        Raises:
            ScheduleError: see `speeds`.
        """
        title = f"{self.size.value} at {self.bandwidth.value:,.0f} GB/s"
        return grouped_bars(self.speeds(), title, "seconds of speech per second")

    def update(self) -> None:
        """Redraw.

        Raises:
            ScheduleError: see `speeds`; what was drawn before stays.
        """
        # Not `with self.figure: show(...)`: programs that execute notebooks without keeping widgets break on that.
        self.figure.outputs = (figure_output(self.picture()),)

    def _ipython_display_(self) -> None:
        if os.environ.get(STATIC_VARIABLE):  # a program executes the notebook: widgets would be lost
            print("An interactive widget in JupyterLab; its first state:")
            show(self.picture())
        else:
            display(self.widget)
