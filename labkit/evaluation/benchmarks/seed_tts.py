"""Seed-TTS-eval (Anastassiou et al., 2024): ``seedtts_testset/{en,zh}/meta.lst`` and ``zh/hardcase.lst``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labkit.data.faults import Faults, SampleError
from labkit.evaluation.benchmarks.files import complete, find, lines
from labkit.evaluation.benchmarks.items import Clip, Item, to_say

LISTS = {
    "test-zh": ("zh/meta.lst", "cmn"),
    "test-en": ("en/meta.lst", "en"),
    "test-hard": ("zh/hardcase.lst", "cmn"),
}


def read_seed_tts(source: str | Path, split: str, faults: Faults) -> list[Item]:
    """Sentences to say: ``name|prompt's text|prompt's recording|text[|a recording of the text]``.

    The paper's prompt asks for the text alone; the prompt's recording is each item's `voice`, which the public code's
    own evaluation gives to the model (`Item.in_voice`).

    Raises:
        FileNotFoundError: the list is not there.
        SampleError: it is empty.
    """
    place, language = LISTS[split]
    path = find(source, (place, f"seedtts_testset/{place}"), f"Seed-TTS-eval with {split}")

    def items() -> Iterator[Item]:
        for number, line in lines(path, faults):
            fields = [field.strip() for field in line.split("|")]
            if len(fields) in (4, 5) and fields[0] and fields[3]:
                yield to_say(fields[0], language, fields[3], voice=Clip.of(path.parent / fields[2]))
            else:
                advice = "a line is name|prompt text|prompt recording|text, with or without a fifth field"
                faults.add(SampleError(path, number, "bad line", advice))

    return complete(items(), path, f"Seed-TTS-eval {split}", faults)
