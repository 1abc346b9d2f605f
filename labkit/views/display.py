"""Showing a figure and playing a sound, alike in JupyterLab, in an executed notebook and in its HTML."""

import base64
import html
import io
import json
import os
import warnings
from typing import Any

import numpy as np
import plotly.graph_objects as go
import soundfile
import soxr
from IPython.display import HTML, display
from numpy.typing import ArrayLike

from labkit.figures import NO_CHROMIUM, STATIC_VARIABLE, find_chromium, picture

OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
COMPRESSION = 0.9  # 32 kbit/s in Opus, 4 KB for each second of sound
LONGEST_SECONDS = 120


def show(figure: go.Figure) -> None:
    """Show a plotly figure: interactive in JupyterLab, and as a picture wherever JavaScript is lost.

    The picture is drawn only when the notebook is executed by a program (:mod:`labkit.notebooks`), since then
    nobody waits for it. Nothing is loaded from the network: JupyterLab's plotly extension is installed with
    plotly.

    Raises:
        TypeError: ``figure`` is not a plotly figure.
    """
    if not isinstance(figure, go.Figure):
        raise TypeError(f"show() takes a plotly figure, got {type(figure).__name__}")
    # Not figure.show(): its default adds HTML that fetches plotly.js from a CDN.
    bundle: dict[str, Any] = {
        "application/vnd.plotly.v1+json": json.loads(figure.to_json()),
        "text/plain": f"Figure: {figure.layout.title.text or 'untitled'}",
    }
    if os.environ.get(STATIC_VARIABLE):
        if find_chromium() is None:
            warnings.warn(NO_CHROMIUM, stacklevel=2)
        else:
            bundle["image/png"] = base64.b64encode(picture(figure)).decode("ascii")
    display(bundle, raw=True)


def figure_output(figure: go.Figure) -> dict[str, Any]:
    """A figure as an entry of an ``ipywidgets.Output``."""
    return _output({"application/vnd.plotly.v1+json": json.loads(figure.to_json())})


def html_output(element: HTML) -> dict[str, Any]:
    """An HTML element, such as a player, as an entry of an ``ipywidgets.Output``."""
    return _output({"text/html": element.data})


def _output(data: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": {}}


def play(waveform: ArrayLike, sample_rate: int, label: str = "") -> HTML:
    """A player for a sound, with the sound compressed inside it.

    Args:
        waveform: (time,), floats in [-1, 1] or 16-bit integers; what lies outside is clipped, as a sound card
            would.
        sample_rate: in Hz. Rates that Opus lacks are resampled to the next one it has.
        label: said above the player.

    Returns:
        An HTML element, displayed when it ends a cell or is given to ``IPython.display.display``.

    Raises:
        ValueError: the waveform is empty, not mono, longer than two minutes, holds a NaN or an infinity or
            integers that are not 16 bits wide; or the sample rate is not positive.
    """
    sound, media_type = compress(waveform, sample_rate)
    source = f"data:{media_type};base64,{base64.b64encode(sound).decode('ascii')}"
    caption = f"<div>{html.escape(label)}</div>" if label else ""
    return HTML(f'<div>{caption}<audio controls preload="metadata" src="{source}"></audio></div>')


def compress(waveform: ArrayLike, sample_rate: int) -> tuple[bytes, str]:
    """A waveform (time,) as Ogg bytes and their media type: Opus, or Vorbis where libsndfile lacks Opus.

    Raises:
        ValueError: see :func:`play`.
    """
    if sample_rate <= 0:
        raise ValueError(f"a sample rate is a positive number of Hz, got {sample_rate}")
    samples = np.asarray(waveform)
    if samples.ndim != 1 or samples.size == 0:
        raise ValueError(f"a waveform is a non-empty (time,) array, got shape {samples.shape}")
    if samples.size > LONGEST_SECONDS * sample_rate:
        raise ValueError(
            f"{samples.size / sample_rate:.0f} s of sound is too long to embed; play a part of at most"
            f" {LONGEST_SECONDS} s"
        )
    if samples.dtype == np.int16:
        samples = samples / 2**15
    elif not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(f"a waveform holds floats in [-1, 1] or 16-bit integers, got {samples.dtype}")
    if not np.isfinite(samples).all():
        raise ValueError("the waveform holds a NaN or an infinity")
    codec = "OPUS" if "OPUS" in soundfile.available_subtypes("OGG") else "VORBIS"
    if codec == "OPUS" and sample_rate not in OPUS_RATES:
        rate = next((rate for rate in OPUS_RATES if rate > sample_rate), OPUS_RATES[-1])
        samples, sample_rate = soxr.resample(samples, sample_rate, rate), rate
    file = io.BytesIO()
    soundfile.write(
        file,
        np.clip(samples, -1, 1),
        int(sample_rate),
        format="OGG",
        subtype=codec,
        compression_level=COMPRESSION,
    )
    return file.getvalue(), f"audio/ogg; codecs={codec.lower()}"
