"""The toy corpus as JSONL, and from there to packed rows: nothing lost, nothing done twice, the same again by seed."""

import hashlib
import itertools
import json

import numpy as np
import pytest
import soundfile
import torch
from tiny import tiny_model

from labkit.audio.toy import ToyCodec
from labkit.data import export as command
from labkit.data.audio_tokens import AudioTokens
from labkit.data.clips import MOST_WORDS
from labkit.data.corpus import CorpusSpec, generate
from labkit.data.export import ExportSpec, export
from labkit.data.faults import SampleError
from labkit.data.grammar import load_grammar
from labkit.data.messages import read_samples
from labkit.data.mixture import TOY_MIXTURE, ratios_of
from labkit.data.packing import collate
from labkit.data.questions import question_cells
from labkit.data.sentences import KINDS, join_words
from labkit.data.speech_data import SpeechData
from labkit.interleave import BOOST, MODES, VANILLA, interleave
from labkit.model import speech_losses
from labkit.training.recipes import TOY
from labkit.vocabulary import IGNORE, Chat, train_toy_tokenizer
from labkit.vocabulary.prompts import ASR, LUKE, TTS

torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("own_cache")

CORPUS = CorpusSpec(sentences=20, validation=0, test=1, probes=0)
SPEC = ExportSpec(
    texts=12,
    documents=3,
    repeats=5,
    readings=160,
    clips=6,
    held_out_texts=4,
    held_out_documents=1,
    held_out_repeats=2,
    held_out_readings=6,
)
ONES = {each.name: 1.0 for each in TOY_MIXTURE}


@pytest.fixture(scope="module")
def corpus(own_cache):
    return generate(CORPUS, progress=False)


@pytest.fixture(scope="module")
def folder(corpus):
    return export(corpus, spec=SPEC, progress=False)


@pytest.fixture(scope="module")
def tokens(own_cache):
    return AudioTokens(ToyCodec.load())


@pytest.fixture(scope="module")
def tokenizer(corpus, tokens):
    return train_toy_tokenizer((each.text for each in corpus), audio_tokens=tokens.codec.size)


@pytest.fixture(scope="module")
def make(folder, tokenizer, tokens):
    def make(ratios=ONES, **settings):
        defaults = {"audio": tokens, "length": 512, "progress": False}
        return SpeechData(folder / "train", ratios, tokenizer, **defaults | settings)

    return make


def digest(folder):
    """Every file's bytes, the manifest's included."""
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_utterance_is_there_as_it_was_said(corpus, folder):
    for index, utterance in enumerate(corpus):
        pcm, rate = soundfile.read(folder / "audio" / utterance.language / f"{index:06d}.flac", dtype="int16")
        assert rate == utterance.sample_rate
        assert (pcm == utterance.pcm).all()


def test_every_dataset_holds_what_its_name_says(corpus, folder):
    assert {path.stem for path in (folder / "train").iterdir()} == set(ONES)
    assert not (folder / "validation" / "asr-en.jsonl").exists()  # no empty files
    for language, split in itertools.product(("en", "cmn"), ("train", "test")):
        samples = {
            name: read_samples(folder / split / f"{name}-{language}.jsonl")
            for name in (
                "asr",
                "tts",
                "asr-coverage",
                "tts-coverage",
                "speech-qa",
                "text",
                "text-qa",
                "long-text",
                "repeat",
                "readings",
            )
        }
        everything = [corpus[i] for i in corpus.indices(language=language, split=split)]
        own = [each for each in everything if each.kind != "coverage"]
        random_words = [each.text for each in everything if each.kind == "coverage"]
        assert [each.messages[1]["content"] for each in samples["asr-coverage"]] == random_words
        assert len(samples["tts-coverage"]) == len(random_words)
        said = [each.text for each in own]
        assert [each.messages[0]["content"] for each in samples["asr"]] == [f"{ASR}<|audio|>"] * len(own)
        assert [each.messages[1]["content"] for each in samples["asr"]] == said
        assert [each.messages[0]["content"] for each in samples["tts"]] == [f"{TTS}{text}" for text in said]
        assert [each.messages[1]["content"] for each in samples["tts"]] == [
            f"{text}<|audio|>" for text in said
        ]
        for each, utterance in zip(samples["tts"], own, strict=True):
            assert [int(path.stem) for path in each.audios] == [utterance.index]
        if split == "train":
            longest = read_samples(folder / split / f"tts-long-{language}.jsonl")
            assert len(longest) == round(0.1 * len(own)) > 0
            told = [each.messages[1]["content"].removesuffix("<|audio|>") for each in longest]
            rest = list(said)
            for text in told:
                rest.remove(text)
            assert min(map(len, told)) >= max(map(len, rest))
        questions = [each for each in own if each.kind == "question"]
        assert questions
        for each, question in zip(samples["speech-qa"], questions, strict=True):
            system, user, assistant = (message["content"] for message in each.messages)
            assert (system, user) == (LUKE, "\n<|audio|>")
            assert assistant == f"{corpus[question.partner].text}<|audio|>"
            assert [int(path.stem) for path in each.audios] == [question.index, question.partner]
        texts, documents, repeats, readings = SPEC.counts(split)
        chats = [each for each in samples["text"] if len(each.messages) == 2]
        assert len(chats) == len(question_cells(language, split))
        assert len(samples["text"]) == texts + len(chats)
        assert [each.messages for each in samples["text-qa"]] == [each.messages for each in chats]
        assert len(samples["long-text"]) == documents
        assert all(4 <= each.messages[0]["content"].count("\n") + 1 <= 12 for each in samples["long-text"])
        assert len(samples["repeat"]) == repeats
        for each in samples["repeat"]:
            asked, said = (message["content"] for message in each.messages)
            assert asked == command.REPEAT + said
        assert len(samples["readings"]) == readings
        for each in samples["readings"]:
            *asked, told = (message["content"] for message in each.messages)
            for text in asked:
                assert text.startswith(command.READINGS)
                assert len(told) > len(text.removeprefix(command.READINGS))
        if split == "train":
            assert {len(each.messages) for each in samples["readings"]} == {1, 2}


def test_each_homograph_is_told_in_both_its_readings(folder):
    for language, apart in {"en": " ", "cmn": ""}.items():
        samples = read_samples(folder / "train" / f"readings-{language}.jsonl")
        texts = [each.messages[-1]["content"] for each in samples]
        for entry in load_grammar(language).homographs[:4]:
            for reading in entry.readings:
                told = f"{entry.word}{apart}{reading.name.partition('/')[2]}"
                assert any(told in text for text in texts), told


def test_a_share_of_the_utterances_is_enough_to_train_recognition(corpus, tmp_path):
    few = ExportSpec(texts=1, documents=1, repeats=1, readings=1, heard=0.5)
    folder = export(corpus, tmp_path, few, progress=False)
    for language in ("en", "cmn"):
        read = {name: read_samples(folder / "train" / f"{name}-{language}.jsonl") for name in ("asr", "tts")}
        assert len(read["asr"]) == round(len(read["tts"]) / 2)
        assert {each.audios for each in read["asr"]} < {each.audios for each in read["tts"]}
    with pytest.raises(ValueError, match="from 0 to 1"):
        ExportSpec(heard=1.5)


def test_clips_are_a_few_words_of_an_utterance_with_their_sound(corpus, folder):
    for language in ("en", "cmn"):
        own = [
            corpus[i]
            for i in corpus.indices(language=language, split="train")
            if corpus[i].kind != "coverage"
        ]
        clips = read_samples(folder / "train" / f"asr-clips-{language}.jsonl")
        assert len(clips) == SPEC.clips
        assert not (folder / "test" / f"asr-clips-{language}.jsonl").exists()
        for clip in clips:
            asked, text = (message["content"] for message in clip.messages)
            assert asked == f"{ASR}<|audio|>"
            pcm, rate = soundfile.read(*clip.audios, dtype="int16")
            source = next(each for each in own if pcm.tobytes() in each.pcm.tobytes())
            start = source.pcm.tobytes().index(pcm.tobytes()) / 2 / rate
            stop = start + len(pcm) / rate
            inside = [
                word.text for word in source.words if start < word.start + 0.01 and word.end - 0.01 < stop
            ]
            assert join_words(inside, language) == text
            assert 1 <= len(inside) <= MOST_WORDS


def test_a_finished_export_is_recognised(corpus, folder, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    monkeypatch.setattr(soundfile, "write", None)
    assert export(corpus, spec=SPEC, progress=False) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_an_interrupted_export_goes_on_and_ends_the_same(corpus, folder, tmp_path, monkeypatch):
    write, written = soundfile.write, []

    def interrupted(path, *arguments, **settings):
        if len(written) == 10:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *arguments, **settings)

    monkeypatch.setattr(soundfile, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(corpus, tmp_path, SPEC, workers=1, progress=False)
    assert not json.loads((tmp_path / "export.json").read_text())["finished"]
    monkeypatch.setattr(soundfile, "write", lambda *a, **s: (written.append(a[0]), write(*a, **s)))
    export(corpus, tmp_path, SPEC, progress=False)
    assert len(written) == len(corpus) + 2 * SPEC.clips
    assert digest(tmp_path) == digest(folder)


def test_a_folder_in_use_is_left_alone(corpus, folder, tmp_path):
    with pytest.raises(ValueError, match="holds another export"):
        export(corpus, folder, ExportSpec(texts=13), progress=False)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="is not empty"):
        export(corpus, tmp_path, SPEC, progress=False)
    with pytest.raises(ValueError, match="documents"):
        ExportSpec(documents=-1)


def test_the_command_line(corpus, folder, tmp_path, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(command, "generate", lambda spec, workers: asked.append(spec) or corpus)
    monkeypatch.setattr(command, "export", lambda *arguments, workers: asked.append(arguments) or folder)
    monkeypatch.setattr(
        "sys.argv", f"export {tmp_path} --sentences 20 --prosody even --texts 5 --workers 1".split()
    )
    command.main()
    assert asked == [CorpusSpec(sentences=20, prosody="even"), (corpus, tmp_path, ExportSpec(texts=5))]
    assert f"{folder / 'train' / 'long-text-en.jsonl'}: 3 samples" in capsys.readouterr().out


def test_the_command_line_reaches_every_field_of_an_export():
    typed = "x --sentences 56000 --prosody even --no-coverage --pairs --texts 60000 --documents 6000"
    _, spoken, spec = command.read_options([*typed.split(), *"--readings 30000 --clips 20000".split()])
    assert (spoken, spec) == (TOY.corpus, TOY.texts)
    typed = "x --seed 3 --export-seed 4 --heard 0.5 --repeats 7 --held-out-readings 8"
    _, spoken, spec = command.read_options(typed.split())
    assert spoken == CorpusSpec(seed=3)
    assert spec == ExportSpec(seed=4, heard=0.5, repeats=7, held_out_readings=8)


def test_an_epoch_holds_every_sample_with_its_text_and_audio(make, folder, tokenizer, tokens):
    data = make(modes=(BOOST,))
    rows = data.rows(0)
    assert sum(row.samples for row in rows) == sum(len(samples) for samples in data.samples.values())
    vocabulary = Chat(tokenizer).vocabulary
    found = set()
    for row in rows:
        for part in np.split(row.input_ids[: row.tokens], np.flatnonzero(row.positions == 0)[1:]):
            found.add(tuple(part.tolist()))
    for sample in read_samples(folder / "train" / "speech-qa-en.jsonl"):
        question, answer = (vocabulary.audio_ids(tokens[path]) for path in sample.audios)
        text = tokenizer(sample.messages[-1]["content"].removesuffix("<|audio|>"))["input_ids"]
        (encoded,) = [
            ids for ids in found if str(question)[1:-1] in str(ids) and str(LUKE) in tokenizer.decode(ids)
        ]
        assert str(interleave(text, answer, BOOST, vocabulary))[1:-1] in str(encoded)


def test_all_of_a_text_is_a_target_and_no_prompt_is(make, tokenizer):
    data = make({"text-en": 1.0, "asr-en": 1.0})
    for samples in data.samples.values():
        for sample in samples:
            encoded = data.encoder.encode(sample, BOOST)
            targets = tokenizer.decode(encoded.labels[encoded.labels != IGNORE])
            assert targets == sample.messages[-1]["content"] + "<|im_end|>"


def test_rows_depend_on_seed_and_epoch_alone(make):
    data, other = make(), make(seed=1)

    def ids(rows):
        return [row.input_ids.tolist() for row in rows]

    first, second = ids(data.rows(0)), ids(data.rows(1))
    assert first != second
    assert first != ids(other.rows(0))
    fresh = make()
    assert ids(fresh.rows(1)) == second  # with no epoch before it, as after a resume
    assert ids(data.rows(0)) == first


def test_modes_are_drawn_for_each_answer_and_shape_it(make):
    data = make({"tts-en": 20.0}, modes=("boost", "vanilla"))
    samples = {mode: data.encoder.encode(data.samples["tts-en"][0], mode) for mode in MODES.values()}
    assert samples[MODES["turbo"]] is samples[BOOST]
    assert samples[MODES["balance"]] is samples[VANILLA]
    boost, vanilla = samples[BOOST].input_ids.tolist(), samples[VANILLA].input_ids.tolist()
    assert boost != vanilla
    found = str([row.input_ids.tolist() for row in data.rows(0)])
    drawn = [found.count(str(ids)[1:-1]) for ids in (boost, vanilla)]
    assert sum(drawn) == 20
    assert min(drawn) >= 3


def test_a_model_takes_a_batch(make):
    data = make()
    model = tiny_model(2, vocab_size=data.encoder.vocabulary.padded_size)
    batch = collate(data.rows(0)[-2:])
    losses = speech_losses(model, batch.pop("input_ids"), batch.pop("labels"), **batch)
    assert torch.isfinite(losses.total)
    assert min(losses.targets) > 100


def test_the_report_counts_what_is_there(make, corpus):
    data = make(ratios_of(TOY_MIXTURE, 1) | {"asr-en": 2.0, "text-en": 1.0})
    assert data.report.rows == 0
    rows = data.rows(0)
    asr = data.report.datasets["asr-en"]
    said = corpus.indices(language="en", split="train", kind=[kind for kind in KINDS if kind != "coverage"])
    assert (asr.samples, asr.drawn) == (len(said), 2 * len(said))
    seconds = sum(corpus[i].seconds for i in said)
    assert asr.audio_hours == pytest.approx(2 * seconds / 3600, rel=0.02)
    assert data.report.datasets["text-en"].audio_hours == 0
    assert sum(each.tokens for each in data.report.datasets.values()) == sum(row.tokens for row in rows)
    assert data.report.rows == len(rows)
    assert data.report.fill > 0.9
    assert "asr-en" in str(data.report)
    assert "speech-qa-en" not in data.report.datasets


@pytest.fixture
def faulty(folder, tmp_path):
    """A sound sample, then one of each fault that shows only in what a line means: by fault, (line, its number)."""
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"no audio")

    def said(content, *audios):
        message = {"role": "assistant", "content": content}
        return json.dumps({"messages": [message], "audios": list(map(str, audios))})

    lines = {
        "sound": said("hello"),
        "not JSON": "{",
        "unreadable audio": said("hello<|audio|>", broken),
        "cannot be encoded": said("hello<|im_end|>"),
        "too long": said("hello " * 600),
    }
    return {fault: (line, number) for number, (fault, line) in enumerate(lines.items(), start=1)}


def write_lines(path, lines):
    path.write_text("\n".join(lines))
    return {"faulty": path}


def test_faulty_samples_are_skipped_counted_and_listed(faulty, tmp_path, tokenizer, tokens):
    files = write_lines(tmp_path / "faulty.jsonl", [line for line, _ in faulty.values()])
    settings = {"audio": tokens, "length": 512, "on_fault": "skip", "progress": False}
    data = SpeechData(files, {"faulty": 1.0}, tokenizer, **settings)
    for epoch in range(2):
        assert sum(row.samples for row in data.rows(epoch)) == 1
        assert data.report.skipped == dict.fromkeys([*faulty][1:], 1)
    assert {error.fault: error.line for error in data.faults.errors} == {
        fault: number for fault, (_, number) in faulty.items() if fault != "sound"
    }
    files = write_lines(tmp_path / "faulty.jsonl", [faulty["too long"][0]])
    with pytest.raises(ValueError, match="no sample is left"):
        SpeechData(files, {"faulty": 1.0}, tokenizer, **settings).rows(0)


@pytest.mark.parametrize("fault", ["not JSON", "unreadable audio", "cannot be encoded", "too long"])
def test_a_faulty_sample_fails_by_name(faulty, fault, tmp_path, tokenizer, tokens):
    path = tmp_path / "faulty.jsonl"
    files = write_lines(path, [faulty["sound"][0], faulty[fault][0]])
    with pytest.raises(SampleError, match=f"{path}:2: {fault}: "):
        SpeechData(files, {"faulty": 1.0}, tokenizer, audio=tokens, length=512, progress=False).rows(0)


def test_settings_that_do_not_fit_are_refused(make, folder, tokenizer, tokens):
    with pytest.raises(SampleError, match="no codec"):
        make({"tts-en": 1.0}, audio=None).rows(0)
    with pytest.raises(FileNotFoundError, match="tts-de"):
        make({"tts-de": 1.0})
    with pytest.raises(ValueError, match="at least one dataset"):
        make({"tts-en": 0.0})
    with pytest.raises(ValueError, match="and one mode"):
        make(modes=())
    with pytest.raises(ValueError, match="no file for text"):
        SpeechData({"asr": folder}, {"asr": 1, "text": 1}, tokenizer, audio=tokens, length=9)
    small = train_toy_tokenizer(["a"], audio_tokens=8)
    with pytest.raises(ValueError, match=f"audio_tokens={tokens.codec.size}"):
        SpeechData(folder / "train", ONES, small, audio=tokens, length=512, progress=False)
