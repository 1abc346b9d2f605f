"""The token strip player: an interleaved sequence that one sees and hears at once.

Text, tags and audio tokens stand in the order in which they were made, colored by who made them, each audio token over
its own 80 ms of sound. A playhead runs along; a click plays one token, a drag loops a span.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
import traitlets
from IPython.display import SVG, display
from numpy.typing import ArrayLike

from labkit.audio.codec import Codec
from labkit.interleave import Content, InterleaveMode
from labkit.study.script import Script
from labkit.study.take import Take
from labkit.views.assets import module, stylesheet
from labkit.views.cells import Cell, cells_of_script, cells_of_take, peaks
from labkit.views.display import play
from labkit.views.live import LiveWidget
from labkit.views.strip_picture import strip_picture
from labkit.views.wav import wav
from labkit.vocabulary import Vocabulary


class StripPlayer(LiveWidget):
    """A strip of tokens over their sound.

    Args:
        cells: the tokens in order.
        waveform: ``(samples,)`` of all their audio, from its beginning.
        sample_rate: in Hz.
        rate: audio tokens per second.
        title: what is said, for those who cannot see it.
        context: audio tokens that sound before and after one that is clicked; alone, one is hardly speech.

    Raises:
        ValueError: there are no tokens, or less sound than half of what the audio tokens would last.
    """

    _esm = module("strip_player.js")
    _css = stylesheet()

    rows = traitlets.List().tag(sync=True)
    peaks = traitlets.Bytes(b"").tag(sync=True)
    sound = traitlets.Bytes(b"").tag(sync=True)
    rate = traitlets.Float(12.5).tag(sync=True)
    context = traitlets.Float(1.0).tag(sync=True)
    title = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        cells: Sequence[Cell],
        waveform: ArrayLike,
        sample_rate: int,
        rate: float = 12.5,
        *,
        title: str = "",
        context: float = 1.0,
    ) -> None:
        waveform = np.asarray(waveform, dtype=np.float32)
        audio = sum(cell.content is Content.AUDIO for cell in cells)
        if not cells:
            raise ValueError("there are no tokens to show")
        if waveform.ndim != 1 or len(waveform) < 0.5 * audio * sample_rate / rate:
            raise ValueError(
                f"{audio} audio tokens last {audio / rate:.2f} s; the waveform, of shape {waveform.shape} at "
                f"{sample_rate} Hz, is another sound"
            )
        self.cells, self.waveform, self.sample_rate = list(cells), waveform, sample_rate
        super().__init__(
            rows=[cell.row() for cell in cells],
            peaks=peaks(waveform, sample_rate, rate, audio),
            sound=wav(waveform, sample_rate),
            rate=rate,
            context=context,
            title=title,
        )

    @classmethod
    def of_take(cls, take: Take, **options: object) -> Self:
        """A take, as said.

        Raises:
            ValueError: nothing has been said yet.
        """
        return cls(
            cells_of_take(take),
            take.waveform.numpy(),
            take.sample_rate,
            take.token_rate,
            title=take.text,
            **options,
        )

    @classmethod
    def of_script(
        cls, script: Script, mode: InterleaveMode, vocabulary: Vocabulary, codec: Codec, **options: object
    ) -> Self:
        """A true utterance as a mode lays it out, with its true word times: a click on a word plays the word."""
        codes = vocabulary.audio_codes([script.ids[position] for position in script.audio])
        return cls(
            cells_of_script(script, mode, vocabulary),
            codec.decode(codes).numpy(),
            codec.sample_rate,
            codec.token_rate,
            title=" ".join(script.words),
            **options,
        )

    def picture(self) -> str:
        """The strip as SVG."""
        return strip_picture(self.cells, self.waveform, self.sample_rate, self.rate)

    def fallback(self) -> str:
        return self.picture() + (
            play(self.waveform, self.sample_rate, self.title).data if len(self.waveform) else ""
        )

    def show_static(self) -> None:
        display(SVG(self.picture()))
        if len(self.waveform):
            display(play(self.waveform, self.sample_rate, self.title))

    def release(self) -> None:
        self.cells, self.waveform = [], np.zeros(0, np.float32)
        self.rows, self.peaks, self.sound = [], b"", b""
