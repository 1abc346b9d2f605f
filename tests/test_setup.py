"""The declared dependencies, the locked versions, conda's environment and the commands are in step."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parent.parent
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
MAKEFILE = (REPOSITORY / "Makefile").read_text()
PYTHONS = ("3.11", "3.12", "3.13")
INSTALLED_EXTRAS = ("lab", "test", "train")

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def locked(python: str, system: str) -> dict[str, str]:
    """The locked versions that hold for one Python on one system, by canonical name."""
    marks = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": system}
    versions = {}
    for line in (REPOSITORY / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(marks):
                assert requirement.name not in versions, f"{requirement.name} is locked twice for {marks}"
                versions[canonicalize_name(requirement.name)] = str(requirement.specifier)
    return versions


def declared() -> list[Requirement]:
    """What pyproject.toml asks for, with the extras that the commands install."""
    lines = list(PROJECT["dependencies"])
    for extra in INSTALLED_EXTRAS:
        lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_locked_within_its_declared_range(python, system):
    versions = locked(python, system)
    for requirement in declared():
        pin = versions[canonicalize_name(requirement.name)]
        assert re.fullmatch(r"==[\w.]+", pin)
        assert pin.removeprefix("==") in requirement.specifier, f"{pin} is outside {requirement}"


def test_the_lock_leaves_torchs_build_to_the_machine():
    text = (REPOSITORY / "constraints.txt").read_text()
    assert "+" not in text
    assert not re.search(r"^(nvidia|cuda|triton)", text, re.MULTILINE)


def test_the_library_declares_ranges_and_never_digits():
    for requirement in declared():
        operators = {clause.operator for clause in requirement.specifier}
        assert ">=" in operators
        assert not operators & {"==", "==="}


def test_one_extra_is_what_the_commands_install():
    [everything] = PROJECT["optional-dependencies"]["dev"]
    assert Requirement(everything).extras == set(INSTALLED_EXTRAS)
    assert "--constraint constraints.txt --editable '.[dev]'" in MAKEFILE
    assert "--extra dev" in MAKEFILE


def test_condas_environment_is_the_same_one():
    environment = yaml.safe_load((REPOSITORY / "environment.yml").read_text())
    assert environment["channels"][0] == "conda-forge"
    [pip] = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["--constraint constraints.txt", "--editable .[dev]"]
    [python] = (
        entry.removeprefix("python")
        for entry in environment["dependencies"]
        if isinstance(entry, str) and entry.split()[0] == "python"
    )
    assert SpecifierSet(python) == SpecifierSet(PROJECT["requires-python"])


def test_the_pythons_of_the_classifiers_are_those_the_package_allows():
    prefix = "Programming Language :: Python :: 3."
    minors = [int(line.removeprefix(prefix)) for line in PROJECT["classifiers"] if line.startswith(prefix)]
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert minors == [minor for minor in range(30) if f"3.{minor}" in allowed]
    assert tuple(f"3.{minor}" for minor in minors) == PYTHONS


def test_continuous_integration_runs_the_same_command():
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("\nmake test")


def test_weights_ship_as_safetensors_with_their_cards():
    weights = [path for path in (REPOSITORY / "labkit" / "weights").rglob("*") if path.is_file()]
    assert {path.suffix for path in weights} <= {".safetensors", ".json", ".md", ".jinja"}
    assert {path.name for path in weights if path.suffix == ".jinja"} == {"chat_template.jinja"}
    sizes = {path: path.stat().st_size for path in weights}
    assert sum(size for path, size in sizes.items() if path.suffix == ".safetensors") < 48_000_000
    assert sum(sizes.values()) < 50_000_000, "with cards, scores and tokenizers"


def make(*arguments: str) -> subprocess.CompletedProcess:
    # As from a new shell: a make that runs these tests must not hand its own settings down.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ARGS"))}
    return subprocess.run(
        ["make", *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )


@needs_make
def test_a_python_that_is_too_old_is_named(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make("lab", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert done.returncode != 0
    assert f"needs Python 3.11, 3.12 or 3.13; tried: {old}" in done.stderr
    assert not (tmp_path / "venv").exists()


@needs_make
def test_arguments_are_passed_on(tmp_path):
    (tmp_path / ".ready").touch()
    done = make("--dry-run", f"VENV={tmp_path}", "ARGS=--no-browser --port 8899", "lab")
    [line] = done.stdout.replace("\\\n", "").splitlines()
    assert line.startswith(f"{tmp_path}/bin/python -m jupyterlab --ServerApp.ip=localhost")
    assert line.endswith("--no-browser --port 8899")
