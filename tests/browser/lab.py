"""Real JupyterLab in a real browser: a server on this machine, and a page that does what a person would."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from papermill.iorw import load_notebook_node, write_ipynb
from papermill.parameterize import parameterize_notebook
from playwright.sync_api import Locator, Page, Request

from labkit.notebooks import METADATA, read_registry

TESTS = Path(__file__).parent.parent
NOTEBOOKS = TESTS.parent / "notebooks"
STARTS_WITHIN = 180
LOCAL = ("localhost", "127.0.0.1")
WAITING = """() => document.querySelectorAll('.jp-CodeCell').length === 0
    || [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
        .some(each => !/\\[\\d+\\]/.test(each.textContent))
    || !document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')"""
# Every cell stays on the page, where tests can find it, however far one has scrolled.
NOTEBOOK_SETTINGS = '{"windowingMode": "none"}'


def copy_lessons(root: Path) -> None:
    """Copies of the lessons, as small as the registry makes them for the tests."""
    for name, lesson in read_registry(NOTEBOOKS).items():
        notebook = load_notebook_node(str(NOTEBOOKS / f"{name}.ipynb"))
        write_ipynb(parameterize_notebook(notebook, lesson.parameters), str(root / f"{name}.ipynb"))


class Server:
    """A JupyterLab of this Python, for this machine only, with settings of its own. Ends with the `with` block.

    Args:
        root: the folder it serves.
        home: an empty folder for its settings.
    """

    def __init__(self, root: Path, home: Path) -> None:
        self.root = root
        self.port, self.token = _free_port(), secrets.token_hex(16)
        self.url = f"http://localhost:{self.port}"
        environment = {
            **os.environ,
            "JUPYTER_PREFER_ENV_PATH": "1",
            "JUPYTER_CONFIG_DIR": str(home / "config"),
            "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
            "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
            "IPYTHONDIR": str(home / "ipython"),
            "PYTHONPATH": str(TESTS),  # so that notebooks of tests find the tests' tiny models
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        settings = home / "settings" / "@jupyterlab" / "notebook-extension"
        settings.mkdir(parents=True)
        (settings / "tracker.jupyterlab-settings").write_text(NOTEBOOK_SETTINGS)
        self._log = (home / "jupyterlab.log").open("w")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=localhost"),
                *(f"--port={self.port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"),
                *(f"--IdentityProvider.token={self.token}", "--LabApp.news_url="),
            ],
            env=environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Server:
        deadline = time.monotonic() + STARTS_WITHIN
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/api", timeout=5):
                    return self
            except OSError:
                time.sleep(0.2)
        self.__exit__()
        raise RuntimeError(f"JupyterLab did not start; see {self._log.name}")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()  # it ends its kernels, too
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()

    def end_kernels(self) -> None:
        """Give back the memory of the notebooks that were open."""
        for session in json.loads(self._ask("GET", "/api/sessions")):
            self._ask("DELETE", f"/api/sessions/{session['id']}")

    def kernels(self) -> list[str]:
        """What each kernel is at: "starting", "busy", "idle"."""
        sessions = json.loads(self._ask("GET", "/api/sessions"))
        return [session["kernel"]["execution_state"] for session in sessions if session["kernel"]]

    def _ask(self, method: str, path: str) -> bytes:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def write(self, name: str, *sources: str) -> str:
        """A notebook of these code cells; returns its name."""
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
        nbformat.write(notebook, self.root / f"{name}.ipynb")
        return name


class Lab:
    """JupyterLab as one person has it open.

    Attributes:
        faults: errors on the console so far.
        strangers: addresses outside this machine that were asked for.
    """

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server
        self.faults: list[str] = []
        self.strangers: list[str] = []
        page.on(
            "console", lambda message: self.faults.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", self._asked)
        page.set_default_timeout(30_000)

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.hostname not in LOCAL:
            self.strangers.append(request.url)

    def open(self, name: str) -> None:
        """Open a notebook in a fresh workspace, by itself."""
        self.page.goto(
            f"{self.server.url}/lab/tree/{name}.ipynb?reset&token={self.server.token}", timeout=120_000
        )
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=120_000)
        self.until(self._has_kernel, 120, "a kernel")

    def _has_kernel(self) -> bool:
        # Opened before the server has told which kernels there are, JupyterLab asks for one.
        if (select := self.page.locator(".jp-Dialog .jp-mod-accept")).count():
            select.first.click()
        return self.server.kernels() == ["idle"]

    def run_all(self, within: float = 300) -> None:
        """Run all cells and wait until the kernel is idle.

        Raises:
            AssertionError: a cell raised an error, or the time is up.
        """
        begun = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
            .some(each => /[*\\d]/.test(each.textContent))"""
        while not self.page.evaluate(begun):  # JupyterLab drops the command while the kernel still connects
            self.menu("Run", "Run All Cells")
            self.page.wait_for_timeout(1500)
        self.until(lambda: bool(self.cell_errors()) or not self.page.evaluate(WAITING), within, "all cells")
        assert not self.cell_errors(), self.cell_errors()[0]

    def run_cell(self, number: int, within: float = 120) -> None:
        """Run one cell as with Ctrl+Enter, and wait until the kernel is idle."""
        self.page.locator(".jp-Cell .jp-InputArea-editor").nth(number).click()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_timeout(300)
        self.until(lambda: not self.page.evaluate(WAITING), within, "the cell")

    def menu(self, *names: str) -> None:
        """Choose from the menu bar."""
        dialog = self.page.locator(".jp-Dialog")
        assert not dialog.count(), f"JupyterLab asks: {dialog.first.inner_text()}"
        self.page.keyboard.press("Escape")
        self.page.locator(".lm-MenuBar-item", has_text=names[0]).first.click()
        for name in names[1:]:
            item = self.page.locator(".lm-Menu-item:visible", has_text=name).first
            item.hover()
            item.click()

    def until(self, holds: Callable[[], bool], within: float, what: str) -> float:
        """Wait for something; returns the seconds it took.

        Raises:
            AssertionError: it did not come about.
        """
        begun = time.monotonic()
        while time.monotonic() - begun < within:
            if holds():
                return time.monotonic() - begun
            self.page.wait_for_timeout(50)
        raise AssertionError(f"waited {within} s in vain for {what}")

    def widget(self, name: str, number: int = 0) -> Locator:
        """One of the lab's widgets, brought into view."""
        widget = self.page.locator(f".lab-{name}").nth(number)
        widget.wait_for(state="attached")
        widget.scroll_into_view_if_needed()
        return widget

    def check(self) -> None:
        """Nothing went wrong that nobody saw, and nobody outside was asked for anything.

        Raises:
            AssertionError: an error on the console, or an address outside this machine.
        """
        faults, strangers = list(self.faults), list(self.strangers)
        self.faults.clear()
        assert not faults, faults[:3]
        assert not strangers, strangers[:3]

    def cell_errors(self) -> list[str]:
        """Errors that cells on the page have raised."""
        # JupyterLab draws a traceback as it draws what a cell writes to stderr.
        written = self.page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']")
        found = written.filter(has_text="Traceback (most recent call last)")
        return [text[-600:] for text in found.all_inner_texts()]

    def interrupt(self) -> None:
        """The kernel's interrupt, as from the menu."""
        self.menu("Kernel", "Interrupt Kernel")

    def theme(self, name: str) -> None:
        """Light or dark."""
        self.menu("Settings", "Theme", f"JupyterLab {name}")
        self.page.wait_for_timeout(1200)


@contextmanager
def heard(audio: Locator, lab: Lab, within: float = 20) -> Iterator[None]:
    """What one does in the block makes a sound: its time moves on by itself, however soon it ends.

    Raises:
        AssertionError: it stands still.
    """
    audio.evaluate(
        """each => {
            each.moved = 0;
            let last = each.currentTime;
            each.addEventListener('seeking', () => { last = each.currentTime; });
            each.addEventListener('timeupdate', () => {
                if (!each.seeking) each.moved += Math.max(0, each.currentTime - last);
                last = each.currentTime;
            });
        }"""
    )
    yield
    lab.until(lambda: audio.evaluate("each => each.moved") > 0.05, within, "the sound to move")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
