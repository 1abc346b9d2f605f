"""SenseVoice's front end and encoder: how many rows, what padding may change, and the shape of what was released."""

from pathlib import Path

import pytest
import torch
from releases import assistant, noise
from safetensors.torch import load_file

from labkit.audio.io import AudioInputError
from labkit.audio.resample import resample
from labkit.audio.sensevoice.encoder import (
    EncoderConfig,
    MemoryLayer,
    SenseVoiceEncoder,
    encoder_keys,
    positions,
)
from labkit.audio.sensevoice.features import Normalization, filter_banks, rows_of, stack_frames
from labkit.checkpoints import CheckpointError

GOLDEN = Path(__file__).parent / "golden_audio" / "sensevoice"


@pytest.mark.parametrize(("samples", "frames"), [(400, 1), (559, 1), (560, 2), (16000, 98)])
def test_windows_of_25_ms_every_10_ms_and_rows_every_60_ms(samples: int, frames: int) -> None:
    banks = filter_banks(noise(1)[:samples])
    assert banks.shape == (frames, 80)
    assert stack_frames(banks).shape == (-(-frames // 6), 560)


def test_a_row_is_a_frame_and_three_on_either_side() -> None:
    frames = torch.arange(14.0)[:, None]
    rows = stack_frames(frames)
    assert rows.tolist() == [
        [0, 0, 0, 0, 1, 2, 3],
        [3, 4, 5, 6, 7, 8, 9],
        [9, 10, 11, 12, 13, 13, 13],
    ]


def test_dither_comes_from_its_own_generator_and_only_if_asked_for() -> None:
    quiet = noise(1) * 1e-4
    first, again = (filter_banks(quiet, 1.0, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, filter_banks(quiet))


def test_channels_are_averaged_and_any_usual_rate_is_heard() -> None:
    normalize = Normalization.read(GOLDEN / "am.mvn")
    left, right = noise(1), noise(1, seed=1)
    both = rows_of(torch.stack([left, right]), 16000, normalize)
    assert torch.allclose(both, rows_of((left + right) / 2, 16000, normalize), atol=1e-4)
    assert len(rows_of(noise(1, 44100), 44100, normalize)) == 17
    with pytest.raises(AudioInputError, match="less than one window"):
        rows_of(left[:300], 16000, normalize)
    with pytest.raises(AudioInputError, match="empty"):
        rows_of([], 16000, normalize)


def test_padding_changes_nothing() -> None:
    encoder = assistant(plus=True).ears.tower.encoder
    rows = torch.randn(2, 9, 560, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        together = encoder(rows, torch.tensor([9, 5]))
        alone = encoder(rows[1:, :5])
    assert torch.allclose(together[1, : 5 + 4], alone[0], atol=1e-5)


def test_only_layers_that_keep_the_width_have_a_residual() -> None:
    config = EncoderConfig(width=32, feed_forward=64, layers=2, second_layers=1)
    assert not MemoryLayer(560, config).residual
    assert MemoryLayer(32, config).residual


def test_positions_in_bfloat16_are_another_table() -> None:
    exact, half = positions(300, 560, torch.float32), positions(300, 560, torch.bfloat16).float()
    assert (exact - half).abs().max() > 0.5


def test_the_released_shape_accounts_for_every_key() -> None:
    config = EncoderConfig()
    with torch.device("meta"):
        encoder = SenseVoiceEncoder(config)
    keys = set(encoder_keys(config))
    assert set(encoder.state_dict()) == {key for key in keys if not key.startswith("ctc.")}
    assert len(keys) == 1 + 2 + 4 + 70 * 13
    assert (
        EncoderConfig.from_shapes({key: tuple(value.shape) for key, value in encoder.state_dict().items()})
        == config
    )
    prefix = "model.audio_model.model."
    held = {
        key.removeprefix(prefix) for key in load_file(GOLDEN / "model.safetensors") if key.startswith(prefix)
    }
    assert held == set(encoder_keys(EncoderConfig(width=32, layers=3, second_layers=2)))


def test_normalisations_are_read_written_and_refused(tmp_path: Path) -> None:
    original = Normalization.read(GOLDEN / "am.mvn")
    original.write(tmp_path / "am.mvn")
    again = Normalization.read(tmp_path / "am.mvn")
    assert torch.equal(again.shift, original.shift)
    assert torch.equal(again.scale, original.scale)
    for text, message in (
        ("", "no Kaldi normalisation"),
        ((GOLDEN / "am.mvn").read_text()[:9000], "no Kaldi"),
    ):
        (tmp_path / "am.mvn").write_text(text)
        with pytest.raises(CheckpointError, match=message):
            Normalization.read(tmp_path / "am.mvn")
    with pytest.raises(FileNotFoundError, match="SenseVoiceSmall"):
        Normalization.read(tmp_path / "nowhere" / "am.mvn")
    short = "<AddShift> 2 2 <LearnRateCoef> 0 [ 1 2 ] <Rescale> 2 2 <LearnRateCoef> 0 [ 1 2 ]"
    (tmp_path / "am.mvn").write_text(short)
    with pytest.raises(CheckpointError, match=r"vectors of \[2, 2\] numbers"):
        Normalization.read(tmp_path / "am.mvn")


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_resampling_keeps_a_tone(rate: int) -> None:
    seconds = torch.arange(rate) / rate
    tone = torch.sin(2 * torch.pi * 440 * seconds)[None]
    ours = resample(tone, rate, 16000)[0]
    wanted = torch.sin(2 * torch.pi * 440 * torch.arange(16000) / 16000)
    assert ours.shape == wanted.shape
    assert (ours - wanted)[500:-500].abs().max() < 2e-3
