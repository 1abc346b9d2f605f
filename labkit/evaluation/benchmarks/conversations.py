"""Any messages/audios JSONL as a benchmark: what the assistant says last is what its answer is held to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from labkit.data.faults import Faults
from labkit.data.messages import Sample, read_samples
from labkit.evaluation.benchmarks.files import complete
from labkit.evaluation.benchmarks.items import ASR, QA, TTS, Clip, Item
from labkit.vocabulary import prompts
from labkit.vocabulary.chat import AUDIO_TAG

HAN = re.compile("[\u3400-\u9fff]")


def read_conversations(source: str | Path, split: str, faults: Faults) -> list[Item]:
    """Items of a JSONL file, or of ``SPLIT.jsonl`` in a folder, one a line, tasks told apart by their prompts.

    Raises:
        FileNotFoundError: there is no such file.
        SampleError: it holds no conversations.
    """
    path = Path(source).expanduser()
    path = path / f"{split}.jsonl" if path.is_dir() else path
    return complete(_items(read_samples(path, faults)), path, path.name, faults)


def _items(samples: list[Sample]) -> Iterator[Item]:
    for sample in samples:
        *prompt, answer = sample.messages
        clips = [Clip.of(path) for path in sample.audios]
        heard = sum(message["content"].count(AUDIO_TAG) for message in prompt)
        asked, text = (
            prompt[-1]["content"] if prompt else "",
            answer["content"].replace(AUDIO_TAG, "").strip(),
        )
        task = ASR if asked.startswith(prompts.ASR) else TTS if asked.startswith(prompts.TTS) else QA
        spoken = clips[heard] if task == TTS and len(clips) > heard else None
        language = "cmn" if HAN.search(text) else "en"
        yield Item(f"line {sample.line}", language, task, prompt, tuple(clips[:heard]), (text,), spoken)
