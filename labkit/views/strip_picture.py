"""A token strip as a picture, for places where widgets are lost: what the player shows, at rest."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from labkit.interleave import Content
from labkit.views.cells import POINTS, Cell, peaks
from labkit.views.style import GRAY, GREEN

WIDTH = 920
AUDIO_WIDTH, TAG_WIDTH, LETTER = 22, 14, 10
TOKEN, WAVE, LINE = 32, 36, 84
SHADES = "#004a75 #005e93 #0072b2 #2a87bf #4b99cb #69abd6 #85bce0 #9fcbe9 #b6d8f0 #cbe4f6".split()
"""Of module 0, 1, ...; those of the style sheet."""
WHITE_ON = 3  # the darkest shades are written on in white


def strip_picture(cells: Sequence[Cell], waveform: ArrayLike, sample_rate: int, rate: float) -> str:
    """The strip as SVG.

    Args:
        cells: in order.
        waveform: ``(samples,)`` of all their audio.
        sample_rate: in Hz.
        rate: audio tokens per second.
    """
    audio = sum(cell.content is Content.AUDIO for cell in cells)
    waves = np.frombuffer(peaks(waveform, sample_rate, rate, audio), np.int8).reshape(audio, POINTS, 2)
    parts, x, y, place = [], 0.0, 0, 0
    for cell in cells:
        width = _width(cell)
        if x + width > WIDTH:
            x, y = 0.0, y + LINE
        parts.append(_token(cell, x, y, width))
        if cell.content is Content.AUDIO:
            parts.append(_wave(waves[place], x, y + TOKEN + 4, width))
            place += 1
        x += width + 2
    height = y + LINE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="sans-serif" role="img" aria-label="{_spoken(cells)}">{"".join(parts)}</svg>'
    )


def _width(cell: Cell) -> float:
    if cell.content is Content.AUDIO:
        return AUDIO_WIDTH
    if cell.content is not Content.TEXT:
        return TAG_WIDTH
    wide = sum(1.9 if ord(letter) > 0x2E80 else 1 for letter in cell.label.strip() or "·")
    return 16 + LETTER * wide


def _token(cell: Cell, x: float, y: float, width: float) -> str:
    fill = GREEN if cell.module is None else SHADES[min(cell.module, len(SHADES) - 1)]
    ink = "#fff" if cell.module is not None and cell.module < WHITE_ON else "#000"
    text = {
        Content.BEGIN_OF_AUDIO: "[",
        Content.END_OF_AUDIO: "]",
        Content.AUDIO: "♪" if cell.module is None else str(cell.module),
    }.get(cell.content, cell.label.strip() or "·")
    weight, size = (' font-weight="600"', 17) if cell.content is Content.TEXT else ("", 15)
    corner = 16 if cell.content is Content.TEXT else 4
    return (
        f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{TOKEN}" rx="{corner}" fill="{fill}"/>'
        f'<text x="{x + width / 2:.0f}" y="{y + 22}" font-size="{size}"{weight} fill="{ink}" '
        f'text-anchor="middle">{escape(text)}</text>'
    )


def _wave(points: np.ndarray, x: float, y: float, width: float) -> str:
    middle, scale, step = y + WAVE / 2, WAVE / 2 / 127, width / len(points)
    lines = "".join(
        f"M{x + (place + 0.5) * step:.1f} {middle - high * scale - 0.3:.1f}V{middle - low * scale + 0.3:.1f}"
        for place, (low, high) in enumerate(points.tolist())
    )
    return f'<path d="{lines}" stroke="{GRAY}" stroke-width="1.4"/>'


def _spoken(cells: Sequence[Cell]) -> str:
    words = " ".join(cell.label.strip() for cell in cells if cell.content is Content.TEXT)
    audio = sum(cell.content is Content.AUDIO for cell in cells)
    return escape(f"{len(cells)} tokens, {audio} of them audio: {words}", quote=True)
