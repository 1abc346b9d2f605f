"""Where things lie: what ships with the package, and what each machine computes once and keeps."""

import hashlib
import json
import os
from pathlib import Path

from platformdirs import user_cache_path

CACHE_VARIABLE = "LABKIT_CACHE"


def cache_folder(*parts: str) -> Path:
    """The folder for what can always be computed again (the corpus, training checkpoints), made if missing.

    It is ``$LABKIT_CACHE`` where that is set, and otherwise the platform's own place for caches, such as
    ``~/.cache/labkit`` on Linux.

    Args:
        *parts: names of folders below the cache, ``cache_folder("corpus", "v1")``.

    Raises:
        NotADirectoryError: something that is not a folder stands where the cache should be.
    """
    root = os.environ.get(CACHE_VARIABLE)
    folder = (Path(root).expanduser() if root else user_cache_path("labkit", appauthor=False)).joinpath(
        *parts
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(
            f"the cache folder {folder} is a file; remove it, or set {CACHE_VARIABLE} to a folder"
        ) from error
    return folder


def digest(value: object) -> str:
    """A short name for plain data, for folders of what follows from it: equal data, equal names.

    Args:
        value: anything that JSON can hold.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]


def weights_folder() -> Path:
    """The folder of the weights that ship inside the package: safetensors, each beside its model card."""
    return Path(__file__).parent / "weights"
