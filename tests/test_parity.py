"""The parity command on the golden cases, and on cases that are broken or wrong."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny import GOLDEN

from labkit.parity.__main__ import main
from labkit.parity.training import public_targets
from labkit.vocabulary import IGNORE


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A copy of the smallest case, cut short."""
    folder = tmp_path / "case"
    shutil.copytree(GOLDEN / "k1_untied", folder)
    change(folder, lambda c: c["modes"].pop("vanilla"))
    return folder


def change(folder: Path, edit) -> None:
    path = folder / "case.json"
    recorded = json.loads(path.read_text())
    edit(recorded)
    path.write_text(json.dumps(recorded))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_all_golden_cases_pass(attention: str, capsys: pytest.CaptureFixture) -> None:
    assert main([str(GOLDEN), "--attention", attention]) == 0
    out = capsys.readouterr().out
    assert "265 of 265 checks passed" in out
    assert "MISS" not in out
    assert "public fallback; refused without it" in out
    assert "packed_short3, no target crosses samples" in out


def test_both_kernels_unless_told_otherwise(case: Path, capsys: pytest.CaptureFixture) -> None:
    change(case, lambda c: (c.pop("training"), [c["modes"].pop(m) for m in ("boost", "balance", "turbo")]))
    assert main([str(case)]) == 0
    out = capsys.readouterr().out
    assert " eager " in out
    assert " sdpa " in out


def wrong_token(recorded: dict) -> None:
    recorded["modes"]["turbo"]["tokens"][7] += 1


def wrong_source(recorded: dict) -> None:
    recorded["modes"]["boost"]["source"][2] = 0


def wrong_logit(recorded: dict) -> None:
    recorded["modes"]["boost"]["top5_logits"][5][0] += 3e-4


def wrong_sum(recorded: dict) -> None:
    recorded["modes"]["boost"]["logsumexp"][5] -= 3e-4


def wrong_rows(recorded: dict) -> None:
    recorded["modes"]["boost"]["n_in"][6] = 4


def wrong_loss(recorded: dict) -> None:
    recorded["training"]["packed_masked12"]["results"][0]["mtp_losses"][0] += 2e-4


def wrong_gradient(recorded: dict) -> None:
    recorded["training"]["packed_masked12"]["results"][1]["grad_l2"]["model.norm.weight"] *= 1.002


def unwanted_gradient(recorded: dict) -> None:
    recorded["training"]["packed_masked12"]["results"][3]["grad_l2"]["model.norm.weight"] = 1.0


@pytest.mark.parametrize(
    ("edit", "what"),
    [
        (wrong_token, "first at 7"),
        (wrong_source, "1 of 96 differ, first at 2"),
        (wrong_logit, "logits"),
        (wrong_sum, "logits"),
        (wrong_rows, "n_in"),
        (wrong_loss, "module losses"),
        (wrong_gradient, "gradient norms, relative"),
        (unwanted_gradient, "parameters with gradient"),
    ],
)
def test_a_miss_is_shown_and_fails(case: Path, edit, what: str, capsys: pytest.CaptureFixture) -> None:
    change(case, edit)
    assert main([str(case), "--attention", "sdpa"]) == 1
    missed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("MISS")]
    assert missed
    assert all(what in line for line in missed)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c["modes"]["turbo"].pop("source"), "mode turbo lacks source"),
        (lambda c: c["modes"]["turbo"]["tokens"].pop(), "fields of different lengths"),
        (lambda c: c.pop("prompt"), "the case lacks prompt"),
        (lambda c: (c.pop("modes"), c.pop("training")), "records neither modes nor training"),
        (lambda c: c["training"]["packed_short3"]["batch"].pop("labels"), "packed_short3 lacks labels"),
        (
            lambda c: c["training"]["packed_short3"]["results"][0].update(regime="warm"),
            "unknown regime 'warm'",
        ),
        (lambda c: c.update(num_main_layers=4), "says num_main_layers 4, the checkpoint 3"),
        (lambda c: c["modes"]["turbo"]["tokens"].__setitem__(0, "x"), "cannot be replayed"),
    ],
)
def test_a_malformed_case_is_explained(case: Path, edit, message: str, capsys: pytest.CaptureFixture) -> None:
    change(case, edit)
    code = main([str(case), "--attention", "sdpa"])
    captured = capsys.readouterr()
    if message == "cannot be replayed":  # a wrong token is just that, of whatever type
        assert code == 1
    else:
        assert code == 2
        assert message in captured.err


def test_a_missing_case_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "no case in" in capsys.readouterr().err
    (tmp_path / "case.json").write_text("{")
    assert main([str(tmp_path)]) == 2
    assert "cannot read" in capsys.readouterr().err


def test_missing_weights_are_explained(case: Path, capsys: pytest.CaptureFixture) -> None:
    (case / "model.safetensors").unlink()
    assert main([str(case)]) == 2
    assert "neither model.safetensors nor a source_checkpoint" in capsys.readouterr().err


def test_the_public_codes_leak() -> None:
    """Rows of the first sample's end are trained on the second sample, once its masked start is dropped."""
    positions = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3]])
    labels = torch.tensor([[IGNORE, IGNORE, 12, 13, IGNORE, IGNORE, 22, 23]])
    assert public_targets(labels, positions, 0)[0].tolist() == [-100, 12, 13, -100, -100, 22, 23, -100]
    assert public_targets(labels, positions, 2)[0].tolist() == [13, 22, -100, -100, 23, -100]
