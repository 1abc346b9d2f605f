"""LibriSpeech (Panayotov et al., 2015): ``LibriSpeech/test-clean/READER/CHAPTER/READER-CHAPTER.trans.txt`` and FLAC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labkit.data.faults import Faults
from labkit.evaluation.benchmarks.files import complete, find, pairs
from labkit.evaluation.benchmarks.items import Clip, Item, to_write


def read_librispeech(source: str | Path, split: str, faults: Faults) -> list[Item]:
    """Items of ``test-clean`` or ``test-other``, every utterance of every chapter.

    Raises:
        FileNotFoundError: the split's folder is not there.
        SampleError: it is empty.
    """
    folder = find(source, (split, f"LibriSpeech/{split}"), f"LibriSpeech with {split}")

    def items() -> Iterator[Item]:
        for transcript in sorted(folder.glob("*/*/*.trans.txt")):
            for _, name, text in pairs(transcript, faults):
                yield to_write(name, "en", Clip.of(transcript.with_name(f"{name}.flac")), text)

    return complete(items(), folder, f"LibriSpeech {split}", faults)
