"""Where the evaluation commands write."""

from argparse import ArgumentTypeError
from pathlib import Path


def output_file(text: str) -> Path:
    """Read an argument that names a file to write, whose folder is made now rather than after hours of work.

    Raises:
        ArgumentTypeError: it is a folder, or its folder cannot be made.
    """
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{path} is a folder; name a file in it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentTypeError(f"{path.parent} cannot be made: {error}") from error
    return path
