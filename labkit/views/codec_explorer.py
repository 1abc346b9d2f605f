"""A widget in which one types a sentence and hears it before and after the codec."""

from __future__ import annotations

import os

import ipywidgets
import plotly.graph_objects as go
import torch
from IPython.display import display

from labkit.audio.toy import ToyCodec
from labkit.data.espeak import DEFAULT_RATE, Speech, Synthesizer
from labkit.data.typed import spoken_words
from labkit.evaluation.recogniser import Heard, PhonemeJudge
from labkit.figures import STATIC_VARIABLE
from labkit.views.display import figure_output, html_output, play, show
from labkit.views.errors import ErrorArea
from labkit.views.speech import speech_strip
from labkit.views.style import LANGUAGE_NAMES

EXAMPLES = {"en": "the lead singer dropped the lead pipe", "cmn": "我们一行人上周去贵州旅游"}


class CodecExplorer:
    """Type a sentence; espeak-ng says it, the codec takes it apart and puts it together, the judge listens.

    Args:
        codec: the codec to hear.
        judge: who says what was heard.
        text: the first sentence; an example where none is given.
        language: it is in, "en" or "cmn".
    """

    def __init__(
        self, codec: ToyCodec, judge: PhonemeJudge, text: str = EXAMPLES["en"], language: str = "en"
    ) -> None:
        self.codec, self.judge = codec, judge
        wide = {"description_width": "110px"}
        layout = ipywidgets.Layout(width="520px")
        self.text = ipywidgets.Text(text, description="sentence", style=wide, layout=layout)
        self.language = ipywidgets.ToggleButtons(
            options=[(name, code) for code, name in LANGUAGE_NAMES.items()],
            value=language,
            description="language",
            style=wide,
        )
        self.steps = ipywidgets.IntSlider(10, 1, 20, description="Euler steps", style=wide, layout=layout)
        self.rate = ipywidgets.IntSlider(
            DEFAULT_RATE[language], 80, 300, description="words a minute", style=wide, layout=layout
        )
        self.button = ipywidgets.Button(description="Say it", button_style="primary", icon="volume-up")
        self.errors = ErrorArea()
        self.verdict = ipywidgets.HTML()
        self.output = ipywidgets.Output()
        self.button.on_click(self.errors.guard(lambda button: self.update()))
        self.language.observe(self.errors.guard(lambda change: self._example()), names="value")
        self.widget = ipywidgets.VBox(
            [
                self.text,
                self.language,
                self.rate,
                self.steps,
                self.button,
                self.errors.widget,
                self.verdict,
                self.output,
            ]
        )

    def say(self) -> tuple[Speech, torch.Tensor, torch.Tensor, Heard]:
        """The sentence as typed: the speech, its tokens, their sound and what the judge heard in that.

        Raises:
            ValueError: the sentence cannot be said in the chosen language.
        """
        words = spoken_words(self.text.value, self.language.value)
        speech = Synthesizer(self.language.value, rate=self.rate.value).speak(words, lead=0.1, tail=0.2)
        tokens = self.codec.encode(speech.waveform, speech.sample_rate)
        sound = self.codec.decode(tokens, self.steps.value)
        return speech, tokens, sound, self.judge.hear(sound, self.codec.sample_rate, self.language.value)

    def update(self) -> None:
        """Say the sentence and show everything about it; what was shown before stays until that is done."""
        self.button.disabled = True
        try:
            speech, tokens, sound, heard = self.say()
            figure = self._strip(speech, tokens)
            original = play(speech.waveform, speech.sample_rate, "original")
            again = play(sound.numpy(), self.codec.sample_rate, f"from tokens, {self.steps.value} steps")
            self.verdict.value = (
                f"{len(tokens)} tokens for {speech.seconds:.2f} s; the judge hears "
                f"<b>{' '.join(heard.phonemes)}</b>"
            )
            self.output.outputs = (
                html_output(original),
                html_output(again),
                figure_output(figure),
            )
        finally:
            self.button.disabled = False

    def _strip(self, speech: Speech, tokens: torch.Tensor) -> go.Figure:
        frames = self.codec.frames
        return speech_strip(
            speech.waveform,
            speech.sample_rate,
            self.codec.mel(speech.waveform, speech.sample_rate),
            frames.sample_rate / frames.hop,
            tokens.tolist(),
            self.codec.token_rate,
            [(word.text, word.start, word.end) for word in speech.words],
            title=self.text.value,
        )

    def _example(self) -> None:
        if self.text.value in (*EXAMPLES.values(), ""):
            self.text.value = EXAMPLES[self.language.value]
        self.rate.value = DEFAULT_RATE[self.language.value]

    def _ipython_display_(self) -> None:
        if os.environ.get(STATIC_VARIABLE):  # a program executes the notebook: widgets would be lost
            print("An interactive widget in JupyterLab; its first sentence:")
            speech, tokens, sound, heard = self.say()
            show(self._strip(speech, tokens))
            display(play(sound.numpy(), self.codec.sample_rate, f"heard: {' '.join(heard.phonemes)}"))
        else:
            display(self.widget)
