"""A lesson's figures on disk: a picture, a page to explore it in, and the numbers it shows.

``save_figure(figure, "steps", numbers=table, folder=findings.folder)`` writes beside each other

- ``steps.png``, the picture, where a Chrome or Chromium is installed to draw it;
- ``steps.html``, the interactive page, which opens offline: all pages of a folder share one plotly.min.js;
- ``steps.json``, the numbers.

Pictures and numbers are small and belong in git; the pages and their bundle are made again by the command.
"""

import asyncio
import atexit
import io
import json
import re
import threading
import warnings
from collections.abc import Coroutine
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from choreographer.browsers.chromium import Chromium
from kaleido import Kaleido
from PIL import Image

WIDTH, HEIGHT, SCALE = 900, 450, 1.5
SECONDS_TO_DRAW = 60
DIGITS = 6
STATIC_VARIABLE = "LABKIT_STATIC_FIGURES"
"""Set while a program executes a notebook: shown figures then need pictures."""
NO_CHROMIUM = (
    "no Chrome or Chromium found, so figures are written as HTML and JSON but not as PNG; install one"
    " (`apt-get install chromium fonts-noto-cjk`, `brew install --cask chromium`, or `plotly_get_chrome`)"
)


class NoChromiumError(RuntimeError):
    """A static picture was asked for on a machine without a Chrome or Chromium to draw it."""


def find_chromium() -> Path | None:
    """The Chrome or Chromium that draws static pictures: ``$BROWSER_PATH``, or the usual names and places."""
    found = Chromium.find_browser(skip_local=False)
    return Path(found) if found and Path(found).exists() else None


def picture(figure: go.Figure) -> bytes:
    """The figure as PNG bytes on a white page, in its own width and height where its layout sets them.

    The first picture of a process starts the browser, which takes seconds; each one after it a fraction.
    LaTeX is left as it is written: drawing it would fetch MathJax from the network.

    Raises:
        NoChromiumError: no Chrome or Chromium is installed.
        TimeoutError: the browser did not answer within a minute.
    """
    if find_chromium() is None:
        raise NoChromiumError(NO_CHROMIUM)
    drawn = _browser().draw(
        figure.to_dict(),
        {
            "format": "png",
            "width": figure.layout.width or WIDTH,
            "height": figure.layout.height or HEIGHT,
            "scale": SCALE,
        },
    )
    # Chromium hardly compresses; without its transparency and packed well, the picture is a third of the size.
    layer = Image.open(io.BytesIO(drawn)).convert("RGBA")
    page = Image.new("RGB", layer.size, "white")
    page.paste(layer, mask=layer.getchannel("A"))
    packed = io.BytesIO()
    page.save(packed, "PNG", optimize=True)
    return packed.getvalue()


def save_figure(figure: go.Figure, name: str, numbers: Any, folder: str | Path | None) -> list[Path]:
    """Write a figure's picture, its interactive page and its numbers.

    Args:
        figure: what to draw.
        name: of the files, lower case letters, digits and hyphens.
        numbers: what the figure shows, as lists, dicts, numpy arrays and plain values. Floats are kept to six
            digits, so that noise in the last place does not show up as a change.
        folder: where to write, made if missing; usually ``findings.folder``. ``None``, as when a lesson is
            opened by hand: nothing is written.

    Returns:
        The files written. Without a Chromium there is no PNG among them, and a warning says how to get one.

    Raises:
        TypeError: ``numbers`` holds something JSON cannot.
        ValueError: ``name`` would not make a good file name, or ``numbers`` holds a NaN or an infinity.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(f'a figure\'s name is lower case words and hyphens, "mel-by-steps", not {name!r}')
    try:
        text = json.dumps(_plain(numbers), indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ValueError(f"the numbers of figure {name!r} hold a NaN or an infinity") from error
    if folder is None:
        return []
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    numbers_file, page, png = (folder / f"{name}.{suffix}" for suffix in ("json", "html", "png"))
    numbers_file.write_text(text + "\n", encoding="utf-8")
    figure.write_html(page, include_plotlyjs="directory", full_html=True)
    if find_chromium() is None:
        warnings.warn(NO_CHROMIUM, stacklevel=2)
        return [numbers_file, page]
    png.write_bytes(picture(figure))
    return [numbers_file, page, png]


def _plain(numbers: Any) -> Any:
    """``numbers`` as JSON's own types, floats rounded to :data:`DIGITS` significant digits."""
    if isinstance(numbers, dict):
        return {str(key): _plain(value) for key, value in numbers.items()}
    if isinstance(numbers, (list, tuple)):
        return [_plain(value) for value in numbers]
    if isinstance(numbers, (np.ndarray, np.generic)):
        return _plain(numbers.tolist())
    return float(f"{numbers:.{DIGITS}g}") if isinstance(numbers, float) else numbers


class _Browser:
    """One Chromium for the whole process, spoken to from an event loop on a thread of its own.

    Jupyter kernels run their cells inside a loop that cannot be waited on, and starting a browser for each
    picture takes about three seconds.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True, name="chromium").start()
        self._kaleido = self._wait(self._start())
        atexit.register(self._stop)

    def draw(self, figure: dict, options: dict) -> bytes:
        return self._wait(self._kaleido.calc_fig(figure, opts=options))

    @staticmethod
    async def _start() -> Kaleido:
        return await Kaleido(mathjax=False, timeout=SECONDS_TO_DRAW).__aenter__()

    def _stop(self) -> None:
        self._wait(self._kaleido.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(SECONDS_TO_DRAW)


@cache
def _browser() -> _Browser:
    return _Browser()
