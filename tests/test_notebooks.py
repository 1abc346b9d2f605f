"""Every lesson runs, within its limits, from a source that is fit to be committed; only whole runs are published."""

import re
from pathlib import Path

import pytest

from labkit import notebooks as module
from labkit.findings import FINDINGS_FILE, Findings, read_findings
from labkit.notebooks import (
    FIGURES_PARAMETER,
    Entry,
    check_source,
    parameters_of,
    read_registry,
    rehearse,
    run_for_figures,
)

REPOSITORY = Path(__file__).parent.parent
NOTEBOOKS = REPOSITORY / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
TIMED = ("07", "08")
"""Numbers of the lessons that claim how long something takes."""


@pytest.fixture(scope="session")
def registry() -> dict[str, Entry]:
    return read_registry(NOTEBOOKS)


def test_the_registry_lists_the_notebooks_that_are_there(registry):
    assert list(registry) == [path.stem for path in LESSONS]


def test_figures_on_file_belong_to_lessons():
    recorded = {path.parent.name for path in (REPOSITORY / "figures").glob(f"*/{FINDINGS_FILE}")}
    assert recorded <= {path.stem for path in LESSONS}


def test_the_readme_leads_to_every_lesson():
    linked = re.findall(
        r"\]\(notebooks/([^)]+)\.ipynb\)", (REPOSITORY / "README.md").read_text(encoding="utf-8")
    )
    # Each once or more: in the list of lessons, and beside its pictures.
    assert set(linked) == {path.stem for path in LESSONS}


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_source(path, registry):
    check_source(path)
    assert set(registry[path.stem].parameters) <= parameters_of(path)


LESSON = "01-speech-as-tokens"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a lesson that is a function of its folder; returns what its folder among the figures then holds."""
    monkeypatch.setattr(module, "read_registry", lambda folder: {LESSON: Entry((1.0, 2.0))})
    figures = tmp_path / "figures"

    def runs(lesson):
        def execute(path, output, parameters, timeout):
            findings = Findings(LESSON, parameters[FIGURES_PARAMETER])
            assert len(read_findings(findings.folder / FINDINGS_FILE)) == 0
            lesson(findings)
            return 1.0

        monkeypatch.setattr(module, "execute", execute)
        failed = run_for_figures(tmp_path / "notebooks", figures, [])
        return failed, {path.name: path.read_bytes() for path in sorted((figures / LESSON).glob("*"))}

    return runs


def draws(*names, value=1):
    def lesson(findings):
        for name in names:
            (findings.folder / name).write_text(f"{name} {value}")
        findings.claim("it is one", value, goal="<= 1", source="Table 1")

    return lesson


def test_a_failed_lesson_leaves_the_figures_of_the_last_whole_run(run, tmp_path):
    failed, whole = run(draws("a.png", "a.json"))
    assert failed == []
    assert set(whole) == {"a.png", "a.json", FINDINGS_FILE}
    assert run(draws("a.png", "a.json", "b.png", value=2)) == ([LESSON], whole)
    left = tmp_path / "figures" / "executed" / LESSON
    assert (left / "b.png").exists(), "to see what went wrong"
    assert run(draws("a.png", "a.json")) == ([], whole)
    assert not left.exists()


def test_a_whole_run_leaves_nothing_of_the_one_before(run, monkeypatch):
    monkeypatch.setattr(module, "find_chromium", lambda: Path("chromium"))
    run(draws("a.png", "a.json", "plotly.min.js"))
    assert set(run(draws("b.png", "b.json"))[1]) == {"b.png", "b.json", FINDINGS_FILE}


def test_without_a_chromium_pictures_of_figures_that_are_still_there_stay(run, monkeypatch):
    run(draws("a.png", "a.json", "b.png", "b.json"))
    monkeypatch.setattr(module, "find_chromium", lambda: None)
    assert set(run(draws("a.json"))[1]) == {"a.png", "a.json", FINDINGS_FILE}


@pytest.mark.notebook
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.alone) if path.stem[:2] in TIMED else path for path in LESSONS],
    ids=lambda path: path.stem,
)
def test_run(path, registry, tmp_path):
    entry = registry[path.stem]
    if lacking := entry.lacking(REPOSITORY):
        pytest.skip(f"{path.stem} needs {', '.join(lacking)}")
    rehearse(path, entry, tmp_path / path.name, tmp_path / "figures")
