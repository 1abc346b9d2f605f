"""Pictures of the widgets at work, for the README: ``python tests/browser/screenshots.py figures/widgets``

Each lesson's widget is used as its test uses it, and taken in JupyterLab's light and dark themes and in a narrow
window.
"""

import argparse
import tempfile
from pathlib import Path

from lab import Lab, Server, copy_lessons
from playwright.sync_api import sync_playwright
from test_browser_lessons import SECONDS, USES, WIDGETS, lacking

from labkit.figures import find_chromium

# As high as the tallest widget: what has to be scrolled to is cut off in a picture.
WIDE, NARROW = {"width": 1500, "height": 2400}, {"width": 900, "height": 3200}
LAB_WIDGETS = {name: widget for name, widget in WIDGETS.items() if widget != "codec-explorer"}


def take(lab: Lab, widget: str, folder: Path) -> list[Path]:
    """The widget as it stands: light, dark, narrow."""
    made = []
    for name, theme, size in (("light", "Light", WIDE), ("dark", "Dark", WIDE), ("narrow", "Light", NARROW)):
        lab.page.set_viewport_size(size)
        lab.theme(theme)
        made.append(folder / f"{widget}-{name}.png")
        lab.widget(widget).screenshot(path=made[-1])
    lab.page.set_viewport_size(WIDE)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the pictures go")
    parser.add_argument("lessons", nargs="*", default=list(LAB_WIDGETS), help="all unless named")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        root, home = Path(scratch, "lessons"), Path(scratch, "home")
        root.mkdir()
        home.mkdir()
        copy_lessons(root)
        browser = playwright.chromium.launch(executable_path=str(find_chromium()), args=["--no-sandbox"])
        with Server(root, home) as server:
            for lesson in options.lessons:
                if why := lacking(lesson):
                    print(f"{lesson}: left out, {why}")
                    continue
                lab = Lab(browser.new_page(viewport=WIDE), server)
                lab.open(lesson)
                lab.run_all(SECONDS)
                USES[LAB_WIDGETS[lesson]](lab)
                print(*take(lab, LAB_WIDGETS[lesson], options.folder), sep="\n")
                lab.page.close()
                server.end_kernels()
        browser.close()


if __name__ == "__main__":
    main()
