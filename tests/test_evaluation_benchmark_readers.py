"""Benchmarks are read from their archives' own layouts, and what is wrong with a copy is told by name."""

import json

import pytest
from benchmark_files import RATE, WRITERS, flac_bytes, sound, text

from labkit.audio.io import AudioInputError
from labkit.data.faults import Faults, SampleError
from labkit.evaluation.benchmarks import hub
from labkit.evaluation.benchmarks.catalog import BENCHMARKS, read_benchmark
from labkit.evaluation.benchmarks.items import Clip
from labkit.evaluation.benchmarks.spoken_questions import accepted
from labkit.vocabulary.prompts import speech_recognition, speech_to_speech, text_to_speech

FILES = {name: each for name, each in BENCHMARKS.items() if name != "conversations"}
SPLITS = [(name, split) for name, each in FILES.items() for split in each.splits]
TASKS = {4: "qa", 5: "tts", 6: "asr", 7: "asr"}


@pytest.fixture
def made(tmp_path):
    def make(name):
        WRITERS[name](tmp_path)
        return tmp_path

    return make


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_every_split_is_read_with_the_papers_prompt(made, name, split):
    items = read_benchmark(name, split, made(name))
    assert len(items) == (1 if name == "aishell-2" else 2)
    for item in items:
        assert item.task == TASKS[BENCHMARKS[name].table]
        expected = {
            "asr": speech_recognition(),
            "qa": speech_to_speech(),
            "tts": text_to_speech(item.references[0]),
        }[item.task]
        assert item.messages == expected
        assert len(item.clips) == (item.task != "tts")
        assert all(len(clip.load(RATE)) > RATE // 4 for clip in item.clips)
        assert all(item.references)
    chinese = name.startswith(("aishell", "wenet")) or split in ("zh", "test-zh", "test-hard")
    assert {item.language for item in items} == {"cmn" if chinese else "en"}


@pytest.mark.parametrize(
    ("name", "split", "inner"),
    [
        ("librispeech", "test-clean", "LibriSpeech"),
        ("libritts", "test-clean", "LibriTTS"),
        ("aishell-1", "test", "data_aishell"),
        ("aishell-2", "ios", "AISHELL-DEV-TEST-SET"),
        ("fleurs", "en", "data"),
        ("seed-tts-eval", "test-hard", "seedtts_testset"),
        ("trivia-qa", "validation", "eval_datas"),
    ],
)
def test_the_data_sets_own_folder_serves_as_well(made, name, split, inner):
    root = made(name)
    assert [item.name for item in read_benchmark(name, split, root)] == [
        item.name for item in read_benchmark(name, split, root / inner)
    ]


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_a_missing_path_and_another_folder_are_told_by_name(tmp_path, name, split):
    with pytest.raises(FileNotFoundError, match="nothing at"):
        read_benchmark(name, split, tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="there is no"):
        read_benchmark(name, split, tmp_path)


def test_transcripts_and_answers_are_what_the_files_say(made):
    references = {
        name: read_benchmark(name, BENCHMARKS[name].splits[0], made(name))[0].references for name in FILES
    }
    assert references["librispeech"] == ("HE HOPED",)
    assert references["aishell-1"] == ("甚至出现交易",)
    assert references["aishell-2"] == ("换一首歌",)
    assert references["wenetspeech"] == ("怎么样",)
    assert references["fleurs"] == ("这 并 不 是 告 别",)
    assert references["llama-questions"] == ("Paris",)
    assert references["trivia-qa"] == ("david seville", "seville's")
    assert references["web-questions"] == ("Lee", "Tony")


def test_a_text_can_be_asked_for_in_a_voice(made):
    item = read_benchmark("seed-tts-eval", "test-en", made("seed-tts-eval"))[0]
    voiced = item.in_voice()
    assert voiced.messages == text_to_speech(item.references[0], voice=True)
    assert len(voiced.clips[0].load(RATE)) == RATE // 2
    other = read_benchmark("llama-questions", "test", made("llama-questions"))[0]
    assert other.in_voice() == other


def test_segments_are_cut_from_their_recording(made):
    item = read_benchmark("wenetspeech", "test-net", made("wenetspeech"))[1]
    assert (item.clips[0].begin, item.clips[0].end) == (0.5, 1.0)
    assert len(item.clips[0].load(RATE)) == RATE // 2


def test_empty_splits_are_refused_whatever_the_policy(tmp_path):
    (tmp_path / "LibriSpeech/test-clean").mkdir(parents=True)
    with pytest.raises(SampleError, match="LibriSpeech test-clean has no items"):
        read_benchmark("librispeech", "test-clean", tmp_path, Faults("skip"))
    text(tmp_path / "zh/meta.lst", "no bars here\n")
    with pytest.raises(SampleError, match=r"meta\.lst:1: bad line"):
        read_benchmark("seed-tts-eval", "test-zh", tmp_path, Faults("skip"))
    text(tmp_path / "WenetSpeech.json", json.dumps({"audios": []}))
    with pytest.raises(SampleError, match="WenetSpeech test-net has no items"):
        read_benchmark("wenetspeech", "test-net", tmp_path)
    text(tmp_path / "WenetSpeech.json", "[1")
    with pytest.raises(SampleError, match="no metadata"):
        read_benchmark("wenetspeech", "test-net", tmp_path)


def test_one_bad_line_is_named_and_the_rest_is_kept(made):
    root = made("librispeech")
    path = root / "LibriSpeech/test-clean/1089/134686/1089-134686.trans.txt"
    path.write_bytes(path.read_bytes() + b"1089-134686-0002\n\xff\xfe\n1089-134686-0000 AGAIN\n")
    with pytest.raises(SampleError, match=r"trans\.txt:3: no text"):
        read_benchmark("librispeech", "test-clean", root)
    faults = Faults("skip")
    assert len(read_benchmark("librispeech", "test-clean", root, faults)) == 2
    assert faults.counts == {"no text": 1, "not UTF-8": 1, "named twice": 1}


def test_recordings_and_transcripts_that_lack_each_other_are_named(made):
    root = made("aishell-1")
    sound(root / "data_aishell/wav/test/S0764/BAC009S0764W9999.wav")
    faults = Faults("skip")
    assert len(read_benchmark("aishell-1", "test", root, faults)) == 2
    assert "BAC009S0764W9999" in str(faults)
    root = made("aishell-2")
    path = root / "AISHELL-DEV-TEST-SET/iOS/test/trans.txt"
    path.write_text(path.read_text() + "IT0055W0002\t你好\n")
    with pytest.raises(SampleError, match=r"trans\.txt:2: no recording: wav\.scp has no line IT0055W0002"):
        read_benchmark("aishell-2", "ios", root)


def test_packed_recordings_are_told_to_be_unpacked(made):
    root = made("fleurs")
    folder = root / "data/en_us/audio"
    (folder / "test").rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"audio/test\.tar\.gz unpacked"):
        read_benchmark("fleurs", "en", root)


@pytest.mark.parametrize("content", [None, b"not audio", b""])
def test_unreadable_audio_is_named_when_it_is_listened_to(made, content):
    root = made("librispeech")
    item = read_benchmark("librispeech", "test-clean", root)[1]
    path = root / "LibriSpeech/test-clean/1089/134686/1089-134686-0001.flac"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioInputError, match="1089-134686-0001"):
        item.clips[0].load(RATE)


def test_a_segment_beyond_its_recording_is_named(made):
    path = made("wenetspeech") / "audio/test_net/B00000/test_net_0.opus"
    with pytest.raises(AudioInputError, match=r"no samples between 60\.0 s and 61\.0 s"):
        Clip.of(path, 60.0, 61.0).load(RATE)
    with pytest.raises(AudioInputError, match="no audio file"):
        Clip.of(path.with_name("gone.opus"), 0.0, 1.0).load(RATE)


def test_unknown_benchmarks_and_splits_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no benchmark 'timit'"):
        read_benchmark("timit", "test", tmp_path)
    with pytest.raises(ValueError, match="no split 'dev'"):
        read_benchmark("librispeech", "dev", tmp_path)
    with pytest.raises(ValueError, match="not read from the hub"):
        read_benchmark("aishell-1", "test", "someone/aishell")


def test_any_conversations_are_a_benchmark(tmp_path):
    sound(tmp_path / "a.flac")
    rows = [
        ([*speech_recognition("hello there")], ["a.flac"]),
        ([*speech_to_speech("是小明。")], ["a.flac", "a.flac"]),
        ([*text_to_speech("hello", answer=True)], ["a.flac"]),
    ]
    lines = [json.dumps({"messages": messages, "audios": audios}) for messages, audios in rows]
    text(tmp_path / "test.jsonl", "\n".join([*lines, "{}"]))
    faults = Faults("skip")
    items = read_benchmark("conversations", "test", tmp_path, faults)
    assert [(item.task, item.language, item.references) for item in items] == [
        ("asr", "en", ("hello there",)),
        ("qa", "cmn", ("是小明。",)),
        ("tts", "en", ("hello",)),
    ]
    assert [len(item.clips) for item in items] == [1, 1, 0]
    assert items[2].spoken is not None
    assert len(faults) == 1
    assert len(read_benchmark("conversations", "test", tmp_path / "test.jsonl", Faults("skip"))) == 3


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ("Paris", ["Paris"]),
        ("['a', \"b's\"]", ["a", "b's"]),
        ('["a"]', ["a"]),
        ("a; b", ["a", "b"]),
        ("[broken", ["[broken"]),
        (["a", " "], ["a"]),
        ({"value": "A", "aliases": ["B"], "normalized_aliases": ["c"]}, ["c", "B", "A"]),
        (None, []),
        ("", []),
    ],
)
def test_answers_are_taken_from_every_form_that_copies_use(cell, answers):
    assert accepted(cell) == answers


def test_what_needs_datasets_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ImportError, match=r"labkit\[benchmarks\]"):
        read_benchmark("librispeech", "test-clean", "openslr/librispeech_asr")


HUB_ROWS = {
    "librispeech": ("clean/test-00000-of-00001.parquet", "test-clean", {"id": "1-2-3", "text": "A B"}),
    "fleurs": ("en_us/test-00000-of-00001.parquet", "en", {"id": 7, "transcription": "a b"}),
    "libritts": (
        "clean/test.clean-00000-of-00001.parquet",
        "test-clean",
        {"id": "1", "text_normalized": "A b."},
    ),
    "llama-questions": ("data/test-00000-of-00001.parquet", "test", {"question": "?", "answer": "a b"}),
    "trivia-qa": (
        "rc.wikipedia/validation-00000-of-00001.parquet",
        "validation",
        {
            "question_id": "tc_3",
            "answer": {"aliases": ["a b"], "normalized_aliases": ["a b"], "value": "a b"},
        },
    ),
    "web-questions": ("data/test-00000-of-00001.parquet", "test", {"question": "?", "answers": ["a b"]}),
}


@pytest.fixture
def parquet(tmp_path, monkeypatch):
    """Writes rows as a file of a copy of a hub repository."""
    datasets = pytest.importorskip("datasets", reason="needs the `benchmarks` extra")
    arrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")

    def write(place, rows):
        path = tmp_path / "copy" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(arrow.Table.from_pylist(rows), path)
        return path

    return write


@pytest.mark.parametrize("name", HUB_ROWS)
def test_copies_of_the_hub_are_read_through_datasets(tmp_path, parquet, name):
    place, split, row = HUB_ROWS[name]
    where = BENCHMARKS[name].hub[split]
    rows = [row | {where.audio: {"bytes": flac_bytes(), "path": "x.flac"}} for _ in range(2)]
    if where.name:
        rows[1][where.name] *= 2
    path = parquet(place, rows)
    parquet(f"{path.parent.name}/train-00000-of-00001.parquet", [{"other": 1}])

    items = read_benchmark(name, split, tmp_path / "copy")
    assert len(items) == 2
    clip = (items[0].clips or (items[0].spoken,))[0]
    assert len(clip.load(RATE)) == RATE // 2
    assert [each.lower().strip(".") for each in items[0].references] == ["a b"]

    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"there are .*train-00000"):
        read_benchmark(name, split, tmp_path / "copy")


def test_a_table_without_speech_and_rows_without_text_are_named(tmp_path, parquet):
    place, copy = "clean/test-00000-of-00001.parquet", tmp_path / "copy"
    parquet(place, [{"id": "1", "text": "A"}])
    with pytest.raises(SampleError, match="no column 'audio'"):
        read_benchmark("librispeech", "test-clean", copy)
    rows = [
        {"id": "1", "text": "A", "audio": {"bytes": b"broken", "path": None}},
        {"id": "2", "text": None, "audio": {"bytes": flac_bytes(), "path": None}},
    ]
    parquet(place, rows)
    faults = Faults("skip")
    items = read_benchmark("librispeech", "test-clean", copy, faults)
    assert [item.name for item in items] == ["1"]
    assert "bad row" in faults.counts
    with pytest.raises(AudioInputError, match=r"clean test, 1 is not audio"):
        items[0].clips[0].load(RATE)


def test_hub_ids_are_told_from_folders(tmp_path):
    assert hub.is_on_hub("openslr/librispeech_asr")
    assert not hub.is_on_hub(tmp_path)
    assert not hub.is_on_hub("./LibriSpeech")
    assert not hub.is_on_hub("/data/LibriSpeech")
