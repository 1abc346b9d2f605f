"""Executing the lessons, and keeping their sources fit to be committed.

``notebooks/registry.toml`` says what each lesson needs and costs. Two things read it: the tests, which run
every lesson with the parameters given there and hold it to its limits, and ``make figures``, which runs every
lesson with its own parameters and keeps what it draws and finds::

    python -m labkit.notebooks run --figures figures     # every lesson, or those named
    python -m labkit.notebooks strip notebooks/*.ipynb   # outputs, counts and volatile metadata

papermill only warns of a parameter that a notebook does not know, or of a missing `parameters` cell, and a
notebook that does nothing succeeds. Here each of these is a :class:`NotebookError`.
"""

import argparse
import ast
import math
import os
import shutil
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import nbformat
import papermill
import torch
from jupyter_client.kernelspec import KernelSpecManager
from nbformat import NotebookNode
from tqdm.auto import tqdm

from labkit.figures import STATIC_VARIABLE, find_chromium
from labkit.findings import FINDINGS_FILE, LESSON, read_findings

REGISTRY_FILE = "registry.toml"
KERNEL = "python3"
HARDWARE = ("cpu", "gpu")
FIGURES_PARAMETER = "figures_folder"
EXECUTED_BYTES = 3_000_000
FIGURES_TIMEOUT = 1800
KEPT_METADATA = ("tags", "jupyter")
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": KERNEL},
    "language_info": {"name": "python"},
}


class NotebookError(RuntimeError):
    """A notebook, or its row in the registry, breaks a rule that papermill does not enforce."""


@dataclass(frozen=True)
class Entry:
    """What the registry says of one lesson.

    Attributes:
        seconds: the fewest and the most that the lesson's cells may take in the tests. The fewest guards
            against a run that did nothing; the most is also the timeout of each cell.
        hardware: ``"cpu"`` or ``"gpu"``, the least it runs on.
        files: paths that must exist, relative to the repository or beginning with an environment variable
            (``"$VITA_AUDIO_CHECKPOINTS/..."``). What ships with the package need not be listed: without it
            the lesson should fail, not be skipped.
        parameters: the values that the tests give to the lesson's parameters, where its own take too long.
    """

    seconds: tuple[float, float]
    hardware: str = "cpu"
    files: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, row: dict[str, Any]) -> Self:
        """One section of the registry.

        Raises:
            NotebookError: an unknown or missing key, or a value out of range.
        """
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(set(row) - known):
            raise NotebookError(f"registry, {name}: unknown keys {unknown}; known are {sorted(known)}")
        match row.get("seconds"):
            case [int() | float() as fewest, int() | float() as most] if 0 < fewest < most:
                seconds = (float(fewest), float(most))
            case other:
                raise NotebookError(
                    f"registry, {name}: seconds = [fewest, most], 0 < fewest < most, got {other}"
                )
        if (hardware := row.get("hardware", "cpu")) not in HARDWARE:
            raise NotebookError(f"registry, {name}: hardware is one of {HARDWARE}, got {hardware!r}")
        return cls(seconds, hardware, tuple(row.get("files", ())), row.get("parameters", {}))

    def lacking(self, repository: Path) -> list[str]:
        """What the lesson needs and this machine lacks, in words; empty where the lesson can run."""
        lacks = ["a GPU"] if self.hardware == "gpu" and not torch.cuda.is_available() else []
        return lacks + [name for name in self.files if not (repository / os.path.expandvars(name)).exists()]


def read_registry(folder: Path) -> dict[str, Entry]:
    """The registry of the notebooks in ``folder``, by the notebooks' names.

    Raises:
        NotebookError: a section that cannot be read, or a notebook without a section or the other way round.
    """
    rows = tomllib.loads((folder / REGISTRY_FILE).read_text(encoding="utf-8"))
    registry = {name: Entry.parse(name, row) for name, row in rows.items()}
    notebooks = {path.stem for path in folder.glob("*.ipynb")}
    if absent := sorted(set(registry) - notebooks):
        raise NotebookError(f"in {REGISTRY_FILE} but not in {folder.name}/: {absent}")
    if unregistered := sorted(notebooks - set(registry)):
        raise NotebookError(f"in {folder.name}/ but not in {REGISTRY_FILE}: {unregistered}")
    return dict(sorted(registry.items()))


def check_source(path: Path) -> None:
    """Hold a notebook to what may be committed.

    Raises:
        NotebookError: the name is not a lesson's, the file is not as :func:`strip` leaves it (outputs,
            execution counts, widget state, volatile metadata), there is not exactly one `parameters` cell, or
            it lacks the ``figures_folder`` parameter.
    """
    if not LESSON.fullmatch(path.stem):
        raise NotebookError(f'{path.name}: a lesson is named like "01-speech-as-tokens"')
    text = path.read_text(encoding="utf-8")
    if text != stripped(text):
        raise NotebookError(
            f"{path.name} holds outputs, execution counts or other traces of a run;"
            f" remove them: python -m labkit.notebooks strip {path}"
        )
    if FIGURES_PARAMETER not in parameters_of(path):
        raise NotebookError(f"{path.name}: the parameters cell must set {FIGURES_PARAMETER} = None")


def parameters_of(path: Path) -> set[str]:
    """The names that a notebook's `parameters` cell assigns.

    Raises:
        NotebookError: there is no such cell, or more than one.
    """
    cells = [
        cell
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code" and "parameters" in cell.metadata.get("tags", [])
    ]
    if len(cells) != 1:
        raise NotebookError(
            f"{path.name} has {len(cells)} code cells tagged `parameters`; it needs exactly one"
        )
    return {
        node.id
        for node in ast.walk(ast.parse(cells[0].source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def execute(path: Path, output: Path, parameters: dict[str, Any], timeout: float) -> float:
    """Execute a notebook in a kernel of this very Python, in the notebook's own folder.

    Args:
        path: the notebook.
        output: where the executed notebook goes, also when a cell fails.
        parameters: values for names that the `parameters` cell assigns.
        timeout: the most seconds for any one cell, rounded up.

    Returns:
        The seconds that its cells took, without the kernel's start.

    Raises:
        NotebookError: a parameter the notebook does not know, no `parameters` cell, or a foreign kernel.
        papermill.PapermillExecutionError: a cell failed.
        nbclient.exceptions.CellTimeoutError: a cell took longer than ``timeout``.
    """
    known = parameters_of(path)
    if unknown := sorted(set(parameters) - known):
        raise NotebookError(f"{path.name} has no parameters {unknown}; it knows {sorted(known)}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with _environment():
        executed = papermill.execute_notebook(
            path,
            output,
            parameters,
            kernel_name=KERNEL,
            cwd=path.parent,
            execution_timeout=math.ceil(timeout),
            progress_bar=False,
            store_widget_state=False,
        )
    return sum(cell.metadata.papermill.duration or 0 for cell in executed.cells)


def rehearse(path: Path, entry: Entry, output: Path, figures_folder: Path) -> float:
    """Execute a lesson as the registry says, and hold the run to the registry's limits.

    Returns:
        The seconds that its cells took.

    Raises:
        NotebookError: too short a run, too long a run, too large an output, or no finding recorded.
        Exception: whatever :func:`execute` raises.
    """
    parameters = entry.parameters | {FIGURES_PARAMETER: str(figures_folder.resolve())}
    fewest, most = entry.seconds
    seconds = execute(path, output, parameters, timeout=most)
    if seconds < fewest:
        raise NotebookError(f"{path.name} took {seconds:.1f} s, less than {fewest} s: did it do anything?")
    if seconds > most:
        raise NotebookError(f"{path.name} took {seconds:.1f} s, more than the {most} s it is allowed")
    if (size := output.stat().st_size) > EXECUTED_BYTES:
        raise NotebookError(
            f"{path.name} is {size / 1e6:.1f} MB when executed, more than {EXECUTED_BYTES / 1e6:.0f} MB:"
            " bin what is drawn, shorten what is played"
        )
    record = figures_folder / path.stem / FINDINGS_FILE
    if not record.exists() or not read_findings(record):
        raise NotebookError(f'{path.name} records no finding: Findings("{path.stem}", {FIGURES_PARAMETER})')
    return seconds


def stripped(text: str) -> str:
    """A notebook's JSON without outputs, execution counts and whatever else differs from run to run.

    Cells keep their ids, tags and whether their source is folded.

    Raises:
        NotebookError: ``text`` is not a notebook.
    """
    try:
        notebook = nbformat.reads(text, as_version=4)
        notebook.metadata = NotebookNode(METADATA)
        notebook.nbformat_minor = 5
        for number, cell in enumerate(notebook.cells):
            cell.setdefault("id", f"cell-{number:03d}")
            kept = {key: cell.metadata[key] for key in KEPT_METADATA if key in cell.metadata}
            cell.metadata = NotebookNode(kept)
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.validate(notebook)
    except (AttributeError, ValueError, nbformat.ValidationError) as error:
        raise NotebookError(f"not a notebook: {error}") from error
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def run_for_figures(folder: Path, figures_folder: Path, names: list[str]) -> list[str]:
    """Execute lessons with their own parameters, and keep what they draw and find in ``figures_folder``.

    A lesson that succeeds replaces all that its folder held. One that fails leaves it as it was, and what it drew and
    found until then beside the executed notebook; the next lesson runs all the same. One that this machine cannot run
    keeps what it recorded elsewhere.

    Returns:
        The names of the lessons that failed.

    Raises:
        NotebookError: an unknown name, or a registry that does not match its notebooks.
    """
    registry = read_registry(folder)
    if unknown := sorted(set(names) - set(registry)):
        raise NotebookError(f"no lessons {unknown}; there are {list(registry)}")
    failed = []
    for name in tqdm(names or registry, unit="lesson"):
        if lacking := registry[name].lacking(folder.parent):
            tqdm.write(f"{name}: skipped, for want of {', '.join(lacking)}")
            continue
        executed = figures_folder / "executed"
        output, made = executed / f"{name}.ipynb", executed / name
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        parameters = {FIGURES_PARAMETER: str(executed.resolve())}
        try:
            seconds = execute(folder / f"{name}.ipynb", output, parameters, FIGURES_TIMEOUT)
        except Exception as error:  # whatever a lesson raises is reported, and the next lesson runs
            failed.append(name)
            tqdm.write(f"{name}: FAILED, see {output}\n{error}")
        else:
            _publish(made, figures_folder / name)
            tqdm.write(f"{name}: {seconds:.0f} s")
    return failed


def _publish(made: Path, target: Path) -> None:
    """Put what a lesson made in place of all that an earlier run of it has left."""
    if find_chromium() is None:
        # Nothing could draw the pictures here: those that another machine drew of the same figures stay.
        for picture in target.glob("*.png"):
            if (made / picture.name).with_suffix(".json").exists():
                shutil.copy2(picture, made / picture.name)
    shutil.rmtree(target, ignore_errors=True)
    made.rename(target)


@contextmanager
def _environment() -> Iterator[None]:
    """The kernel's environment: this Python's kernel, pictures for shown figures.

    Raises:
        NotebookError: the kernel named ``python3`` belongs to another Python.
    """
    ours = {STATIC_VARIABLE: "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        program = KernelSpecManager().get_kernel_spec(KERNEL).argv[0]
        # A bare "python" is replaced by the running one when the kernel starts.
        # Links are not followed: the Pythons of two virtual environments often lead to the same file.
        if program not in ("python", "python3") and Path(program).parent != Path(sys.executable).parent:
            raise NotebookError(f"the {KERNEL} kernel runs {program}, not this Python, {sys.executable}")
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m labkit.notebooks", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="execute lessons and keep what they draw and find")
    run.add_argument("names", nargs="*", help="lessons, such as 01-speech-as-tokens; all where none is named")
    run.add_argument("--notebooks", type=Path, default=Path("notebooks"))
    run.add_argument("--figures", type=Path, default=Path("figures"))
    strip = commands.add_parser("strip", help="remove outputs, counts and volatile metadata from notebooks")
    strip.add_argument("paths", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    if options.command == "strip":
        for path in options.paths:
            text = path.read_text(encoding="utf-8")
            if (clean := stripped(text)) != text:
                path.write_text(clean, encoding="utf-8")
                print(f"stripped {path}")
        return 0
    failed = run_for_figures(options.notebooks, options.figures, options.names)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
