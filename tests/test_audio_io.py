"""Audio from anywhere: what is accepted, and how the rest is refused."""

import numpy as np
import pytest
import soundfile
import torch

from labkit.audio.io import AudioInputError, as_mono, load_audio

RATE = 16_000
TONE = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32) * 0.5


def test_one_channel_passes_unchanged():
    assert torch.equal(as_mono(TONE, RATE, RATE), torch.from_numpy(TONE))
    assert torch.equal(as_mono(torch.from_numpy(TONE), RATE, RATE), torch.from_numpy(TONE))


@pytest.mark.parametrize("axis", [0, 1])
def test_channels_are_averaged_whichever_axis_they_are_on(axis):
    stereo = np.stack([TONE, 0 * TONE], axis=axis)
    assert np.allclose(as_mono(stereo, RATE, RATE), TONE / 2)


@pytest.mark.parametrize(
    ("dtype", "scale", "offset"), [("int16", 2**15, 0), ("int32", 2**31, 0), ("uint8", 128, 128)]
)
def test_integers_are_scaled_by_their_range(dtype, scale, offset):
    pcm = np.clip(TONE.astype(np.float64) * scale + offset, np.iinfo(dtype).min, np.iinfo(dtype).max).astype(
        dtype
    )
    assert np.allclose(as_mono(pcm, RATE, RATE), TONE, atol=2 / scale)


def test_other_rates_are_resampled():
    low = np.sin(2 * np.pi * 440 * np.arange(8_000) / 8_000)
    heard = as_mono(low, 8_000, RATE).numpy()
    assert len(heard) == RATE
    assert np.abs(np.fft.rfft(heard)).argmax() == 440


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        ([], RATE, "empty"),
        ([0.0, float("nan")], RATE, "nan at sample 1"),
        ([float("inf")], RATE, "inf at sample 0"),
        (["a"], RATE, "array of numbers"),
        (np.zeros((2, 3, 4)), RATE, "one axis"),
        ([0.0], 0, "Hz"),
        ([0.0], "16k", "Hz"),
        ([0.0], 16, "Hz"),
    ],
)
def test_what_is_no_speech_is_refused_with_the_reason(waveform, rate, message):
    with pytest.raises(AudioInputError, match=message):
        as_mono(waveform, rate, RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_files_are_read(tmp_path, suffix):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.stack([TONE, TONE], axis=1), RATE)
    heard = load_audio(path, RATE).numpy()
    assert abs(len(heard) - RATE) < 1000
    assert np.abs(np.fft.rfft(heard, RATE)).argmax() == 440


def test_a_truncated_file_gives_what_is_there(tmp_path):
    path = tmp_path / "tone.wav"
    soundfile.write(path, TONE, RATE)
    path.write_bytes(path.read_bytes()[: 44 + 2 * 5_000])
    assert len(load_audio(path, RATE)) == 5_000


def test_files_that_are_no_audio_are_named(tmp_path):
    with pytest.raises(AudioInputError, match="no audio file"):
        load_audio(tmp_path / "missing.wav", RATE)
    text = tmp_path / "notes.wav"
    text.write_text("not a sound")
    with pytest.raises(AudioInputError, match=r"notes\.wav is not audio"):
        load_audio(text, RATE)
    empty = tmp_path / "empty.wav"
    soundfile.write(empty, np.zeros(0), RATE)
    with pytest.raises(AudioInputError, match="no samples"):
        load_audio(empty, RATE)
