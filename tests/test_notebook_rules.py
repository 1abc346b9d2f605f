"""Each way in which a lesson can be wrong or idle really fails, on notebooks of a few lines."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellTimeoutError
from nbconvert import HTMLExporter
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from papermill import PapermillExecutionError

from labkit import notebooks
from labkit.figures import NO_CHROMIUM, find_chromium
from labkit.notebooks import (
    Entry,
    NotebookError,
    check_source,
    execute,
    parameters_of,
    read_registry,
    rehearse,
)

NAME = "07-example"
PARAMETERS = "figures_folder = None\nsize: int = 3"
CLAIM = f"""
from labkit.findings import Findings
Findings("{NAME}", figures_folder).claim("size", size, goal="1..9", source="Table 1")
"""
ENTRY = Entry(seconds=(0.01, 60))


@pytest.fixture
def lesson(tmp_path):
    """Writes a notebook of the given code cells, the first of them tagged `parameters`."""

    def write(*sources: str, tags: tuple[str, ...] = ("parameters",), name: str = NAME) -> Path:
        cells = [new_markdown_cell("What does it do?"), *map(new_code_cell, sources)]
        cells[1].metadata.tags = list(tags)
        path = tmp_path / f"{name}.ipynb"
        path.write_text(notebooks.stripped(nbformat.writes(new_notebook(cells=cells))))
        return path

    return write


def run(path: Path, entry: Entry = ENTRY) -> float:
    return rehearse(path, entry, path.parent / "executed" / path.name, path.parent / "figures")


def change(path: Path, edit) -> None:
    notebook = nbformat.read(path, as_version=4)
    edit(notebook)
    nbformat.write(notebook, path)


# A good lesson


def test_a_good_lesson_runs_in_this_python_with_the_parameters_given(lesson, tmp_path):
    report = "import os, sys\nopen('report.txt', 'w').write(f'{sys.executable} {size} {os.getcwd()}')"
    path = lesson(PARAMETERS, report, CLAIM)
    check_source(path)
    assert 0 < run(path, Entry(seconds=(0.01, 60), parameters={"size": 5})) < 60
    executable, size, folder = (tmp_path / "report.txt").read_text().split()
    assert Path(executable).parent == Path(sys.executable).parent
    assert (size, Path(folder)) == ("5", tmp_path)


def test_an_executed_lesson_embeds_no_widget_state(lesson):
    path = lesson(PARAMETERS, "import ipywidgets\nipywidgets.IntSlider()", CLAIM)
    run(path)
    executed = nbformat.read(path.parent / "executed" / path.name, as_version=4)
    assert "IntSlider" in str(executed.cells)
    assert "widgets" not in executed.metadata


@pytest.mark.skipif(find_chromium() is None, reason=NO_CHROMIUM)
def test_figures_and_sounds_outlive_the_notebook(lesson, tmp_path):
    figure = (
        "import plotly.graph_objects as go\nfrom labkit.views.display import play, show\nshow(go.Figure())"
    )
    path = lesson(PARAMETERS, figure, "play([0.0] * 16000, 16000, 'silence')", CLAIM)
    run(path)
    executed = nbformat.read(tmp_path / "executed" / path.name, as_version=4)
    page, _ = HTMLExporter().from_notebook_node(executed)
    assert "data:image/png;base64," in page
    assert 'src="data:audio/ogg; codecs=opus;base64,' in page


# Runs that must fail


def test_a_failing_cell_fails_and_leaves_the_executed_notebook(lesson):
    path = lesson(PARAMETERS, "1 / 0")
    with pytest.raises(PapermillExecutionError, match="ZeroDivisionError"):
        run(path)
    assert (path.parent / "executed" / path.name).exists()


def test_a_missed_goal_fails(lesson):
    with pytest.raises(PapermillExecutionError, match="not reached"):
        run(lesson(PARAMETERS, CLAIM), Entry(seconds=(0.01, 60), parameters={"size": 10}))


def test_a_cell_that_does_not_end_fails(lesson):
    with pytest.raises(CellTimeoutError):
        run(lesson(PARAMETERS, "import time\ntime.sleep(60)", CLAIM), Entry(seconds=(0.01, 1)))


def test_many_cells_that_together_take_too_long_fail(lesson):
    naps = ["import time\ntime.sleep(0.6)"] * 3
    with pytest.raises(NotebookError, match=r"more than the 1\.5 s"):
        run(lesson(PARAMETERS, *naps, CLAIM), Entry(seconds=(0.01, 1.5)))


def test_a_run_too_short_to_have_done_anything_fails(lesson):
    with pytest.raises(NotebookError, match="did it do anything"):
        run(lesson(PARAMETERS, CLAIM), Entry(seconds=(50, 60)))


def test_a_lesson_without_findings_fails(lesson):
    with pytest.raises(NotebookError, match="records no finding"):
        run(lesson(PARAMETERS, "size"))


def test_an_executed_lesson_too_large_fails(lesson, monkeypatch):
    monkeypatch.setattr(notebooks, "EXECUTED_BYTES", 20_000)
    with pytest.raises(NotebookError, match="MB when executed"):
        run(lesson(PARAMETERS, CLAIM, "'x' * 30_000"))


def test_an_unknown_parameter_fails_before_anything_runs(lesson, tmp_path):
    path = lesson(PARAMETERS, "open('ran', 'w')", CLAIM)
    with pytest.raises(NotebookError, match=r"has no parameters \['sise'\]"):
        run(path, Entry(seconds=(0.01, 60), parameters={"sise": 4}))
    assert not (tmp_path / "ran").exists()


def test_a_lesson_without_a_parameters_cell_fails(lesson):
    with pytest.raises(NotebookError, match="0 code cells tagged"):
        run(lesson(PARAMETERS, tags=()))


def test_another_pythons_kernel_is_refused(lesson, monkeypatch):
    class Foreign:
        argv = ("/usr/bin/python3", "-m", "ipykernel_launcher")

    monkeypatch.setattr(notebooks.KernelSpecManager, "get_kernel_spec", lambda self, name: Foreign)
    path = lesson(PARAMETERS)
    with pytest.raises(NotebookError, match="not this Python"):
        execute(path, path.parent / "out.ipynb", {}, timeout=5)


# Sources that must not be committed


def add_output(notebook):
    notebook.cells[1].outputs = [new_output("stream", text="hello\n")]


def add_count(notebook):
    notebook.cells[1].execution_count = 3


def add_widget_state(notebook):
    notebook.metadata.widgets = {"application/vnd.jupyter.widget-state+json": {"state": {}}}


def add_cell_metadata(notebook):
    notebook.cells[1].metadata.execution = {"iopub.execute_input": "2024-01-01"}


def add_kernel(notebook):
    notebook.metadata.kernelspec.display_name = "my environment"


@pytest.mark.parametrize("edit", [add_output, add_count, add_widget_state, add_cell_metadata, add_kernel])
def test_traces_of_a_run_are_found_and_stripped(lesson, edit):
    path = lesson(PARAMETERS)
    clean = path.read_text()
    change(path, edit)
    with pytest.raises(NotebookError, match="traces of a run"):
        check_source(path)
    notebooks.main(["strip", str(path)])
    assert path.read_text() == clean
    check_source(path)


def test_stripping_keeps_ids_tags_and_folded_sources(lesson):
    path = lesson(PARAMETERS)
    change(path, lambda notebook: notebook.cells[1].metadata.update(jupyter={"source_hidden": True}))
    before = nbformat.read(path, as_version=4)
    notebooks.main(["strip", str(path)])
    after = nbformat.read(path, as_version=4)
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]
    assert after.cells[1].metadata == {"tags": ["parameters"], "jupyter": {"source_hidden": True}}


def test_two_parameters_cells_are_refused(lesson):
    path = lesson(PARAMETERS, "size = 4")
    change(path, lambda notebook: notebook.cells[2].metadata.update(tags=["parameters"]))
    with pytest.raises(NotebookError, match="2 code cells tagged"):
        check_source(path)


def test_a_lesson_must_let_its_figures_be_sent_somewhere(lesson):
    with pytest.raises(NotebookError, match="figures_folder"):
        check_source(lesson("size = 3"))


def test_a_lesson_is_named_like_one(lesson):
    with pytest.raises(NotebookError, match="named like"):
        check_source(lesson(PARAMETERS, name="Untitled1"))


@pytest.mark.parametrize("text", ["", "{}", "[1]", "not JSON"])
def test_what_is_not_a_notebook_is_said_to_be_none(text):
    with pytest.raises(NotebookError, match="not a"):
        notebooks.stripped(text)


def test_parameters_are_the_names_that_the_cell_assigns(lesson):
    path = lesson("a = 1\nb: int = a\n(c, d) = 1, 2  # e = 3\nprint(len('f'))")
    assert parameters_of(path) == {"a", "b", "c", "d"}


# Registries that must not be believed


def register(folder: Path, text: str) -> dict[str, Entry]:
    (folder / "registry.toml").write_text(text)
    return read_registry(folder)


def test_a_section_is_read(lesson, tmp_path):
    lesson(PARAMETERS)
    registry = register(tmp_path, f'["{NAME}"]\nseconds = [1, 20]\nhardware = "gpu"\nparameters.size = 5\n')
    assert registry == {NAME: Entry((1.0, 20.0), "gpu", (), {"size": 5})}


def test_a_notebook_without_a_section_fails(lesson, tmp_path):
    lesson(PARAMETERS)
    with pytest.raises(NotebookError, match=r"but not in registry\.toml: \['07-example'\]"):
        register(tmp_path, "")


def test_a_section_without_a_notebook_fails(tmp_path):
    with pytest.raises(NotebookError, match=r"in registry\.toml but not"):
        register(tmp_path, f'["{NAME}"]\nseconds = [1, 20]\n')


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("", "seconds"),
        ("seconds = 20", "seconds"),
        ("seconds = [0, 20]", "seconds"),
        ("seconds = [20, 1]", "seconds"),
        ('seconds = [1, 20]\nhardware = "tpu"', "hardware"),
        ("seconds = [1, 20]\nskip = true", "unknown keys"),
    ],
)
def test_a_section_with_a_mistake_fails(tmp_path, row, message):
    with pytest.raises(NotebookError, match=message):
        register(tmp_path, f'["{NAME}"]\n{row}\n')


def test_what_a_machine_lacks_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks.torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path))
    (tmp_path / "here").touch()
    entry = Entry((1, 2), "gpu", ("$CHECKPOINTS/here", "$CHECKPOINTS/there", "missing.txt"))
    assert entry.lacking(tmp_path) == ["a GPU", "$CHECKPOINTS/there", "missing.txt"]
    assert ENTRY.lacking(tmp_path) == []


# make figures


def test_every_lesson_is_run_for_its_figures_and_failures_are_reported(lesson, tmp_path, capsys):
    lesson(PARAMETERS, CLAIM)
    lesson(PARAMETERS, "1 / 0", name="06-broken")
    lesson(PARAMETERS, name="08-elsewhere")
    sections = '["06-broken"]\nseconds = [1, 20]\n["07-example"]\nseconds = [1, 20]\n'
    register(tmp_path, f'{sections}["08-elsewhere"]\nseconds = [1, 20]\nfiles = ["not-here"]\n')
    command = ["run", "--notebooks", str(tmp_path), "--figures", str(tmp_path / "figures")]
    assert notebooks.main(command) == 1
    report = capsys.readouterr().out
    assert "06-broken: FAILED" in report
    assert "08-elsewhere: skipped, for want of not-here" in report
    assert (tmp_path / "figures" / NAME / "findings.json").exists()
    assert notebooks.main([*command, NAME]) == 0
    with pytest.raises(NotebookError, match="no lessons"):
        notebooks.main([*command, "09-unknown"])
