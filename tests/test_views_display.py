"""Figures show offline and everywhere; sounds are embedded small, and what is not a sound is refused."""

import base64
import io
import math

import numpy as np
import plotly.graph_objects as go
import pytest
import soundfile

from labkit.figures import NO_CHROMIUM, STATIC_VARIABLE, find_chromium
from labkit.views import display
from labkit.views.display import compress, play, show


@pytest.fixture
def shown(monkeypatch) -> list[dict]:
    bundles: list[dict] = []
    monkeypatch.setattr(display, "display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def tone(seconds: float, sample_rate: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 220 * np.arange(int(seconds * sample_rate)) / sample_rate)


def test_a_person_gets_the_interactive_figure_at_once(shown, monkeypatch):
    monkeypatch.delenv(STATIC_VARIABLE, raising=False)
    show(go.Figure(go.Scatter(y=np.arange(3)), layout={"title": "steps"}))
    [bundle] = shown
    assert sorted(bundle) == ["application/vnd.plotly.v1+json", "text/plain"]
    assert bundle["text/plain"] == "Figure: steps"


@pytest.mark.skipif(find_chromium() is None, reason=NO_CHROMIUM)
def test_an_executed_notebook_gets_a_picture_too(shown, monkeypatch):
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    show(go.Figure())
    assert base64.b64decode(shown[0]["image/png"]).startswith(b"\x89PNG")


def test_without_a_chromium_an_executed_notebook_says_what_is_missing(shown, monkeypatch):
    monkeypatch.setenv(STATIC_VARIABLE, "1")
    monkeypatch.setattr(display, "find_chromium", lambda: None)
    with pytest.warns(UserWarning, match="apt-get install chromium"):
        show(go.Figure())
    assert "image/png" not in shown[0]


def test_what_is_not_a_figure_is_refused():
    with pytest.raises(TypeError, match="plotly figure"):
        show({"data": []})


@pytest.mark.parametrize("sample_rate", [8000, 16000, 22050, 24000, 44100, 48000, 96000])
def test_a_sound_keeps_its_length_and_its_pitch(sample_rate):
    sound, media_type = compress(tone(1.0, sample_rate), sample_rate)
    samples, rate = soundfile.read(io.BytesIO(sound))
    assert media_type == "audio/ogg; codecs=opus"
    assert len(samples) / rate == pytest.approx(1.0, abs=1 / rate)
    spectrum = np.abs(np.fft.rfft(samples))
    assert np.argmax(spectrum) == pytest.approx(220, abs=1)


def test_a_second_of_sound_takes_a_few_kilobytes():
    assert len(compress(tone(5.0, 16000), 16000)[0]) < 5 * 6000


def test_where_libsndfile_lacks_opus_vorbis_is_used(monkeypatch):
    monkeypatch.setattr(display.soundfile, "available_subtypes", lambda container: {"VORBIS": "Vorbis"})
    sound, media_type = compress(tone(1.0, 16000), 16000)
    assert media_type == "audio/ogg; codecs=vorbis"
    assert len(soundfile.read(io.BytesIO(sound))[0]) == 16000


def test_integers_of_16_bits_sound_like_their_floats():
    integers = (tone(0.5, 16000) * 2**15).astype(np.int16)
    sounds = (compress(waveform, 16000)[0] for waveform in (integers, integers / 2**15))
    low, high = (soundfile.read(io.BytesIO(sound))[0] for sound in sounds)
    assert np.array_equal(low, high)


def test_a_label_is_text_and_never_markup():
    player = play(tone(0.1, 16000), 16000, "<b>10 steps</b>")
    assert "&lt;b&gt;10 steps&lt;/b&gt;" in player.data
    assert "<audio controls" in player.data


@pytest.mark.parametrize(
    ("waveform", "sample_rate", "message"),
    [
        ([], 16000, "non-empty"),
        ([[0.0, 0.1]], 16000, "shape"),
        (0.5, 16000, "shape"),
        ([0.0, math.nan], 16000, "NaN"),
        ([0.0, math.inf], 16000, "NaN"),
        ([0, 1], 16000, "16-bit"),
        ([0.0], 0, "positive"),
        (np.zeros(121 * 8000), 8000, "121 s"),
    ],
)
def test_what_is_not_a_sound_is_refused(waveform, sample_rate, message):
    with pytest.raises(ValueError, match=message):
        play(waveform, sample_rate)
