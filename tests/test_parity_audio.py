"""The parity command on the audio parts' golden cases, and on recordings that are wrong or broken."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from labkit.parity.__main__ import main

GOLDEN_AUDIO = Path(__file__).parent / "golden_audio"


def test_all_audio_cases_pass(capsys: pytest.CaptureFixture) -> None:
    assert main([str(GOLDEN_AUDIO)]) == 0
    out = capsys.readouterr().out
    assert "MISS" not in out
    assert "119 of 119 checks passed" in out
    for case in ("flow", "hift", "resample", "sensevoice", "stream", "whisper_vq"):
        assert f"ok   {case} " in out


@pytest.fixture
def case(tmp_path: Path) -> Callable[[str], Path]:
    """Copies of the cases, by name."""
    shutil.copytree(GOLDEN_AUDIO, tmp_path / "golden_audio")
    return lambda name: tmp_path / "golden_audio" / name


def change(folder: Path, name: str, edit: Callable[[torch.Tensor], torch.Tensor]) -> None:
    tensors = load_file(folder / "case.safetensors")
    tensors[name] = edit(tensors[name])
    save_file(tensors, folder / "case.safetensors")


def drop(folder: Path, name: str) -> None:
    tensors = load_file(folder / "case.safetensors")
    del tensors[name]
    save_file(tensors, folder / "case.safetensors")


@pytest.mark.parametrize(
    ("name", "tensor", "by", "what"),
    [
        ("whisper_vq", "feat0.pooled", 2e-4, "before quantising"),
        ("whisper_vq", "wav.input_features", 2e-4, "log-mels"),
        ("flow", "plain.mu", 4e-5, "mu"),
        ("flow", "prompt.mel_steps5", 2e-4, "mel, 5 steps"),
        ("hift", "cached.wav", 2e-4, "wave of recorded source"),
        ("hift", "plain.source_before_cache", 1e-3, "source"),
        ("stream", "web.0.hift_in", 2e-4, "frames for the vocoder"),
        ("sensevoice", "two.encoder_out", 2e-4, "encoder"),
        ("sensevoice", "wav.fbank", 5e-3, "filter banks"),
        ("resample", "sr8000.out", 1e-4, "samples"),
    ],
)
def test_a_miss_is_shown_and_fails(
    name: str, tensor: str, by: float, what: str, case: Callable, capsys: pytest.CaptureFixture
) -> None:
    change(case(name), tensor, lambda recorded: recorded + by)
    assert main([str(case(name))]) == 1
    missed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISS")]
    assert missed
    assert any(what in line for line in missed)


def test_a_wrong_token_is_shown(case: Callable, capsys: pytest.CaptureFixture) -> None:
    path = case("whisper_vq") / "case.json"
    recorded = json.loads(path.read_text())
    recorded["wav"]["kept_tokens"][3] += 1
    path.write_text(json.dumps(recorded))
    assert main([str(path.parent)]) == 1
    assert "1 of 17 differ, first at 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (
            lambda f: (f / "case.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}"),
            "cannot read case.safetensors",
        ),
        (lambda f: (f / "flow.safetensors").write_bytes(b"short"), "is no whole safetensors file"),
        (lambda f: (f / "config.json").write_text("{}"), "cannot read config.json"),
        (lambda f: drop(f, "plain.mu"), "lacks plain.mu"),
    ],
)
def test_a_broken_case_is_explained(
    break_it: Callable, message: str, case: Callable, capsys: pytest.CaptureFixture
) -> None:
    break_it(case("flow"))
    assert main([str(case("flow"))]) == 2
    assert message in capsys.readouterr().err
