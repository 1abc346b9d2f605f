"""Attention with sound: text against audio, over the waveform, to be clicked and heard (paper Fig. 1a)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import traitlets
from IPython.display import display
from numpy.typing import ArrayLike

from labkit.audio.codec import Codec
from labkit.study.alignment_weights import COPIES, ROWS, Head, WordAttention
from labkit.views.alignment import alignment_map
from labkit.views.assets import module, stylesheet
from labkit.views.cells import peaks
from labkit.views.display import play, show
from labkit.views.live import LiveWidget, Steps
from labkit.views.wav import wav
from labkit.vocabulary import Vocabulary

MOST_COLUMNS = 240
"""Columns that are drawn; the audio tokens of longer speech share them, since no screen shows more."""

ONE_HEAD = "one head"
SHARED = "share of the attention on words"
NO_MAPS: Mapping[str, ArrayLike] = MappingProxyType({})


class AttentionPlayer(LiveWidget):
    """What one utterance's audio tokens attend to, head by head, and how each of them sounds.

    Args:
        attention: of the utterance, as `labkit.study.alignment_weights.attend_words` gives it.
        waveform: ``(samples,)`` of its audio tokens.
        sample_rate: in Hz.
        maps: further maps by name, each ``(audio, words)``, words' shares of the attention on words, such as those of
            the chosen heads together; the first is shown first.
        context: audio tokens that sound before and after one that is clicked.

    Raises:
        ValueError: a map is not of this utterance.
    """

    _esm = module("attention_player.js")
    _css = stylesheet("attention_player.css")

    offer = traitlets.Dict().tag(sync=True)
    look = traitlets.Dict().tag(sync=True)
    weights = traitlets.Bytes(b"").tag(sync=True)
    sound = traitlets.Bytes(b"").tag(sync=True)
    peaks = traitlets.Bytes(b"").tag(sync=True)

    def __init__(
        self,
        attention: WordAttention,
        waveform: ArrayLike,
        sample_rate: int,
        *,
        maps: Mapping[str, ArrayLike] = NO_MAPS,
        context: float = 1.0,
    ) -> None:
        script = attention.script
        self._attention, self._sample_rate = attention, sample_rate
        self._waveform = np.asarray(waveform, dtype=np.float32)
        self._maps = {name: np.asarray(weights, dtype=np.float32) for name, weights in maps.items()}
        shape = (len(script.audio), len(script.words))
        for name, weights in self._maps.items():
            if weights.shape != shape:
                raise ValueError(f"the map {name!r} must be {shape} (audio, words), got {weights.shape}")
        heads: dict[str, list[int]] = {}
        for head in attention.heads:
            heads.setdefault(head.place, []).append(head.index)
        super().__init__(
            offer={
                "words": list(script.words),
                "times": [[word.start, word.end] for word in script.utterance.words],
                "maps": [*self._maps, ONE_HEAD],
                "heads": heads,
                "rows": list(ROWS),
                "copies": list(COPIES),
                "rate": script.token_rate,
                "tokens": len(script.audio),
                "per_column": -(-len(script.audio) // MOST_COLUMNS),
                "context": context,
            },
            sound=wav(self._waveform, sample_rate),
            peaks=peaks(self._waveform, sample_rate, script.token_rate, len(script.audio)),
        )
        first = attention.heads[0]
        self._choose(
            {
                "map": next(iter(self._maps), ONE_HEAD),
                "place": first.place,
                "head": first.index,
                "row": ROWS[0],
                "copy": COPIES[-1],
            }
        )

    @classmethod
    def of_true_audio(
        cls, attention: WordAttention, codec: Codec, vocabulary: Vocabulary, **options: Any
    ) -> Self:
        """With the sound that a codec makes of the script's own audio tokens."""
        script = attention.script
        codes = vocabulary.audio_codes([script.ids[position] for position in script.audio])
        return cls(attention, codec.decode(codes).numpy(), codec.sample_rate, **options)

    @property
    def commands(self) -> Mapping[str, Callable[[Mapping[str, Any]], Steps | None]]:
        return {"look": self._choose}

    def _choose(self, asked: Mapping[str, Any]) -> None:
        look = {key: asked[key] for key in ("map", "place", "head", "row", "copy")}
        look["head"] = int(look["head"])
        self.weights = columns(self.matrix(look)).tobytes()
        self.look = look

    def matrix(self, look: Mapping[str, Any]) -> np.ndarray:
        """``(audio, words)`` weights of a look.

        Args:
            look: ``map``, the name of one of the maps, or `ONE_HEAD`, for which ``place`` (layer or module), ``head``,
                ``row`` and ``copy`` say which one.

        Raises:
            ValueError: there is no such map, head, row or copy.
        """
        if look["map"] != ONE_HEAD:
            if look["map"] not in self._maps:
                raise ValueError(f"no map {look['map']!r}; there are {', '.join([*self._maps, ONE_HEAD])}")
            return self._maps[look["map"]]
        head = Head(look["place"], look["head"])
        if head not in self._attention.heads:
            raise ValueError(f"{head} was not looked at")
        return self._attention.of(look["row"], look["copy"])[self._attention.heads.index(head)]

    def show_static(self) -> None:
        weights = self.matrix(self.look)
        if self.look["map"] == ONE_HEAD:
            title, measure = f"{self.look['place']} head {self.look['head']}", "attention"
        else:
            title, measure = self.look["map"], SHARED
        show(alignment_map(self._attention.script, weights, measure=measure, title=title))
        if len(self._waveform):
            display(play(self._waveform, self._sample_rate, " ".join(self._attention.script.words)))

    def release(self) -> None:
        self._attention = self._waveform = None
        self._maps = {}
        self.weights = self.sound = self.peaks = b""


def columns(weights: np.ndarray, most: int = MOST_COLUMNS) -> np.ndarray:
    """``(columns, words)`` float32: the means of as many neighboring audio tokens as it takes to have few columns."""
    width = -(-len(weights) // most)
    starts = np.arange(0, len(weights), width)
    counts = np.diff([*starts, len(weights)])[:, None]
    return (np.add.reduceat(weights, starts, axis=0) / counts).astype(np.float32)
