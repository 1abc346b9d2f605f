"""The corpus: the same bytes from the same spec, taken up after an interruption, true to what it says of itself."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from labkit.data import __main__ as command
from labkit.data import speaking
from labkit.data.corpus import AUDIO, INDEX, Corpus, CorpusSpec, generate
from labkit.data.phonemes import LANGUAGES, SILENCE, phoneme_inventory
from labkit.data.plan import plan
from labkit.data.prosody import PROSODIES
from labkit.paths import CACHE_VARIABLE

SPEC = CorpusSpec(sentences=80, validation=10, test=8, probes=12)
SMALL = CorpusSpec(sentences=40, validation=0, test=0, probes=0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        return generate(SPEC, progress=False)


def files(corpus):
    return (corpus.folder / AUDIO).read_bytes(), (corpus.folder / INDEX).read_bytes()


def test_it_holds_what_was_asked_for(corpus):
    assert len(corpus) == len(plan(SPEC))
    for language in LANGUAGES:
        assert len(corpus.indices(language=language, split="train")) == 40
        assert len(corpus.indices(language=language, split="validation")) == 10
        assert len(corpus.probes(language)) == 12
        assert len(corpus.probes(language, sense=True)) == 3
        assert {corpus[i].kind for i in corpus.indices(language=language)} >= {
            "homograph",
            "plain",
            "coverage",
            "question",
            "answer",
        }
    assert corpus[corpus.indices(kind="paper")[0]].text == "我们一行人上周去贵州旅游"


def test_the_default_spec_tests_enough():
    planned = [p.sentence for p in plan(CorpusSpec(sentences=0, validation=0))]
    for language in LANGUAGES:
        tests = [s for s in planned if s.language == language and s.split == "test"]
        assert len(tests) >= 500
        neutral = [s for s in tests if s.kind == "homograph" and not s.homograph.sense]
        assert len(neutral) >= 2 * 300
        assert len({s.text for s in neutral}) > 0.98 * len(neutral)


def test_training_is_balanced_and_mostly_continues_in_the_sense():
    planned = [p.sentence for p in plan(CorpusSpec(sentences=4000, validation=0, test=0, probes=0))]
    for language in LANGUAGES:
        marks = [s.homograph for s in planned if s.language == language and s.homograph]
        assert 0.6 < sum(bool(mark.sense) for mark in marks) / len(marks) < 0.7
        readings = [mark.reading for mark in marks]
        counts = np.array([readings.count(reading) for reading in sorted(set(readings))])
        assert counts.min() > 0.4 * counts.mean()


def test_both_sentences_of_a_pair_or_one_of_them_and_random_words_or_none():
    one = plan(CorpusSpec(sentences=400, validation=0, test=0, probes=0))
    both = plan(CorpusSpec(sentences=400, validation=0, test=0, probes=0, coverage=False, pairs=True))
    assert any(each.sentence.kind == "coverage" for each in one)
    assert not any(each.sentence.kind == "coverage" for each in both)
    singles, twins = ([p for p in each if p.sentence.homograph] for each in (one, both))
    assert len(singles) == len(twins) == 180
    assert all(each.partner is None for each in singles)
    for each in twins:
        partner = both[each.partner].sentence
        assert partner.words == each.sentence.homograph.partner
        assert partner.homograph.reading != each.sentence.homograph.reading


def test_a_larger_corpus_begins_with_the_smaller_ones_sentences():
    small = {p.sentence for p in plan(SPEC) if p.sentence.split == "train"}
    large = {p.sentence for p in plan(dataclasses.replace(SPEC, sentences=160))}
    assert small <= large


def test_utterances_are_true_to_themselves(corpus):
    for utterance in corpus:
        assert utterance.sample_rate == 16_000
        assert utterance.waveform.dtype == np.float32
        assert utterance.waveform.shape == utterance.pcm.shape
        assert 0.02 < np.abs(utterance.waveform).max() < 0.99
        assert len(utterance.words) == len(utterance.sentence.words)
        assert utterance.phonemes[0].start == 0
        assert utterance.phonemes[-1].end == pytest.approx(utterance.seconds)
        assert {p.symbol for p in utterance.phonemes} <= set(phoneme_inventory(utterance.language))
        for before, after in zip(utterance.phonemes, utterance.phonemes[1:], strict=False):
            assert before.end == after.start
        for word in utterance.words:
            assert 0 <= word.start < word.end <= utterance.seconds


def test_speech_is_where_the_words_are(corpus):
    speech, silence = [], []
    for utterance in (corpus[i] for i in range(0, len(corpus), 4)):
        energy = utterance.waveform**2
        for phoneme in utterance.phonemes:
            # The voice's echo rings on for a while after a word.
            start = phoneme.start + 0.15 if phoneme.symbol == SILENCE else phoneme.start
            part = energy[int(start * 16_000) : int(phoneme.end * 16_000)]
            (silence if phoneme.symbol == SILENCE else speech).extend(part)
    assert np.mean(silence) < 1e-3 * np.mean(speech)


def test_a_minimal_pair_says_the_homograph_otherwise(corpus):
    for language in LANGUAGES:
        for pair in corpus.probes(language):
            said = [tuple(p.symbol for p in u.phonemes if p.word == u.homograph.index) for u in pair]
            assert said[0] != said[1]
            assert pair[0].partner == pair[1].index
            assert pair[0].homograph.partner == pair[1].sentence.words


def test_questions_come_with_their_answers(corpus):
    for index in corpus.indices(kind="question"):
        question = corpus[index]
        answer = corpus[question.partner]
        assert (answer.kind, answer.partner) == ("answer", index)
        assert answer.sentence.fact == question.sentence.fact


def test_time_gone_by_does_not_tell_the_word(corpus):
    """The proportional line, time over duration times the number of words, must leave room for attention to beat."""
    for language, limit in (("en", 0.55), ("cmn", 0.75)):
        hits = []
        for index in corpus.indices(language=language, kind=("plain", "homograph", "answer")):
            utterance = corpus[index]
            for time in np.arange(0.04, utterance.seconds, 0.08):
                sounding = [i for i, word in enumerate(utterance.words) if word.start <= time < word.end]
                if sounding:
                    hits.append(int(time / utterance.seconds * len(utterance.words)) == sounding[0])
        assert np.mean(hits) < limit


def test_equal_specs_give_equal_bytes_in_parts_of_any_size(tmp_path, monkeypatch):
    contents = []
    for part in (7, 100):
        monkeypatch.setattr(speaking, "PART", part)
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / str(part)))
        contents.append(files(generate(SMALL, workers=1, progress=False)))
    assert contents[0] == contents[1]


def test_several_processes_give_the_same_bytes_as_one(tmp_path, monkeypatch):
    spec = CorpusSpec(sentences=0, validation=0, test=70, probes=0, languages=("cmn",))
    contents = []
    for workers in (1, 2):
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / str(workers)))
        contents.append(files(generate(spec, workers=workers, progress=False)))
    assert contents[0] == contents[1]


def test_an_interrupted_generation_goes_on_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(speaking, "PART", 10)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "whole"))
    whole = generate(SMALL, workers=1, progress=False)
    spoken = []
    speak = speaking._speak

    def until_the_power_fails(planned):
        if len(spoken) == 25:
            raise KeyboardInterrupt
        spoken.append(planned)
        return speak(planned)

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "interrupted"))
    monkeypatch.setattr(speaking, "_speak", until_the_power_fails)
    with pytest.raises(KeyboardInterrupt):
        generate(SMALL, workers=1, progress=False)
    assert len(list(tmp_path.glob("interrupted/corpus/*/part-*.jsonl"))) == 2
    spoken.clear()
    monkeypatch.setattr(speaking, "_speak", lambda planned: (spoken.append(planned), speak(planned))[1])
    again = generate(SMALL, workers=1, progress=False)
    assert len(spoken) == len(whole) - 20
    assert files(again) == files(whole)
    assert sorted(path.name for path in again.folder.iterdir()) == sorted([AUDIO, INDEX])


def test_a_second_call_speaks_nothing(corpus, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(corpus.folder.parents[1]))
    monkeypatch.setattr(speaking, "_speak", None)
    assert files(generate(SPEC)) == files(corpus)


def test_a_worker_that_dies_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "python").write_text("#!/bin/sh\necho out of memory >&2\nexit 3\n")
    (tmp_path / "python").chmod(0o755)
    with pytest.raises(RuntimeError, match="out of memory"):
        generate(CorpusSpec(sentences=1200), progress=False)


def test_seeds_and_voices_change_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    spec = CorpusSpec(sentences=8, validation=0, test=0, probes=0, languages=("en",))
    first, second, third = (
        generate(s, progress=False)
        for s in (
            spec,
            dataclasses.replace(spec, seed=1),
            dataclasses.replace(spec, voices=(("en", ("en-us+m3", "en-us+f4")),)),
        )
    )
    assert [u.text for u in first] != [u.text for u in second]
    assert [u.text for u in first if u.kind == "plain"] == [u.text for u in third if u.kind == "plain"]
    assert {u.voice for u in first} == {"en-us+f2"}
    assert {u.voice for u in third} <= {"en-us+m3", "en-us+f4"}


def test_indexing_is_that_of_a_sequence(corpus):
    assert corpus[-1].index == len(corpus) - 1
    assert corpus[np.int64(3)].index == 3
    with pytest.raises(IndexError):
        corpus[len(corpus)]
    assert corpus.indices() == list(range(len(corpus)))
    for wrong in ({"language": "fr"}, {"split": "dev"}, {"kind": "poem"}, {"kind": ("plain", "poem")}):
        with pytest.raises(ValueError, match="unknown"):
            corpus.indices(**wrong)
    assert sum(u.seconds for u in corpus) == pytest.approx(corpus.seconds)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sentences": -1}, "sentences counts sentences and cannot be negative"),
        ({"probes": -5}, "probes counts"),
        ({"languages": ("en", "fr")}, "unknown language 'fr'"),
        ({"languages": ()}, "needs a language"),
        ({"voices": (("en", ("en-us+nobody",)),)}, "no voice variant 'nobody'"),
    ],
)
def test_impossible_specs_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        CorpusSpec(**settings)


def test_an_unwritable_cache_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(NotADirectoryError, match="file"):
        generate(SPEC, progress=False)


def test_an_empty_corpus_is_a_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    empty = generate(CorpusSpec(sentences=0, validation=0, test=0, probes=0), progress=False)
    assert (len(empty), empty.seconds, empty.indices()) == (0, 0, [])
    assert "0 utterances" in command.summary(empty)


def test_the_command_sums_up_what_it_made(tmp_path):
    environment = os.environ | {CACHE_VARIABLE: str(tmp_path), "OMP_NUM_THREADS": "1"}
    arguments = ["--sentences", "-3"]
    failed = subprocess.run(
        [sys.executable, "-m", "labkit.data", *arguments], env=environment, capture_output=True, text=True
    )
    assert failed.returncode != 0
    assert "cannot be negative" in failed.stderr


@pytest.mark.parametrize("prosody", PROSODIES)
def test_the_command_speaks_as_it_is_told(prosody, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "generate", lambda spec, **_: asked.append(spec))
    monkeypatch.setattr(command, "summary", lambda _: "")
    command.main(["--prosody", prosody])
    command.main([])
    assert asked == [CorpusSpec(prosody=prosody), CorpusSpec()]
    with pytest.raises(SystemExit):
        command.main(["--prosody", "sung"])


def test_the_summary_counts(corpus):
    text = command.summary(corpus)
    assert "English" in text
    assert "Mandarin" in text
    assert "distance of the deciding word: 1 " in text
    assert isinstance(Corpus(corpus.folder), Corpus)
