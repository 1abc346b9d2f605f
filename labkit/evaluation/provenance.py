"""What kept rows follow from beside their settings: the code that makes them, and files of weights."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

ROOMS = ("vocabulary", "interleave", "audio", "data", "model", "generation", "evaluation")
"""Those that have a part in a row."""


@functools.cache
def code_digest() -> str:
    """A digest of the code that makes rows, as it was when first asked for: what runs does not change under way."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((package / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def weights_stamp(source: str | Path) -> list[tuple[str, int, int]]:
    """Name, size and time of each file of weights in a folder; of a hub id, nothing.

    Contents would tell more, but a released model's are tens of gigabytes.
    """
    folder = Path(source)
    files = [path for pattern in ("*.safetensors*", "*.bin", "*.pt") for path in folder.glob(pattern)]
    return [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)]
