"""Conversations in the release's JSONL format, one a line, with audio files for each `<|audio|>` in order:

    {"messages": [{"role": "user", "content": "Convert the speech to text.\\n<|audio|>"},
                  {"role": "assistant", "content": "hello"}],
     "audios": ["audio/hello.flac"]}

Paths are relative to the JSONL file. `audios` may be left out where nothing is spoken; other keys are not looked at.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.data.faults import Faults, SampleError
from labkit.data.speaking import replace_bytes
from labkit.vocabulary.chat import AUDIO_TAG, ROLES
from labkit.vocabulary.prompts import Messages

HALF_CHARACTER = re.compile("[\ud800-\udfff]")  # JSON can spell it, UTF-8 and tokenizers cannot


@dataclass(frozen=True, slots=True)
class Sample:
    """A conversation to train on, and where it comes from.

    Attributes:
        messages: `{"role": ..., "content": ...}` in order, for `labkit.vocabulary.Chat.encode`.
        audios: an audio file for each `<|audio|>`, in order.
        path, line: its JSONL file and its line there, counted from 1.
    """

    messages: Messages
    audios: tuple[Path, ...]
    path: Path
    line: int

    @property
    def said(self) -> tuple[bool, ...]:
        """For each audio, whether it is the assistant who says it."""
        return tuple(
            message["role"] == "assistant"
            for message in self.messages
            for _ in range(message["content"].count(AUDIO_TAG))
        )

    def error(self, fault: str, advice: str) -> SampleError:
        """What is wrong with this sample, told with its file and line."""
        return SampleError(self.path, self.line, fault, advice)


def read_samples(path: str | Path, faults: Faults | None = None) -> list[Sample]:
    """The conversations of a JSONL file, every one checked, its audio files' presence included.

    Args:
        faults: what to do with a faulty line; by default it raises.

    Raises:
        FileNotFoundError: there is no such file.
        SampleError: a line is at fault or the file holds no sample, unless `faults` skips those.
    """
    path = Path(path)
    faults = Faults() if faults is None else faults
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no JSONL file at {path}; `python -m labkit.data.export` writes the toy's"
        )
    folder, there = path.parent.resolve(), set()
    samples, lines = [], path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue  # the file's end, or a line between paragraphs: nothing is lost
        try:
            sample = _sample(line, path, number, folder)
            for audio in sample.audios:  # many samples share an audio file; each is looked for once
                if audio not in there and not audio.is_file():
                    raise sample.error(
                        "missing audio",
                        f"there is no file {audio}; paths are relative to the JSONL file's folder",
                    )
                there.add(audio)
        except SampleError as error:
            faults.add(error)
        else:
            samples.append(sample)
    if all(not line.strip() for line in lines):
        faults.add(
            SampleError(path, None, "empty file", "write a conversation a line, or leave this dataset out")
        )
    return samples


def write_samples(path: Path, conversations: Iterable[tuple[Messages, Iterable[str]]]) -> None:
    """Write (messages, audio paths relative to the file) as a JSONL file, which is there whole or not at all."""
    lines = [
        json.dumps({"messages": messages, "audios": list(audios)}, ensure_ascii=False) + "\n"
        for messages, audios in conversations
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(path, "".join(lines).encode())


def _sample(line: bytes, path: Path, number: int, folder: Path) -> Sample:
    """A line as a sample. Raises SampleError for whatever is wrong in the line itself."""

    def refuse(fault: str, advice: str) -> SampleError:
        return SampleError(path, number, fault, advice)

    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise refuse(
            "not UTF-8", f"byte {error.start} of the line is not UTF-8; save the file as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:
        raise refuse("not JSON", f"{error}; write one JSON object a line, without line breaks") from error
    if not isinstance(record, dict):
        raise refuse("not an object", f'a line is {{"messages": [...], "audios": [...]}}, not {record!r:.60}')
    if "messages" not in record:
        raise refuse("no messages", f'the key "messages" is missing; there is {", ".join(record) or "none"}')
    messages, audios = record["messages"], record.get("audios", [])
    _check_messages(messages, refuse)
    if not isinstance(audios, list) or not all(isinstance(audio, str) and audio for audio in audios):
        raise refuse("bad audios", f'"audios" is a list of paths, not {audios!r:.60}')
    tags = sum(message["content"].count(AUDIO_TAG) for message in messages)
    if tags != len(audios):
        raise refuse(
            f"{AUDIO_TAG} count",
            f"{tags} {AUDIO_TAG} in the messages, {len(audios)} paths in audios; give one for each",
        )
    # Joined and cleaned as text: resolving every path on disk would take seconds for a corpus.
    paths = tuple(Path(os.path.normpath(folder / audio)) for audio in audios)
    return Sample(messages, paths, path, number)


def _check_messages(messages: object, refuse: Callable[[str, str], SampleError]) -> None:
    """Raises what `refuse` makes of the first fault in a line's messages."""
    if not isinstance(messages, list) or not messages:
        raise refuse("bad messages", f'"messages" is a list of at least one message, not {messages!r:.60}')
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise refuse(
                "bad message", f'message {place} must be {{"role": ..., "content": ...}}, not {message!r:.60}'
            )
        if message["role"] not in ROLES:
            raise refuse(
                "bad role", f"message {place} has the role {message['role']!r:.60}; use {', '.join(ROLES)}"
            )
        if not isinstance(message["content"], str) or HALF_CHARACTER.search(message["content"]):
            advice = (
                f"message {place}'s content is text, without half characters, not {message['content']!a:.60}"
            )
            raise refuse("bad content", advice)
    if messages[-1]["role"] != "assistant":
        raise refuse("no answer", "the last message must be the assistant's, which is what is learned")
