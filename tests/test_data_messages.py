"""The JSONL format: what is sound comes back as written, every fault is named with file and line."""

import json
from pathlib import Path

import pytest

from labkit.data.faults import Faults, SampleError
from labkit.data.messages import Sample, read_samples, write_samples
from labkit.vocabulary.prompts import speech_recognition, speech_to_speech, text_only


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "audio").mkdir()
    for name in "ab":
        (tmp_path / "audio" / f"{name}.flac").write_bytes(b"only its presence counts here")
    return tmp_path


def line(messages: object = None, audios: object = ("audio/a.flac",), **other: object) -> str:
    record = {"messages": speech_recognition("hello") if messages is None else messages, "audios": audios}
    return json.dumps(record | other)


def write(folder: Path, *lines: str | bytes) -> Path:
    path = folder / "asr.jsonl"
    path.write_bytes(b"\n".join(each if isinstance(each, bytes) else each.encode() for each in lines))
    return path


def test_what_is_written_is_read(folder):
    path = folder / "below" / "qa.jsonl"
    conversations = [
        (speech_to_speech("你好"), ["../audio/a.flac", "../audio/b.flac"]),
        (text_only("1 + 1?", "2"), []),
        ([{"role": "assistant", "content": "a text that is all target\u2028with an odd line break"}], []),
    ]
    write_samples(path, conversations)
    assert "你好" in path.read_text(encoding="utf-8")
    audios = folder.resolve() / "audio" / "a.flac", folder.resolve() / "audio" / "b.flac"
    assert read_samples(path) == [
        Sample(conversations[0][0], audios, path, 1),
        Sample(conversations[1][0], (), path, 2),
        Sample(conversations[2][0], (), path, 3),
    ]


def test_paths_may_be_absolute_and_other_keys_are_let_be(folder):
    absolute = line(audios=[str(folder / "audio" / "a.flac")], id=7)
    (sample,) = read_samples(write(folder, b"\xef\xbb\xbf" + absolute.encode(), "", "  \r"))
    assert sample.audios == (folder / "audio" / "a.flac",)
    text = json.dumps({"messages": text_only("1 + 1?", "2")})  # no audios at all
    assert read_samples(write(folder, text))[0].audios == ()


USER = {"role": "user", "content": "hello"}
FAULTS = {
    "not JSON": '{"messages": [',
    "not JSON ": "[" * 100_000,
    "not JSON  ": f'{{"messages": {"9" * 5000}}}',
    "not UTF-8": b'{"messages": "\xff"}',
    "not an object": "[1, 2]",
    "no messages": '{"message": [], "audios": []}',
    "bad messages": line(messages="hello"),
    "bad messages ": line(messages=[]),
    "bad message": line(messages=["hello"]),
    "bad message ": line(messages=[{"role": "user"}]),
    "bad role": line(messages=[{"role": "human", "content": "hello"}]),
    "bad role ": line(messages=[{"role": ["user"], "content": "hello"}]),
    "bad content": line(messages=[{"role": "user", "content": 7}]),
    "bad content ": line(messages=[{"role": "user", "content": "\ud83d"}]),
    "no answer": line(messages=[USER], audios=[]),
    "bad audios": line(audios="audio/a.flac"),
    "bad audios ": line(audios=[7]),
    "bad audios  ": line(audios=None),
    "<|audio|> count": line(audios=[]),
    "<|audio|> count ": line(audios=["audio/a.flac", "audio/b.flac"]),
    "missing audio": line(audios=["audio/c.flac"]),
    "missing audio ": line(audios=["audio"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named_with_file_and_line(folder, fault):
    path = write(folder, line(), FAULTS[fault], line())
    with pytest.raises(SampleError) as caught:
        read_samples(path)
    assert str(caught.value).startswith(f"{path}:2: {fault.strip()}: ")
    assert len(str(caught.value)) < 300
    assert (caught.value.path, caught.value.line, caught.value.fault) == (path, 2, fault.strip())


def test_skipped_samples_are_counted_and_listed(folder):
    faults = Faults("skip")
    samples = read_samples(write(folder, *FAULTS.values(), line()), faults)
    assert [sample.line for sample in samples] == [len(FAULTS) + 1]
    assert sum(faults.counts.values()) == len(faults) == len(FAULTS)
    assert faults.counts["bad audios"] == 3
    assert [error.line for error in faults.errors] == list(range(1, len(FAULTS) + 1))
    assert str(faults).count("asr.jsonl:") == len(FAULTS)


def test_an_empty_file_is_a_fault(folder):
    path = write(folder, "", " ")
    with pytest.raises(SampleError, match=f"{path}: empty file: "):
        read_samples(path)
    faults = Faults("skip")
    assert read_samples(path, faults) == []
    assert faults.counts == {"empty file": 1}


def test_a_missing_file_says_who_writes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"labkit\.data\.export"):
        read_samples(tmp_path / "asr.jsonl", Faults("skip"))
