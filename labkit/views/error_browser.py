"""A widget in which one plays what went wrong in an evaluation, and sees what the judge heard in it."""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import ipywidgets
import torch
from IPython.display import HTML, display

from labkit.audio.codec import Codec
from labkit.figures import STATIC_VARIABLE
from labkit.views.display import play
from labkit.views.errors import ErrorArea

Case = Mapping[str, Any]
WRONG = "border-bottom: 3px solid #D55E00"


class ErrorBrowser:
    """Choose a case; hear what should have been said or was asked, and what the model said; read what was heard.

    Args:
        cases: of `labkit.evaluation.tables`, from one table or several.
        codec: speaks the audio tokens of an answer.
        original: gives the waveform `(samples,)` of an utterance by its index, and its sample rate in Hz.
        steps: Euler steps of the codec.
        static: how many cases to show where a program runs the notebook and nobody can choose.

    Raises:
        ValueError: there are no cases.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        codec: Codec,
        original: Callable[[int], tuple[torch.Tensor, int]],
        *,
        steps: int = 2,
        static: int = 3,
    ) -> None:
        if not cases:
            raise ValueError("there is nothing to browse: no case of the tables is wrong")
        self.cases, self.codec, self.original, self.steps, self.static = cases, codec, original, steps, static
        self.errors = ErrorArea()
        self.case = ipywidgets.Dropdown(
            options=[(label(case), place) for place, case in enumerate(cases)],
            description="case",
            layout=ipywidgets.Layout(width="98%"),
        )
        self.shown = ipywidgets.HTML()
        self.case.observe(self.errors.guard(lambda change: self.update()), names="value")
        self.widget = ipywidgets.VBox([self.case, self.errors.widget, self.shown])

    def update(self) -> None:
        """Show the case that is chosen."""
        self.shown.value = self.page(self.cases[self.case.value])

    def page(self, case: Case) -> str:
        """A case as HTML: what was asked and written, two players, and the judge's verdict beside what was meant."""
        lines = [f"<b>asked</b> {html.escape(case['asked'])}"]
        if "answer" in case:
            lines.append(f"<b>true answer</b> {html.escape(case['answer'])}")
        lines.append(f"<b>the model wrote</b> {html.escape(case['written']) or '<i>nothing</i>'}")
        sounds = [play(*self.original(case["utterance"]), "asked, or as it should sound").data]
        if case.get("codes"):
            sound = self.codec.decode(case["codes"], self.steps).numpy()
            sounds.append(play(sound, self.codec.sample_rate, "what the model said").data)
        meant, got = marked(case["meant"], case["got"])
        players = "".join(
            f'<div style="display: inline-block; margin-right: 24px">{each}</div>' for each in sounds
        )
        heard = "heard" if "codes" in case else "written"
        return (
            f'<div style="font-size: 15px; line-height: 1.7">{"<br>".join(lines)}<div>{players}</div>'
            f"<b>meant</b> {meant}<br><b>{heard}</b> {got}<br>{case['errors']} errors in {case['units']}</div>"
        )

    def show(self) -> None:
        """Display the widget, or the worst cases where nobody can click."""
        if os.environ.get(STATIC_VARIABLE):
            for case in self.cases[: self.static]:
                display(HTML(f"<h4>{html.escape(label(case))}</h4>{self.page(case)}"))
            return
        self.update()
        display(self.widget)


def label(case: Case) -> str:
    """A case in one line."""
    return (
        f"{case['stage']} · {case['mode']} · {case['language']} · {case['asked']} "
        f"({case['errors']} of {case['units']} wrong)"
    )


def marked(meant: Sequence[str], got: Sequence[str]) -> tuple[str, str]:
    """Both sequences of units as HTML, what differs underlined, what is missing shown as a dash."""
    first, second = [], []
    for change, a, b, c, d in SequenceMatcher(None, meant, got, autojunk=False).get_opcodes():
        for units, line in ((meant[a:b], first), (got[c:d], second)):
            text = html.escape(" ".join(units)) or "–"
            line.append(text if change == "equal" else f'<span style="{WRONG}">{text}</span>')
    return " ".join(first), " ".join(second)
