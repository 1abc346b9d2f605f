"""Finding a split's files and reading their lines, with errors that say what should lie where."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from labkit.data.faults import Faults, SampleError
from labkit.evaluation.benchmarks.items import Item


def find(source: str | Path, places: Sequence[str], what: str) -> Path:
    """The first of `places` that exists below `source`; "." is `source` itself.

    People name a data set by its own folder, or by the one they unpacked it into: readers list both.

    Raises:
        FileNotFoundError: `source` does not exist, or none of the places in it; the message lists them.
    """
    source = Path(source).expanduser()
    if not source.exists():
        raise FileNotFoundError(
            f"there is nothing at {source}; give the folder that {what} was unpacked into"
        )
    for place in places:
        if (found := source / place).exists():
            return found
    looked = " or ".join(str(source / place) for place in places)
    raise FileNotFoundError(f"{source} is not {what}: there is no {looked}")


def lines(path: Path, faults: Faults) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not empty, with their numbers from 1; one that is not UTF-8 is a fault."""
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield number, line.decode("utf-8").rstrip("\r")
        except UnicodeDecodeError:
            faults.add(SampleError(path, number, "not UTF-8", "save the file as UTF-8, or fetch it again"))


def pairs(path: Path, faults: Faults) -> Iterator[tuple[int, str, str]]:
    """Lines that hold a name and, after blanks or a tab, a text, as in Kaldi's files."""
    for number, line in lines(path, faults):
        name, _, text = line.strip().replace("\t", " ", 1).partition(" ")
        if text.strip():
            yield number, name, text.strip()
        else:
            faults.add(SampleError(path, number, "no text", f"{name!r} should be followed by its text"))


def complete(items: Iterable[Item], path: Path, what: str, faults: Faults) -> list[Item]:
    """All items of a split, of which none may share its name with another.

    Raises:
        SampleError: there are none: an empty split, whatever the policy, has no result.
    """
    found: dict[str, Item] = {}
    for item in items:
        if item.name in found:
            faults.add(SampleError(path, None, "named twice", f"{item.name!r} stands in {what} twice"))
        else:
            found[item.name] = item
    if not found:
        left_out = (
            f" and {len(faults)} that cannot be used, the first: {faults.errors[0]}" if len(faults) else ""
        )
        raise SampleError(
            path, None, "empty split", f"{what} has no items here{left_out}; was it unpacked whole?"
        )
    return list(found.values())
