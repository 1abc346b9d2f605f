"""The mask bench: hide words from the audio, let the model say the sentence again, hear what has changed (Fig. 1b)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import traitlets
from IPython.display import display

from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.listener import Listener
from labkit.interleave import BOOST, InterleaveMode
from labkit.study.masking import Probe
from labkit.study.script import Script, script
from labkit.study.trial import Cut, Trial, hear, look, speak
from labkit.study.verdict import Window, window
from labkit.views.assets import module, stylesheet
from labkit.views.display import play, show
from labkit.views.live import LiveWidget, Steps
from labkit.views.style import BLUE, ORANGE, style
from labkit.views.wav import wav


@dataclass(frozen=True)
class Bench:
    """A probe laid out.

    Attributes:
        text: its script.
        scope: where its homograph sounds.
        meant: the reading that its text calls for.
    """

    text: Script
    scope: Window
    meant: str


class MaskBench(LiveWidget):
    """Choose a sentence, click words, layers and heads to cut, and say it again: before and after, side by side.

    Args:
        system: who speaks.
        listener: who listens.
        probes: homographs in sentences, with their minimal pairs, as ``corpus.probes(language)`` gives them.
        mode: who makes which token; Vanilla's is the one for a model without modules.

    Attributes:
        before: the last trial without a cut.
        after: the last trial with one.

    Raises:
        ValueError: there are no probes.
        ScheduleError: the mode needs more modules than the model has.
    """

    _esm = module("mask_bench.js")
    _css = stylesheet("mask_bench.css")

    offer = traitlets.Dict().tag(sync=True)

    def __init__(
        self, system: SpeechSystem, listener: Listener, probes: Sequence[Probe], mode: InterleaveMode = BOOST
    ) -> None:
        if not probes:
            raise ValueError("give at least one probe, as from corpus.probes(language)")
        mode.require_modules(system.model.num_modules)
        self._system, self._listener, self._mode = system, listener, mode
        self._probes = list(probes)
        self._benches: dict[int, Bench] = {}
        self._befores: dict[tuple[int, bool], Trial] = {}
        self._told: dict[str, tuple[dict[str, Any], list[bytes]]] = {}
        self.before: Trial | None = None
        self.after: Trial | None = None
        config = system.model.config
        super().__init__(
            offer={
                "probes": [utterance.text for utterance, _ in self._probes],
                "words": [list(utterance.sentence.words) for utterance, _ in self._probes],
                "homographs": [utterance.homograph.index for utterance, _ in self._probes],
                "deciding": [list(utterance.homograph.deciding) for utterance, _ in self._probes],
                "layers": config.num_hidden_layers,
                "heads": config.num_attention_heads,
                "modules": mode.modules_needed,
            }
        )

    @property
    def commands(self) -> Mapping[str, Callable[[Mapping[str, Any]], Steps | None]]:
        return {"say": self._say_as_asked, "show": self._show_again}

    def _say_as_asked(self, asked: Mapping[str, Any]) -> Steps:
        def chosen(name: str) -> tuple[int, ...] | None:
            every = range(self.offer[name])
            picked = tuple(int(index) for index in asked[name])
            return None if set(picked) == set(every) else picked

        cut = Cut.of(
            asked["asked"],
            asked["written"],
            layers=chosen("layers"),
            heads=chosen("heads"),
            modules=chosen("modules"),
            whole=bool(asked["whole"]),
        )
        without_modules = cut.modules == () or not self._mode.modules_needed
        if cut.heads == () or (cut.layers == () and without_modules):
            raise ValueError(
                "the cut reaches no part of the model; choose at least one layer or module and one head"
            )
        return self.say(int(asked["probe"]), cut)

    def say(self, probe: int, cut: Cut) -> Steps:
        """The steps of saying a sentence without and with a cut; give them to `work`.

        Args:
            probe: which one.
            cut: what to hide.

        Raises:
            ValueError: there is no such probe or word.
        """
        if not 0 <= probe < len(self._probes):
            raise ValueError(f"no probe {probe}; there are {len(self._probes)}, from 0")
        bench = self._bench(probe)
        cut.positions(bench.text)
        return self._run(probe, bench, cut)

    def _bench(self, probe: int) -> Bench:
        if probe not in self._benches:
            utterance, partner = self._probes[probe]
            text = script(self._system, utterance, self._mode)
            self._benches[probe] = Bench(text, window(text, partner), utterance.homograph.reading)
        return self._benches[probe]

    def _run(self, probe: int, bench: Bench, cut: Cut) -> Steps:
        self._told = {}
        plain = (probe, cut.whole)
        if plain not in self._befores:
            yield from self._try(
                bench, Cut(whole=cut.whole), lambda trial: self._befores.update({plain: trial})
            )
        self.before = self._befores[plain]
        self._tell("before", bench, self.before)
        if cut.positions(bench.text):
            yield from self._try(bench, cut, lambda trial: setattr(self, "after", trial))
            self._tell("after", bench, self.after)

    def _try(self, bench: Bench, cut: Cut, keep: Callable[[Trial], object]) -> Steps:
        yield
        codes = speak(self._system, bench.text, bench.scope, self._mode, cut)
        yield
        attention = look(self._system, bench.text, bench.scope, self._mode, cut, codes)
        yield
        verdict, sound = hear(self._listener, bench.scope, codes, bench.text.utterance.language)
        keep(Trial(codes, verdict, sound, attention))

    def _tell(self, side: str, bench: Bench, trial: Trial) -> None:
        content = {
            "do": "said",
            "side": side,
            "probe": bench.text.utterance.text,
            "words": list(bench.text.words),
            "homograph": bench.text.utterance.homograph.index,
            "meant": bench.meant,
            "reading": trial.verdict.reading,
            "babble": trial.verdict.babble,
            "heard": " ".join(trial.verdict.heard),
            "attention": trial.attention.sum(0).round(5).tolist(),
        }
        buffers = [wav(trial.sound, self._listener.codec.sample_rate)]
        self._told[side] = content, buffers
        self.send(content, buffers)

    def _show_again(self, _: Mapping[str, Any]) -> None:
        for content, buffers in self._told.values():
            self.send(content, buffers)

    def show_static(self) -> None:
        """The first sentence, plain and with every word but the homograph hidden, as the paper's Fig. 1b."""
        bench = self._bench(0)
        about = bench.text.utterance.homograph
        others = [word for word in range(len(bench.text.words)) if word != about.index]
        for _ in self.say(0, Cut.of(others, others)):
            pass
        trials = {"nothing hidden": self.before, "all hidden but the homograph": self.after}
        show(
            attention_bars(bench.text.words, {name: trial.attention.sum(0) for name, trial in trials.items()})
        )
        for name, trial in trials.items():
            label = f"{name}: heard as {_reading(trial)}, meant {bench.meant}"
            display(play(trial.sound, self._listener.codec.sample_rate, label))

    def release(self) -> None:
        self._system = self._listener = self.before = self.after = None
        self._probes, self._benches, self._befores, self._told = [], {}, {}, {}


def _reading(trial: Trial) -> str:
    return "babble" if trial.verdict.babble else trial.verdict.reading or "neither reading"


def attention_bars(words: Sequence[str], shares: Mapping[str, np.ndarray]) -> go.Figure:
    """What the homograph's audio pays each word, under each condition.

    Args:
        words: of the sentence.
        shares: by condition, ``(words,)``.
    """
    figure = go.Figure()
    for color, (name, values) in zip((BLUE, ORANGE), shares.items(), strict=True):
        figure.add_bar(x=list(range(len(words))), y=values, name=name, marker_color=color)
    figure.update_xaxes(tickvals=list(range(len(words))), ticktext=list(words), tickfont={"size": 17})
    figure.update_yaxes(title_text="attention of the homograph's audio", tickformat=".0%")
    return style(figure, "What the homograph's audio looks at", height=400)
