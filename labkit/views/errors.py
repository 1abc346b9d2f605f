"""Errors of a widget's callbacks, shown where one looks.

Jupyter sends an exception in a callback to a log that nobody has open: the widget just stops answering.
"""

import html
import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import ipywidgets

Arguments = ParamSpec("Arguments")


class ErrorArea:
    """A place in a widget that says what went wrong, empty while all is well.

    Put ``area.widget`` among a widget's children and give each callback as ``area.guard(callback)``. An
    error whose message says what to do (a `ValueError` or `TypeError`, the lab's answer to bad input) shows
    as that message; any other one is a fault of the lab and shows with its traceback.
    """

    def __init__(self) -> None:
        self.widget = ipywidgets.HTML()

    def guard(self, callback: Callable[Arguments, object]) -> Callable[Arguments, None]:
        """The callback, with its errors shown here, and the last error cleared when it succeeds."""

        @wraps(callback)
        def guarded(*arguments: Arguments.args, **options: Arguments.kwargs) -> None:
            try:
                callback(*arguments, **options)
            except Exception as error:  # all of them: nobody else is there to see it
                self.show(error)
            else:
                self.widget.value = ""

        return guarded

    def show(self, error: Exception) -> None:
        """Show an error."""
        message = html.escape(str(error) or type(error).__name__)
        if not isinstance(error, (ValueError, TypeError)):
            trace = html.escape("".join(traceback.format_exception(error)))
            message = (
                f"{type(error).__name__}: {message}"
                f"<details><summary>traceback</summary><pre>{trace}</pre></details>"
            )
        self.widget.value = (
            '<div role="alert" style="border-left: 4px solid #D55E00; padding: 4px 12px; font-size: 15px">'
            f"{message}</div>"
        )
