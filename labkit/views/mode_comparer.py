"""The mode comparer: one sentence in every interleave mode, live, side by side, and as a race (paper Fig. 4 and 5)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
import traitlets
from IPython.display import display

from labkit.audio.codec import STREAMING_STEPS
from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.transcript import Transcriber
from labkit.generation import Sampler, greedy
from labkit.interleave import MODES, InterleaveMode, parse
from labkit.study.take import Mark, Take
from labkit.views.assets import module, stylesheet
from labkit.views.cells import KINDS, cells_of_take, peaks
from labkit.views.display import play, show
from labkit.views.live import LiveWidget, Steps
from labkit.views.speed_curves import speed_curves
from labkit.views.wav import wav

EXAMPLES = (
    "the fisherman caught a bass in the cold river",
    "the lead singer dropped the lead pipe on the floor",
    "我们一行人上周去贵州旅游",
)
FRAME = 0.1
"""Seconds between two looks at a take under way; drawing more of them takes the processor from the model."""

WARM_UP = 12
"""Tokens made in each mode before the first comparison: a model's first pass takes longer than all others."""

REST = 0.3
"""Seconds that the browser has to itself before each mode: what it draws of one must not slow the next down."""

Systems = Mapping[str, SpeechSystem | Callable[[], SpeechSystem]]


class ModeComparer(LiveWidget):
    """Type a sentence, tick modes, press once: every mode says it, one after the other, for all to watch and hear.

    Args:
        systems: who can speak, by name; one that is given as a function is loaded when it is first chosen.
        judge: writes down what it hears; nobody does unless given.
        sentence: to begin with.
        examples: sentences to choose from.

    Attributes:
        takes: of the last comparison, by mode.
        heard: what the judge wrote, by mode.
    """

    _esm = module("mode_comparer.js")
    _css = stylesheet("mode_comparer.css")

    offer = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        systems: Systems | SpeechSystem,
        judge: Transcriber | None = None,
        *,
        sentence: str = EXAMPLES[0],
        examples: Sequence[str] = EXAMPLES,
    ) -> None:
        self._systems = {"toy": systems} if isinstance(systems, SpeechSystem) else dict(systems)
        self._judge = judge
        self._warm: set[str] = set()
        self._told: list[tuple[dict[str, Any], list[bytes]]] = []
        self.takes: dict[str, Take] = {}
        self.heard: dict[str, str] = {}
        modes = {name: " ".join(map(str, mode.schedule)) for name, mode in MODES.items()}
        modes["vanilla"] = "backbone only"
        super().__init__(
            offer={
                "modes": modes,
                "models": list(self._systems),
                "sentence": sentence,
                "examples": list(examples),
                "steps": " ".join(map(str, STREAMING_STEPS)),
                "judged": judge is not None,
            }
        )

    @property
    def commands(self) -> Mapping[str, Callable[[Mapping[str, Any]], Steps | None]]:
        return {"compare": self._compare_as_asked, "show": self._show_again}

    def _compare_as_asked(self, asked: Mapping[str, Any]) -> Steps:
        """What was typed and ticked, as a comparison."""
        modes = [parse(name) for name in asked["modes"]]
        if asked.get("schedule", "").strip():
            modes.append(parse(asked["schedule"]))
        return self.compare(
            asked["sentence"],
            modes,
            model=asked.get("model"),
            temperature=_number(asked.get("temperature", 0), "temperature"),
            top_p=_number(asked.get("top_p", 1), "top-p"),
            seed=int(_number(asked.get("seed", 0), "seed")),
            euler_steps=_euler_steps(asked.get("steps", "")),
        )

    def compare(
        self,
        sentence: str,
        modes: Sequence[InterleaveMode],
        *,
        model: str | None = None,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        euler_steps: Sequence[int] = STREAMING_STEPS,
    ) -> Steps:
        """The steps of a comparison; give them to `work`.

        Args:
            sentence: to say.
            modes: in which, one after the other.
            model: name of the system that speaks; the first unless given.
            temperature: of sampling; 0 takes the likeliest token.
            top_p: share of probability that sampling keeps.
            seed: of sampling and of the codec's noise; every mode begins from the same.
            euler_steps: of the codec, chunk by chunk.

        Raises:
            ScheduleError: a mode needs more modules than the model has.
            ValueError: no sentence, no mode, the same mode twice, no such model, or a setting out of range.
        """
        names = [mode.name for mode in modes]
        if not names:
            raise ValueError("tick at least one mode, or type a schedule such as 1 6 3 10")
        if len(set(names)) < len(names):
            raise ValueError("each mode can be compared once; the schedule typed is one of those ticked")
        model = next(iter(self._systems)) if model is None else model
        system = self._system(model)
        takes = {}
        for mode in modes:
            choose = greedy
            if temperature:
                generator = torch.Generator(system.model.device).manual_seed(seed)
                choose = Sampler(generator, temperature, top_p=top_p)
            takes[mode.name] = Take(
                system, sentence, mode, choose=choose, euler_steps=tuple(euler_steps), seed=seed
            )
        return self._run(takes, system, model)

    def _system(self, name: str) -> SpeechSystem:
        if name not in self._systems:
            raise ValueError(f"no model {name!r}; there are {', '.join(self._systems)}")
        found = self._systems[name]
        if not isinstance(found, SpeechSystem):
            found = self._systems[name] = found()
        return found

    def _run(self, takes: dict[str, Take], system: SpeechSystem, model: str) -> Steps:
        self.takes, self.heard, self._told = takes, {}, []
        self._tell(
            do="begin",
            sentence=next(iter(takes.values())).text,
            model=model,
            lanes=[_lane(take.mode) for take in takes.values()],
        )
        if model not in self._warm:
            for take in takes.values():
                yield from islice(Take(system, take.text, take.mode), WARM_UP)
            self._warm.add(model)
        for name, take in takes.items():
            yield from self._rest()
            yield from self._watch(name, take)
            self._tell([wav(take.waveform, take.sample_rate), _peaks(take)], do="said", **_said(name, take))
        if self._judge is not None:
            language = "cmn" if re.search("[\u4e00-\u9fff]", next(iter(takes.values())).text) else "en"
            for name, take in takes.items():
                yield
                self.heard[name] = self._judge.write(take.waveform, take.sample_rate, language)
                self._tell(do="heard", lane=name, text=self.heard[name])
        self._tell(do="end")

    def _rest(self) -> Iterator[None]:
        """Let the browser draw; where no loop runs there is none."""
        until = time.perf_counter() + REST
        while self._loop and time.perf_counter() < until:
            time.sleep(0.01)
            yield

    def _watch(self, name: str, take: Take) -> Iterator[None]:
        """Say it, telling the browser now and then which tokens have come."""
        told, last = 0, time.perf_counter()
        for piece in take:
            if isinstance(piece, Mark) and time.perf_counter() - last > FRAME:
                self._tell(do="marks", lane=name, marks=_marks(take, told), first=take.first_sound)
                told, last = len(take.marks), time.perf_counter()
            yield
        self._tell(do="marks", lane=name, marks=_marks(take, told), first=take.first_sound)

    def _tell(self, buffers: Sequence[bytes] = (), **content: object) -> None:
        """Send something, and keep it for views that open later."""
        self._told.append((content, list(buffers)))
        self.send(content, list(buffers))

    def _show_again(self, _: Mapping[str, Any]) -> None:
        for content, buffers in self._told:
            self.send(content, buffers)

    def release(self) -> None:
        self._systems, self._judge, self.takes, self._told = {}, None, {}, []

    def show_static(self) -> None:
        """One comparison of all modes: the curves of Fig. 5, and every mode's sound."""
        modes = [mode for mode in MODES.values() if self._can(mode)]
        for _ in self.compare(self.offer["sentence"], modes):
            pass
        show(speed_curves(list(self.takes.values()), title=f"“{self.offer['sentence']}”"))
        for name, take in self.takes.items():
            if len(take.waveform):
                heard = f", heard: {self.heard[name]}" if name in self.heard else ""
                first = f"first sound after {1000 * take.first_sound:.0f} ms"
                display(play(take.waveform, take.sample_rate, f"{name.capitalize()}: {first}{heard}"))

    def _can(self, mode: InterleaveMode) -> bool:
        return mode.modules_needed <= self._system(next(iter(self._systems))).model.num_modules


def _lane(mode: InterleaveMode) -> dict[str, Any]:
    typed = mode.name == str(mode.schedule)
    schedule = " ".join(map(str, mode.schedule))
    return {
        "name": mode.name,
        "title": "Your schedule" if typed else mode.name.capitalize(),
        "schedule": schedule if mode.modules_needed else "backbone only",
    }


def _marks(take: Take, since: int) -> list[list[object]]:
    """``[kind, module or -1, seconds]`` of the tokens from one on."""
    return [
        [KINDS[mark.content], -1 if mark.module is None else mark.module, round(mark.seconds, 5)]
        for mark in take.marks[since:]
    ]


def _said(name: str, take: Take) -> dict[str, Any]:
    return {
        "lane": name,
        "rows": [cell.row() for cell in cells_of_take(take)],
        "rate": take.token_rate,
        "text": take.text_tokens,
        "audio": take.audio_tokens,
        "written": take.written,
        "ended": take.ended,
        "seconds": take.seconds,
        "speed": take.tokens_per_second,
        "passes": take.passes(),
        "steps": len(take.marks) - take.passes(),
        "first": take.first_sound,
        "first_passes": take.first_audio_passes,
        "lasts": len(take.waveform) / take.sample_rate,
    }


def _peaks(take: Take) -> bytes:
    return peaks(take.waveform.numpy(), take.sample_rate, take.token_rate, take.audio_tokens)


def _number(value: object, name: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, not {value!r}") from None


def _euler_steps(typed: str) -> Sequence[int]:
    counts = re.findall(r"[^\s,;]+", typed)
    if any(not count.isdigit() or int(count) < 1 for count in counts):
        raise ValueError(f"Euler steps are whole numbers from 1 on, such as 1 3 5 10, not {typed!r}")
    return [int(count) for count in counts] or STREAMING_STEPS
