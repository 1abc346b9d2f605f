"""The ground of the lab's widgets: work that can be stopped, errors that are seen, and an end that lets go.

Jupyter runs callbacks on the kernel's main thread, between messages. A callback that works for seconds keeps every
message waiting, the click on "stop" among them; a thread would outlive the cell and race with it. So work is a
generator: each step is short, and between two steps the kernel reads its messages, runs cells, or ends the work.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, Self
from weakref import WeakSet

import anywidget
import traitlets
from IPython import get_ipython
from IPython.display import display

from labkit.figures import STATIC_VARIABLE
from labkit.views.errors import told

Steps = Iterator[object]
Command = Callable[[Mapping[str, Any]], Steps | None]


class LiveWidget(anywidget.AnyWidget):
    """A widget with commands, of which one at a time may work for long.

    A subclass lists its `commands`: what the browser may ask for, by name. A command that takes long returns a
    generator of its steps.

    Attributes:
        error: what went wrong last, as ``{"message": ..., "trace": ...}``; empty while all is well.
        busy: what it is at work on, empty when idle.
        closed: whether it has let go of everything; so it is until it is made.
        stepping: whether a step of its work runs just now.
    """

    error = traitlets.Dict().tag(sync=True)
    busy = traitlets.Unicode("").tag(sync=True)
    closed = True  # what fails on the way is closed by the garbage collector

    def __init__(self, **traits: object) -> None:
        super().__init__(**traits)
        self.closed = False
        self._task: asyncio.Task | None = None
        self._loop = _running_loop()
        self._stopped = self.stepping = False
        self.on_msg(lambda _, content, buffers: self.command(content))
        replace_former(self)

    @property
    def commands(self) -> Mapping[str, Command]:
        """What the browser may ask for."""
        return {}

    def command(self, content: Mapping[str, Any]) -> None:
        """Do what the browser asks for. Errors are shown in the widget, since nobody sees a kernel's log."""
        if content.get("do") == "stop":
            self.stop()
            return
        with Shown(self):
            steps = self.commands[content["do"]](content)
            if steps is not None:
                self.work(steps, str(content.get("title", "working")))

    def work(self, steps: Steps, title: str = "working") -> None:
        """Go through the steps, giving way to the kernel between them; without a running loop, all at once.

        Raises:
            RuntimeError: it is closed.
            ValueError: it is still at work on something else.
        """
        if self.closed:
            raise RuntimeError("this widget is closed; run its cell again")
        if self.busy:
            raise ValueError(f"still {self.busy}; press Stop first")
        self.busy, self._stopped = title, False
        # JupyterLab may send a widget's messages to a thread beside the kernel's main one (a subshell). Work belongs
        # to the loop in which the widget was made: cells run there, too, and interrupts arrive there.
        own, loop = _running_loop(), self._loop or _running_loop()
        if loop is None:
            with Shown(self):
                while self._step(steps):
                    pass
            self._finish(steps)
        elif loop is own:
            self._begin(loop, steps)
        else:
            loop.call_soon_threadsafe(self._begin, loop, steps)

    def _begin(self, loop: asyncio.AbstractEventLoop, steps: Steps) -> None:
        self._task = loop.create_task(self._walk(steps))

    async def _walk(self, steps: Steps) -> None:
        try:
            with Shown(self), Interruptible(self) as interruptible:
                interruptible.stand_in()
                while self._step(steps):
                    await asyncio.sleep(0)
                    interruptible.stand_in()
        finally:
            self._finish(steps)

    def _step(self, steps: Steps) -> bool:
        """One step; whether there are more to come."""
        if self._stopped:
            return False
        self.stepping = True
        try:
            next(steps)
        except (StopIteration, KeyboardInterrupt):
            return False
        finally:
            self.stepping = False
        return True

    def _finish(self, steps: Steps) -> None:
        self._task = None
        getattr(steps, "close", lambda: None)()
        if not self.closed:
            self.busy = ""

    def stop(self) -> None:
        """End the work before its next step."""
        self._stopped = True

    @property
    def stopped(self) -> bool:
        """Whether the last work was told to stop."""
        return self._stopped

    def release(self) -> None:
        """Let go of models and sounds; a subclass says which."""

    def close(self) -> None:
        """Stop, let go of everything, and disappear from the page."""
        if self.closed:
            return
        self.stop()
        self.closed = True
        self.release()
        super().close()

    def show_static(self) -> None:
        """Leave pictures and sounds where widgets are lost: in executed notebooks and their HTML."""
        raise NotImplementedError

    def fallback(self) -> str:
        """HTML to be seen where the widget cannot be: a saved notebook on GitHub or exported."""
        return ""

    def _ipython_display_(self) -> None:
        if os.environ.get(STATIC_VARIABLE):
            self.show_static()
            return
        bundle = self._repr_mimebundle_()
        data = dict(bundle[0] if isinstance(bundle, tuple) else bundle)
        if html := self.fallback():
            data["text/html"] = html
        display(data, raw=True)


class Shown:
    """Shows what is raised inside in a widget's error area; what was shown before disappears."""

    def __init__(self, widget: LiveWidget) -> None:
        self._widget = widget

    def __enter__(self) -> None:
        if self._widget.error:
            self._widget.error = {}

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception):
            return False
        self._widget.error = dict(zip(("message", "trace"), told(error), strict=True))
        return True


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


_AT_WORK: set[LiveWidget] = set()


class Interruptible:
    """Lets the kernel's interrupt end work that goes on while no cell runs, when ipykernel ignores it.

    While a message is dealt with, ipykernel has its own handler in place, which stays: the work may begin within that
    time, so `stand_in` is called before every step. There is one handler for all widgets, since ipykernel may put it
    back after the work that needed it is over.
    """

    def __init__(self, widget: LiveWidget) -> None:
        self._widget = widget

    def stand_in(self) -> None:
        """Take interrupts, if nobody else does."""
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, _interrupt)

    def __enter__(self) -> Self:
        _AT_WORK.add(self._widget)
        return self

    def __exit__(self, *_: object) -> None:
        _AT_WORK.discard(self._widget)
        main = threading.current_thread() is threading.main_thread()
        if main and not _AT_WORK and signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Stop all work. Inside a step the interrupt is raised there and then; between steps it would end the event loop,
    and the kernel with it."""
    for widget in _AT_WORK:
        widget.stop()
    if any(widget.stepping for widget in _AT_WORK):
        raise KeyboardInterrupt


_SHOWN: dict[str, tuple[str, WeakSet[LiveWidget]]] = {}


def replace_former(widget: LiveWidget) -> None:
    """Close the widgets that an earlier run of the same cell has made: nobody sees them any more."""
    cell, run = _running()
    if cell is None:
        return
    former, widgets = _SHOWN.get(cell, ("", WeakSet()))
    if former != run:
        for each in list(widgets):
            each.close()
        widgets = WeakSet()
    widgets.add(widget)
    _SHOWN[cell] = (run, widgets)


def _running() -> tuple[str | None, str]:
    """The cell that runs and the number of this run, as JupyterLab tells; no cell elsewhere."""
    parent = getattr(get_ipython(), "get_parent", dict)() or {}
    return parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("msg_id", "")
