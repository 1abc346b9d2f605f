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


def told(error: Exception) -> tuple[str, str]:
    """What a widget says of an error: its message, and its traceback or nothing.

    The message of a `ValueError` or `TypeError`, the lab's answer to bad input, says what to do. Any other error is a
    fault of the lab, and comes with its name and its traceback.
    """
    message = str(error) or type(error).__name__
    if isinstance(error, (ValueError, TypeError)):
        return message, ""
    return f"{type(error).__name__}: {message}", "".join(traceback.format_exception(error))


class ErrorArea:
    """A place in a widget that says what went wrong, empty while all is well.

    Put ``area.widget`` among a widget's children and give each callback as ``area.guard(callback)``.
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
        message, trace = map(html.escape, told(error))
        if trace:
            message += f"<details><summary>traceback</summary><pre>{trace}</pre></details>"
        self.widget.value = (
            '<div role="alert" style="border-left: 4px solid #D55E00; padding: 4px 12px; font-size: 15px">'
            f"{message}</div>"
        )
