"""A browser and a JupyterLab for the tests of this folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab, Server, copy_lessons
from playwright.sync_api import Browser, sync_playwright

from labkit.figures import find_chromium

NO_BROWSER = "no Chrome or Chromium found; install one (`apt-get install chromium fonts-noto-cjk`)"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "browser: drives JupyterLab in a Chromium")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark this folder's tests and put them last: playwright keeps an event loop running, in which others cannot."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            item.add_marker("alone")
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium; where there is none the tests are skipped, but in continuous integration they fail."""
    path = find_chromium()
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_BROWSER)
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work for root, which is who runs in most containers.
        options = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=str(path), args=options)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def server(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A JupyterLab that serves small copies of the lessons."""
    root = tmp_path_factory.mktemp("lessons")
    copy_lessons(root)
    with Server(root, tmp_path_factory.mktemp("home")) as server:
        yield server


@pytest.fixture(scope="module")
def lab(browser: Browser, server: Server) -> Iterator[Lab]:
    """JupyterLab as a person has it open, for the tests of one file; a projector's size."""
    page = browser.new_page(viewport={"width": 1500, "height": 1100})
    yield Lab(page, server)
    page.close()
    server.end_kernels()


@pytest.fixture(autouse=True)
def clean(lab: Lab) -> Iterator[None]:
    """After each test: a console free of errors, and no request to any outside address."""
    yield
    lab.check()
