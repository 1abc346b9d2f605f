"""AISHELL-1 (Bu et al., 2017) and the test set of AISHELL-2 (Du et al., 2018), as their archives unpack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labkit.data.faults import Faults, SampleError
from labkit.evaluation.benchmarks.files import complete, find, pairs
from labkit.evaluation.benchmarks.items import Clip, Item, to_write

TRANSCRIPT = "transcript/aishell_transcript_v0.8.txt"


def read_aishell1(source: str | Path, split: str, faults: Faults) -> list[Item]:
    """Items of ``test``: ``data_aishell/wav/test/SPEAKER/NAME.wav``; one file has the text of all splits.

    Raises:
        FileNotFoundError: recordings or transcript are not there.
        SampleError: the split is empty.
    """
    root = find(source, (f"wav/{split}", f"data_aishell/wav/{split}"), f"AISHELL-1 with {split}").parents[1]
    transcript, folder = find(root, (TRANSCRIPT,), "AISHELL-1 with its transcript"), root / "wav" / split
    texts = {name: text.replace(" ", "") for _, name, text in pairs(transcript, faults)}

    def items() -> Iterator[Item]:
        for path in sorted(folder.glob("*/*.wav")):
            if path.stem in texts:
                yield to_write(path.stem, "cmn", Clip.of(path), texts[path.stem])
            else:
                faults.add(SampleError(path, None, "no transcript", f"{transcript} has no line {path.stem}"))

    return complete(
        items(), folder, f"AISHELL-1 {split} (its archives of each speaker are unpacked apart)", faults
    )


def read_aishell2(source: str | Path, split: str, faults: Faults) -> list[Item]:
    """Items of the ``ios`` (the paper's), ``android`` or ``mic`` channel: ``iOS/test/{wav.scp,trans.txt,wav/...}``.

    Raises:
        FileNotFoundError: the channel's folder is not there, or not whole.
        SampleError: it is empty.
    """
    names = {"ios": ("iOS", "IOS"), "android": ("Android",), "mic": ("Mic",)}[split]
    tops = ("", "AISHELL-DEV-TEST-SET/", "AISHELL-2/")
    places = [f"{top}{name}/test" for top in tops for name in names]
    folder = find(source, places, f"AISHELL-2's test set with {split}")
    recordings = find(folder, ("wav.scp",), "an AISHELL-2 test set")
    transcript = find(folder, ("trans.txt",), "an AISHELL-2 test set")
    paths = {name: path for _, name, path in pairs(recordings, faults)}

    def items() -> Iterator[Item]:
        for number, name, text in pairs(transcript, faults):
            if name in paths:
                yield to_write(name, "cmn", Clip.of(folder / paths[name]), text)
            else:
                faults.add(SampleError(transcript, number, "no recording", f"wav.scp has no line {name}"))

    return complete(items(), folder, f"AISHELL-2 {split}", faults)
