"""A file of finished arms: a JSON list, to which long experiments add one result after the other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.data.speaking import replace_bytes

Result = dict[str, Any]
"""What an arm has found, as JSON's types; ``arm`` says which it is."""


def read_finished(path: Path, command: str) -> list[Result]:
    """The results so far.

    Args:
        command: that writes the file, for the message.

    Raises:
        FileNotFoundError: it has not been run.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}; {command} writes it")
    return _read(path)


def finished_arms(path: Path) -> list[Mapping[str, Any]]:
    """The arms, as JSON has them, that need no training again; none where there is no file."""
    return [each["arm"] for each in _read(path)]


def add_finished(path: Path, result: Result) -> None:
    """Add one. The file is read anew, as another process may have added to it, and never half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(each, ensure_ascii=False) for each in (*_read(path), result)]
    replace_bytes(path, ("[\n" + ",\n".join(lines) + "\n]\n").encode())


def _read(path: Path) -> list[Result]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
