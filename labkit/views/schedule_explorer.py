"""A widget in which one types a schedule and sees what follows from it."""

import os
from collections.abc import Callable

import ipywidgets
from IPython.display import display

from labkit.figures import STATIC_VARIABLE
from labkit.interleave import FIRST_CHUNK, MODES, Interleaved, InterleaveMode, delays, parse
from labkit.interleave.rate import speech_rate
from labkit.views.display import figure_output, show
from labkit.views.errors import ErrorArea
from labkit.views.interleaving import packed_row_figure, schedule_figure
from labkit.vocabulary import Vocabulary

TrainingRow = tuple[list[int], list[int], list[int]]  # input_ids, labels, position_ids; each (time,)


class ScheduleExplorer:
    """Type a schedule; see its slots, its delays, what a second of speech costs, and a packed training row.

    Args:
        modules: MCTP modules of the model at hand; a schedule that needs more is refused.
        pack: packs a training row by a mode, for the last figure; without it that figure is left out.
        vocabulary: the id space of the packed row.
    """

    def __init__(
        self,
        modules: int = 10,
        pack: Callable[[InterleaveMode], TrainingRow] | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self.modules, self.pack, self.vocabulary = modules, pack, vocabulary
        wide = {"description_width": "150px"}
        layout = ipywidgets.Layout(width="480px")
        self.schedule = ipywidgets.Text(
            "1 10 4 10", description="schedule", continuous_update=False, style=wide, layout=layout
        )
        self.content = ipywidgets.Text(
            "",
            placeholder="as the schedule says",
            description="content, if it differs",
            continuous_update=False,
            style=wide,
            layout=layout,
        )
        self.first_chunk = ipywidgets.IntSlider(
            FIRST_CHUNK,
            1,
            24,
            description="first audio chunk",
            continuous_update=False,
            style=wide,
            layout=layout,
        )
        self.presets = [ipywidgets.Button(description=name.capitalize()) for name in MODES]
        self.errors = ErrorArea()
        self.summary = ipywidgets.HTML()
        self.figures = ipywidgets.Output()
        for button in self.presets:
            button.on_click(self.errors.guard(self._choose))
        for control in (self.schedule, self.content, self.first_chunk):
            control.observe(self.errors.guard(lambda change: self.update()), names="value")
        self.widget = ipywidgets.VBox(
            [
                ipywidgets.HBox(self.presets),
                self.schedule,
                self.content,
                self.first_chunk,
                self.errors.widget,
                self.summary,
                self.figures,
            ]
        )
        self.update()

    @property
    def mode(self) -> InterleaveMode:
        """The schedule as typed.

        Raises:
            ScheduleError: it cannot be run, or needs more modules than there are.
        """
        mode = parse(self.schedule.value, self.content.value or None)
        mode.require_modules(self.modules)
        return mode

    def update(self) -> None:
        """Redraw everything from the controls.

        Raises:
            ScheduleError: the schedule cannot be run; what was drawn before stays.
        """
        mode = self.mode
        self.summary.value = summary(mode, self.first_chunk.value)
        drawn = [schedule_figure([mode], first_chunk=self.first_chunk.value)]
        if self.pack is not None and self.vocabulary is not None:
            shown = [k for k in (0, 1, mode.modules_needed - 1) if 0 <= k < mode.modules_needed]
            drawn.append(packed_row_figure(*self.pack(mode), self.vocabulary, sorted(set(shown))))
        # Not `with self.figures: show(...)`: programs that execute notebooks without keeping widgets break on that.
        self.figures.outputs = tuple(figure_output(figure) for figure in drawn)

    def _choose(self, button: ipywidgets.Button) -> None:
        self.content.value = ""
        self.schedule.value = button.description.lower()

    def _ipython_display_(self) -> None:
        if os.environ.get(STATIC_VARIABLE):  # a program executes the notebook: widgets would be lost
            print("An interactive widget in JupyterLab; its first state:")
            show(schedule_figure([self.mode], first_chunk=self.first_chunk.value))
        else:
            display(self.widget)


def summary(mode: InterleaveMode, first_chunk: int) -> str:
    """What follows from a schedule, as an HTML table.

    Raises:
        ScheduleError: the repeating part of the schedule holds no audio.
    """
    found, rate = delays(Interleaved(mode), first_chunk), speech_rate(mode)
    rows = {
        "makers (backbone, MCTP)": " ".join(map(str, mode.makers)),
        "content (text, audio with tags)": " ".join(map(str, mode.content)),
        "MCTP modules needed": mode.modules_needed,
        "audio token delay, in passes": found.audio_token,
        f"audio generation delay ({first_chunk} audio tokens), in passes": found.audio_generation,
        "text : audio": f"1 : {rate.audio / rate.text:.3g}" if rate.text else "no text",
        "a second of speech takes": (
            f"{rate.text:.1f} text + {rate.audio:.1f} audio + {rate.tags:.1f} tags = {rate.tokens:.1f} tokens"
        ),
        "made by": f"{rate.backbone:.2f} backbone passes + {rate.module:.2f} MCTP module steps",
    }
    cells = "".join(
        f'<tr><td style="padding-right: 24px">{name}</td><td><b>{value}</b></td></tr>'
        for name, value in rows.items()
    )
    return f'<table style="font-size: 15px; line-height: 1.5">{cells}</table>'
