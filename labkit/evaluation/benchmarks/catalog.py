"""Every benchmark of the paper by name: its splits, the table it fills, and how it is read from wherever it lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.data.faults import Faults
from labkit.evaluation.benchmarks.aishell import read_aishell1, read_aishell2
from labkit.evaluation.benchmarks.conversations import read_conversations
from labkit.evaluation.benchmarks.fleurs import FOLDERS, read_fleurs
from labkit.evaluation.benchmarks.hub import HubSplit, is_on_hub, read_hub
from labkit.evaluation.benchmarks.items import Clip, Item, to_answer, to_say, to_write
from labkit.evaluation.benchmarks.librispeech import read_librispeech
from labkit.evaluation.benchmarks.libritts import read_libritts
from labkit.evaluation.benchmarks.seed_tts import LISTS, read_seed_tts
from labkit.evaluation.benchmarks.spoken_questions import accepted, read_spoken_questions
from labkit.evaluation.benchmarks.wenetspeech import SUBSETS, read_wenetspeech

Reader = Callable[[str | Path, str, Faults], list[Item]]


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Attributes:
        name: what the command line calls it.
        table: the paper's table that reports it; None for what the paper does not report.
        splits: the paper's, in its order.
        read: items of a split from the data set's own archive, unpacked.
        hub: for each split that the hub distributes with its speech, where.
    """

    name: str
    table: int | None
    splits: tuple[str, ...]
    read: Reader
    hub: Mapping[str, HubSplit]


def _transcribed(language: str, text: str) -> Callable[[Mapping[str, Any], str, Clip], Item]:
    return lambda row, name, clip: to_write(name, language, clip, _said(row[text]))


def _spoken(language: str, text: str) -> Callable[[Mapping[str, Any], str, Clip], Item]:
    return lambda row, name, clip: to_say(name, language, _said(row[text]), clip)


def _answered(answers: str) -> Callable[[Mapping[str, Any], str, Clip], Item]:
    def item(row: Mapping[str, Any], name: str, clip: Clip) -> Item:
        right = tuple(dict.fromkeys(accepted(row[answers])))
        if not right:
            raise ValueError(f"no answer in {row[answers]!r:.60}")
        return to_answer(name, "en", clip, right)

    return item


def _said(text: object) -> str:
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"no text, but {text!r:.60}")
    return text.strip()


def _questions(name: str, folder: str, split: str, where: HubSplit) -> Benchmark:
    def read(source: str | Path, split: str, faults: Faults) -> list[Item]:
        return read_spoken_questions(source, folder, faults)

    return Benchmark(name, 4, (split,), read, {split: where})


_LIBRISPEECH = _transcribed("en", "text")
BENCHMARKS = {
    each.name: each
    for each in (
        _questions(
            "llama-questions",
            "llama_questions",
            "test",
            HubSplit("fixie-ai/llama-questions", None, "test", _answered("answer"), name=None),
        ),
        _questions(
            "trivia-qa",
            "trivia_qa",
            "validation",
            HubSplit(
                "fixie-ai/trivia_qa-audio",
                "rc.wikipedia",
                "validation",
                _answered("answer"),
                "question_audio",
                "question_id",
            ),
        ),
        _questions(
            "web-questions",
            "web_questions",
            "test",
            HubSplit("fixie-ai/spoken-web-questions", None, "test", _answered("answers"), name=None),
        ),
        Benchmark("seed-tts-eval", 5, tuple(LISTS), read_seed_tts, {}),
        Benchmark(
            "libritts",
            5,
            ("test-clean",),
            read_libritts,
            {
                "test-clean": HubSplit(
                    "mythicinfinity/libritts", "clean", "test.clean", _spoken("en", "text_normalized")
                )
            },
        ),
        Benchmark(
            "librispeech",
            6,
            ("test-clean", "test-other"),
            read_librispeech,
            {
                f"test-{config}": HubSplit("openslr/librispeech_asr", config, "test", _LIBRISPEECH)
                for config in ("clean", "other")
            },
        ),
        Benchmark(
            "fleurs",
            6,
            ("zh", "en"),
            read_fleurs,
            {
                split: HubSplit(
                    "google/fleurs", name, "test", _transcribed(language, "transcription"), name=None
                )
                for split, (name, language) in FOLDERS.items()
            },
        ),
        Benchmark("aishell-1", 7, ("test",), read_aishell1, {}),
        Benchmark("aishell-2", 7, ("ios",), read_aishell2, {}),
        Benchmark("wenetspeech", 7, tuple(SUBSETS), read_wenetspeech, {}),
        Benchmark("conversations", None, ("test",), read_conversations, {}),
    )
}


def benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"there is no benchmark {name!r}: choose from {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def read_benchmark(name: str, split: str, source: str | Path, faults: Faults | None = None) -> list[Item]:
    """All items of a split, from the data set's own archive, from a folder of Parquet files, or from the hub.

    Args:
        name: of `BENCHMARKS`.
        split: one of the paper's.
        source: a folder (for conversations, a JSONL file), or a hub id such as "openslr/librispeech_asr".
        faults: what to do with an item that cannot be used; by default it raises.

    Raises:
        ValueError: there is no such benchmark or split, or the hub does not have it.
        FileNotFoundError: the source does not exist or is something else.
        SampleError: the split is empty, or an item cannot be used, unless `faults` skips those.
    """
    chosen, faults = benchmark(name), Faults() if faults is None else faults
    if split not in chosen.splits and chosen.table is not None:
        raise ValueError(f"{name} has no split {split!r}: choose from {', '.join(chosen.splits)}")
    if not is_on_hub(source):
        return chosen.read(source, split, faults)
    if split not in chosen.hub:
        raise ValueError(
            f"{name} {split} is not read from the hub; unpack its own archive and give the folder"
        )
    return read_hub(source, chosen.hub[split], faults)
