"""Frames, spectra and the source of the vocoder."""

import torch

from labkit.audio.features import FrameSettings, istft, log_mel, mel_to_linear, stft
from labkit.audio.griffin_lim import griffin_lim
from labkit.audio.vocoder import pulse_train

SETTINGS = FrameSettings()


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, samples, generator=torch.Generator().manual_seed(seed))


def test_frames_tokens_and_samples_count_each_other():
    assert SETTINGS.samples_per_token == 1280
    assert SETTINGS.token_rate == 12.5
    assert stft(noise(1280), SETTINGS).shape == (1, 5, 513)
    assert log_mel(noise(12_800), SETTINGS).shape == (1, 50, 80)


def test_the_inverse_gives_the_waveform_back_but_for_its_edges():
    waveform = noise(12_800)
    back = istft(stft(waveform, SETTINGS), SETTINGS)
    inside = slice(SETTINGS.window, -SETTINGS.window)
    assert back.shape == waveform.shape
    assert torch.allclose(back[:, inside], waveform[:, inside], atol=1e-5)


def test_silence_lies_at_the_floor():
    assert torch.allclose(log_mel(torch.zeros(1, 2560), SETTINGS), torch.tensor(1e-5).log())


def test_the_envelope_of_noise_is_about_its_spectrum():
    waveform = noise(256_000)
    matrix, offset = mel_to_linear(SETTINGS)
    envelope = (log_mel(waveform, SETTINGS) @ matrix + offset).mean(dim=1)
    spectrum = stft(waveform, SETTINGS).abs().log().mean(dim=1)
    assert (envelope - spectrum)[0, 5:-5].abs().mean() < 0.25


def test_a_pulse_train_has_its_pitch_unit_power_and_no_seam():
    curve = torch.full((1, 16_000), 200.0)
    train, _ = pulse_train(curve, 16_000)
    assert abs(float(train.pow(2).mean()) - 1) < 0.05
    peaks = torch.fft.rfft(train[0]).abs()
    assert (peaks[200::200][:39] > 50 * peaks[100::200][:39]).all()
    first, phase = pulse_train(curve[:, :5_000], 16_000)
    second, _ = pulse_train(curve[:, 5_000:], 16_000, phase)
    assert torch.allclose(torch.cat([first, second], dim=1), train, atol=1e-3)


def test_griffin_lim_finds_a_waveform_of_the_mel():
    tone = torch.sin(2 * torch.pi * 300 * torch.arange(16_000) / 16_000)[None, : 62 * 256] * 0.3
    mel = log_mel(tone, SETTINGS)
    made = griffin_lim(mel, SETTINGS, torch.Generator().manual_seed(0), iterations=20)
    assert made.shape == tone.shape
    loud = mel > -4
    assert (log_mel(made, SETTINGS) - mel)[loud].abs().mean() < 0.3
