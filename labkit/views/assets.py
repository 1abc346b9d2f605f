"""The widgets' JavaScript and style sheets: files of this package, joined into what a browser loads at once.

anywidget gives a browser one ES module for each widget. Here each idea is a module of its own, and `module` joins a
file with all that it imports. Nothing is fetched: not from a CDN, not from the notebook server.
"""

import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import \{[\w, ]*\} from "\./(\w+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?function|class|const)", re.MULTILINE)


@cache
def module(name: str) -> str:
    """One ES module out of a file of `static/` and the files that it imports, each of them once.

    Raises:
        FileNotFoundError: there is no such file.
    """
    order: list[str] = []
    _visit(name, order)
    texts = [_IMPORT.sub("", (STATIC / each).read_text(encoding="utf-8")) for each in order]
    return "\n".join([*(_EXPORT.sub("", text) for text in texts[:-1]), texts[-1]])


def _visit(name: str, order: list[str]) -> None:
    for needed in _IMPORT.findall((STATIC / name).read_text(encoding="utf-8")):
        if needed not in order:
            _visit(needed, order)
    order.append(name)


@cache
def stylesheet(*names: str) -> str:
    """Style sheets of `static/`, the lab's own first.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return "\n".join((STATIC / name).read_text(encoding="utf-8") for name in ("lab.css", *names))
