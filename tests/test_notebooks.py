"""Every lesson runs, within its limits, from a source that is fit to be committed."""

import re
from pathlib import Path

import pytest

from labkit.findings import FINDINGS_FILE
from labkit.notebooks import Entry, check_source, parameters_of, read_registry, rehearse

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
