"""Rooms import only from rooms above them, so that each can be read without those below."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import labkit

PACKAGE = Path(labkit.__file__).parent
# From the top of the house down; `views` stands lowest, since everything may be shown.
ROOMS = (
    "vocabulary",
    "interleave",
    "audio",
    "data",
    "model",
    "generation",
    "training",
    "evaluation",
    "study",
    "benchmark",
    "views",
)
# Used by any room, and using none.
LEAVES = ("paths", "memory", "checkpoints", "statistics", "findings", "figures", "notebooks")
# Commands that stand outside the house: nothing imports them.
COMMANDS = ("parity", "gallery")


def imports(source: str, module: tuple[str, ...]) -> Iterator[str]:
    """The top-level names below ``labkit`` that a module's source imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(module[: len(module) - node.level]) if node.level else ""
            base = ".".join(part for part in (package, node.module) if part)
            names = [f"{base}.{alias.name}" for alias in node.names] if base == "labkit" else [base]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "labkit" and len(parts) > 1:
                yield parts[1]


def may_import(importer: str, imported: str) -> bool:
    if imported == importer or imported in LEAVES or imported == "__version__":
        return True
    if importer in LEAVES or imported in COMMANDS:
        return False
    return importer in COMMANDS or ROOMS.index(imported) < ROOMS.index(importer)


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem != "__init__")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_above(path):
    parts = ("labkit", *path.relative_to(PACKAGE).with_suffix("").parts)
    importer = parts[1]
    assert importer in (*ROOMS, *LEAVES, *COMMANDS), f"say in {Path(__file__).name} where {importer} stands"
    below = [name for name in imports(path.read_text(), parts) if not may_import(importer, name)]
    assert not below, f"{path.relative_to(PACKAGE)} imports from {below}"


def test_the_front_door_imports_nothing():
    assert list(imports((PACKAGE / "__init__.py").read_text(), ("labkit", "__init__"))) == []


def test_the_front_doors_table_is_the_order_that_is_kept():
    rows = [line.split("``")[1] for line in labkit.__doc__.splitlines() if line.startswith("``")]
    assert tuple(rows) == ROOMS
    assert all(f":mod:`labkit.{leaf}`" in labkit.__doc__ for leaf in LEAVES)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import labkit.model.chain", ["model"]),
        ("from labkit.views import display", ["views"]),
        ("from labkit import model, views", ["model", "views"]),
        ("from ..training import loop", ["training"]),
        ("from .sibling import thing", ["model"]),
        ("def f():\n    from labkit.study.trace import Trace", ["study"]),
        ("import torch\nfrom pathlib import Path", []),
    ],
)
def test_every_way_to_import_is_seen(source, names):
    assert list(imports(source, ("labkit", "model", "chain"))) == names


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("views", "model", True),
        ("model", "views", False),
        ("model", "vocabulary", True),
        ("model", "model", True),
        ("audio", "evaluation", False),
        ("data", "findings", True),
        ("findings", "data", False),
        ("parity", "generation", True),
        ("benchmark", "parity", False),
    ],
)
def test_the_order_of_the_house(importer, imported, allowed):
    assert may_import(importer, imported) is allowed
