"""Golden cases: a small checkpoint in the released layout, and what the public code computed with it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.model.checkpoint import load_speech_lm
from labkit.model.growth import grow_chain
from labkit.model.speech_lm import SpeechLM

CASE = "case.json"
MODE_FIELDS = ("mode", "tokens", "source", "top5_ids", "top5_logits", "logsumexp")
BATCH_FIELDS = ("input_ids", "labels", "position_ids")
RESULT_FIELDS = ("regime", "stp_loss", "mtp_losses", "total_loss")
REGIMES = ("joint", "frozen")


class CaseError(ValueError):
    """A case that is missing or cannot be read; the message says what is wrong with which file."""


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        folder: where it lies.
        recorded: its ``case.json``.
    """

    folder: Path
    recorded: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def modes(self) -> Mapping[str, Any]:
        """Recorded generations by name."""
        return self.recorded.get("modes", {})

    @property
    def training(self) -> Mapping[str, Any]:
        """Recorded losses by name of the batch."""
        return self.recorded.get("training", {})

    def load(self, attention: str) -> SpeechLM:
        """The case's model. A case without weights is its source checkpoint, grown by the stage rules.

        Raises:
            CaseError: there are no weights, or they are not those that ``case.json`` speaks of.
        """
        source = self.folder
        if not any(self.folder.glob("*.safetensors")):
            if "source_checkpoint" not in self.recorded:
                raise CaseError(
                    f"{self.folder} has neither model.safetensors nor a source_checkpoint in {CASE}"
                )
            source = self.folder / self.recorded["source_checkpoint"]
        try:
            model = load_speech_lm(source, attention=attention, tell=None)
        except (OSError, ValueError) as error:
            raise CaseError(f"{self.folder}: cannot load the checkpoint {source}: {error}") from error
        if source != self.folder:
            grow_chain(model, self.recorded["num_mtp"])
        if "mtp_loss_weight" in self.recorded:
            model.module_loss_weight = float(self.recorded["mtp_loss_weight"])
        for field, ours in (
            ("num_main_layers", model.config.num_hidden_layers),
            ("num_mtp", model.num_modules),
            ("tie", model.config.tie_word_embeddings),
        ):
            if self.recorded.get(field, ours) != ours:
                raise CaseError(
                    f"{self.folder}: {CASE} says {field} {self.recorded[field]}, the checkpoint {ours}"
                )
        return model

    def prompt(self, mode: str) -> list[int]:
        """The prompt of a recorded generation."""
        whole = self.recorded["prompt"]
        return whole[: self.modes[mode].get("prompt_len", len(whole))]


def find_cases(paths: Iterable[str | Path]) -> list[Path]:
    """The folders of all cases: each path is one, or a folder of them.

    Raises:
        CaseError: a path holds none.
    """
    folders: list[Path] = []
    for path in map(Path, paths):
        if (path / CASE).is_file():
            folders.append(path)
            continue
        inside = sorted(found.parent for found in path.glob(f"*/{CASE}")) if path.is_dir() else []
        if not inside:
            raise CaseError(f"no case in {path}: expected {CASE} there, or in folders below it")
        folders += inside
    return folders


def read_case(folder: Path) -> Case:
    """Read and check one case.

    Raises:
        CaseError: ``case.json`` is not JSON, or lacks what a replay needs.
    """
    path = folder / CASE
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CaseError(f"cannot read {path}: {error}") from error
    if not isinstance(recorded, dict):
        raise CaseError(f"{path} does not hold a JSON object")
    _require(path, "the case", recorded, ("prompt", "num_mtp"))
    if not recorded.get("modes") and not recorded.get("training"):
        raise CaseError(f"{path} records neither modes nor training")
    for name, mode in recorded.get("modes", {}).items():
        _require(path, f"mode {name}", mode, MODE_FIELDS)
        lengths = {field: len(mode[field]) for field in MODE_FIELDS[1:]}
        if len(set(lengths.values())) > 1:
            raise CaseError(f"{path}: mode {name} has fields of different lengths: {lengths}")
    for name, training in recorded.get("training", {}).items():
        _require(path, f"training {name}", training, ("batch", "results"))
        _require(path, f"the batch of training {name}", training["batch"], BATCH_FIELDS)
        for result in training["results"]:
            _require(path, f"a result of training {name}", result, RESULT_FIELDS)
            if result["regime"] not in REGIMES:
                raise CaseError(f"{path}: training {name} has the unknown regime {result['regime']!r}")
    return Case(folder, recorded)


def _require(path: Path, what: str, held: object, fields: Iterable[str]) -> None:
    missing = [field for field in fields if not isinstance(held, dict) or field not in held]
    if missing:
        raise CaseError(f"{path}: {what} lacks {', '.join(missing)}")
