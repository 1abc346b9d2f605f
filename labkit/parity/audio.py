"""Golden cases of the audio parts: which kind a folder holds, and what every kind shares."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from labkit.checkpoints import CheckpointError, fill, read_tensors
from labkit.parity.cases import CASE, CaseError
from labkit.parity.checks import Check, within

TENSORS = "case.safetensors"


@dataclass(frozen=True)
class AudioCase:
    """One folder.

    Attributes:
        folder: where it lies.
        kind: ``"tokenizer"``, ``"flow"``, ``"vocoder"``, ``"streams"``, ``"sensevoice"`` or ``"resample"``.
        recorded: its ``case.json``.
        tensors: its ``case.safetensors``.
    """

    folder: Path
    kind: str
    recorded: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def tensor(self, name: str) -> torch.Tensor:
        """A recorded tensor.

        Raises:
            CaseError: it is not there.
        """
        if name not in self.tensors:
            raise CaseError(f"{self.folder / TENSORS} lacks {name}")
        return self.tensors[name]

    def settings(self) -> dict[str, Any]:
        """Its ``config.json``."""
        return json.loads((self.folder / "config.json").read_text(encoding="utf-8"))


def kind_of(folder: Path) -> str | None:
    """The kind of audio case that a folder holds, told by what lies in it, or None if it is of another sort."""
    if not (folder / TENSORS).is_file():
        return None
    recorded = _json(folder / CASE)
    if "glm_stream_inference" in recorded or "vita_stream_demo" in recorded:
        return "streams"
    for file, kind in (
        ("am.mvn", "sensevoice"),
        ("flow.safetensors", "flow"),
        ("hift.safetensors", "vocoder"),
    ):
        if (folder / file).is_file():
            return kind
    if (folder / "preprocessor_config.json").is_file():
        return "tokenizer"
    return "resample" if "target_rate" in recorded else None


def read_audio_case(folder: Path, kind: str) -> AudioCase:
    """Read a case.

    Raises:
        CaseError: a file cannot be read.
    """
    try:
        return AudioCase(folder, kind, _json(folder / CASE), load_file(folder / TENSORS))
    except Exception as error:
        raise CaseError(f"{folder}: cannot read {TENSORS}: {error}") from error


def load_into(module: nn.Module, file: Path, **options: Any) -> nn.Module:
    """Fill a module made on the meta device, its keys being the file's.

    Raises:
        CaseError: the file does not fit.
    """
    names = {name: name for name in module.state_dict()}
    try:
        fill(module, read_tensors([file]), names, device=torch.device("cpu"), **options)
    except (CheckpointError, OSError) as error:
        raise CaseError(f"cannot load {file}: {error}") from error
    return module.eval()


def near(subject: str, what: str, ours: torch.Tensor, recorded: torch.Tensor, bound: float) -> Check:
    """The largest difference must not pass a bound; shapes must be the same."""
    if ours.shape != recorded.shape:
        return Check(subject, what, f"shape {tuple(ours.shape)} for {tuple(recorded.shape)}", False)
    difference = float((ours.double() - recorded.double()).abs().max()) if ours.numel() else 0.0
    return within(subject, what, difference, bound)


def near_on_average(
    subject: str, what: str, ours: torch.Tensor, recorded: torch.Tensor, bound: float
) -> Check:
    """The root of the mean squared difference must not pass a bound; shapes must be the same."""
    if ours.shape != recorded.shape:
        return Check(subject, what, f"shape {tuple(ours.shape)} for {tuple(recorded.shape)}", False)
    difference = float((ours.double() - recorded.double()).pow(2).mean().sqrt()) if ours.numel() else 0.0
    return within(subject, what, difference, bound)


def _json(path: Path) -> Mapping[str, Any]:
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CaseError(f"cannot read {path}: {error}") from error
    if not isinstance(recorded, dict):
        raise CaseError(f"{path} does not hold a JSON object")
    return recorded
