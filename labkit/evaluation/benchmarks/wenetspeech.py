"""WenetSpeech (Zhang et al., 2022): long Opus recordings, and one ``WenetSpeech.json`` that says who speaks when."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from labkit.data.faults import Faults, SampleError
from labkit.evaluation.benchmarks.files import complete, find
from labkit.evaluation.benchmarks.items import Clip, Item, to_write

METADATA = "WenetSpeech.json"
SUBSETS = {"test-net": "TEST_NET", "test-meeting": "TEST_MEETING"}


def read_wenetspeech(source: str | Path, split: str, faults: Faults) -> list[Item]:
    """Segments of ``test-net`` or ``test-meeting``.

    The whole metadata describes ten thousand hours and takes tens of gigabytes of memory to read; a file with the
    test sets' recordings alone serves as well.

    Raises:
        FileNotFoundError: there is no metadata.
        SampleError: it is no JSON with recordings, or has no segment of the split.
    """
    path, subset = find(source, (METADATA, f"WenetSpeech/{METADATA}"), "WenetSpeech"), SUBSETS[split]
    try:
        recordings = json.loads(path.read_text(encoding="utf-8"))["audios"]
    except (ValueError, KeyError, TypeError) as error:
        raise SampleError(
            path, None, "no metadata", f"there is no list of audios in it ({error!r})"
        ) from error

    def items() -> Iterator[Item]:
        for recording in recordings:
            for segment in recording.get("segments", ()):
                if subset not in segment.get("subsets", ()):
                    continue
                try:
                    clip = Clip.of(
                        path.parent / recording["path"],
                        float(segment["begin_time"]),
                        float(segment["end_time"]),
                    )
                    yield to_write(segment["sid"], "cmn", clip, segment["text"])
                except (KeyError, ValueError, TypeError) as error:
                    name = segment.get("sid", recording.get("aid"))
                    faults.add(
                        SampleError(path, None, f"segment {name}", f"its fields are not whole: {error!r}")
                    )

    return complete(items(), path, f"WenetSpeech {split}", faults)
