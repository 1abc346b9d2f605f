"""LibriTTS (Zen et al., 2019): ``LibriTTS/test-clean/READER/CHAPTER/NAME.normalized.txt`` beside ``NAME.wav``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labkit.data.faults import Faults, SampleError
from labkit.evaluation.benchmarks.files import complete, find, lines
from labkit.evaluation.benchmarks.items import Clip, Item, to_say

TEXT = ".normalized.txt"


def read_libritts(source: str | Path, split: str, faults: Faults) -> list[Item]:
    """Sentences of ``test-clean`` to say, numbers and abbreviations written out; the reader's recording is the ceiling.

    Raises:
        FileNotFoundError: the split's folder is not there.
        SampleError: it is empty.
    """
    folder = find(source, (split, f"LibriTTS/{split}", f"LibriTTS_R/{split}"), f"LibriTTS with {split}")

    def items() -> Iterator[Item]:
        for path in sorted(folder.glob(f"*/*/*{TEXT}")):
            name, text = (
                path.name.removesuffix(TEXT),
                " ".join(line.strip() for _, line in lines(path, faults)),
            )
            if text:
                yield to_say(name, "en", text, Clip.of(path.with_name(f"{name}.wav")))
            else:
                faults.add(SampleError(path, None, "no text", "the file is empty; fetch it again"))

    return complete(items(), folder, f"LibriTTS {split}", faults)
