"""The rest of the grammars: pinyin, plain sentences, questions, coverage, text, and the words in them."""

import itertools
import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data.coverage import coverage_sentence, dictionary, mandarin_syllables
from labkit.data.espeak import Synthesizer
from labkit.data.grammar import load_grammar
from labkit.data.lexicon import vocabulary_words
from labkit.data.phonemes import LANGUAGES, SILENCE, normalize, phoneme_inventory
from labkit.data.plain import plain_sentence
from labkit.data.plan import CorpusSpec
from labkit.data.prosody import draw_prosody
from labkit.data.questions import question_and_answer, question_cells
from labkit.data.sentences import SPLITS, Sentence
from labkit.data.texts import text_sentences


def test_pinyin_follows_the_table_the_words_and_the_neighbors():
    pinyin = load_grammar("cmn").tokenize
    assert pinyin("首都") == [("首", "shou3"), ("都", "du1")]
    assert [syllable for _, syllable in pinyin("一个 一起 不看 不吃 星期一")] == (
        ["yi2", "ge4", "yi4", "qi3", "bu2", "kan4", "bu4", "chi1", "xing1", "qi1", "yi1"]
    )
    assert [syllable for _, syllable in pinyin("一加一等于二")] == [
        "yi1",
        "jia1",
        "yi1",
        "deng3",
        "yu2",
        "er4",
    ]
    with pytest.raises(ValueError, match="no pinyin for '龘'"):
        pinyin("我龘")
    with pytest.raises(ValueError, match="no pinyin for '行'"):  # a homograph has no reading of its own
        pinyin("行")


@pytest.mark.parametrize("language", LANGUAGES)
def test_homographs_occur_nowhere_else_without_a_reading(language):
    marked = {entry.word for entry in load_grammar(language).homographs}
    plain = [plain_sentence(language, split, random.Random(n)) for split in SPLITS for n in range(150)]
    asked = itertools.chain.from_iterable(question_and_answer(language, "train", n) for n in range(400))
    for sentence in [*plain, *asked]:
        for word, reading in zip(sentence.words, sentence.readings, strict=True):
            assert word not in marked or reading is not None, sentence.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_held_out_plain_sentences_use_trained_words(language):
    def words(split, count):
        return {w for n in range(count) for w in plain_sentence(language, split, random.Random(n)).words}

    assert words("test", 200) <= words("train", 2000)
    combinations = [
        {plain_sentence(language, split, random.Random(n)).combination for n in range(500)}
        for split in SPLITS
    ]
    assert not any(a & b for a, b in itertools.combinations(combinations, 2))


@pytest.mark.parametrize("language", LANGUAGES)
def test_questions_hold_out_phrasings_of_facts_that_are_known(language):
    seen = {split: set(question_cells(language, split)) for split in SPLITS}
    assert not any(a & b for a, b in itertools.combinations(seen.values(), 2))
    assert len(seen["test"]) >= 100
    for place in (1, 2):  # every fact, every phrasing is trained
        kept = {(cell[0].name, cell[place]) for cell in seen["train"]}
        assert {(cell[0].name, cell[place]) for cell in seen["test"]} <= kept
    for number in range(len(seen["test"])):
        question, answer = question_and_answer(language, "test", number)
        assert (question.kind, answer.kind, question.split) == ("question", "answer", "test")
        assert question.fact == answer.fact
        assert answer.fact in answer.text
        assert question.combination == answer.combination


def test_sums_are_right():
    numbers = {
        word: value
        for value, word in enumerate(
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
        )
    }
    teens = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"]
    numbers |= {word: value for value, word in enumerate(teens, start=10)}
    relation = next(r for r in load_grammar("en").relations if r.name == "sum")
    assert len(relation.facts) == 81
    for subject, fact in relation.facts:
        first, second = subject.split(" plus ")
        assert numbers[first] + numbers[second] == numbers[fact]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_the_grammar_has_a_pronunciation_that_can_be_said(language):
    vocabulary = vocabulary_words(language)
    for entry in load_grammar(language).homographs:
        assert len(vocabulary[entry.word]) >= 2
    if language == "en":
        phones = {phone for pronunciation in dictionary().values() for phone in pronunciation.split()}
        for pronunciations in vocabulary.values():
            assert all(set(p.split()) <= phones for p in pronunciations)
    else:
        syllables = sorted({s for pronunciations in vocabulary.values() for s in pronunciations})
        assert set(syllables) <= set(mandarin_syllables())


def test_english_text_is_plain_words_in_the_dictionary():
    for sentence in itertools.chain(text_sentences("en", 500), text_sentences("en", 200, split="test")):
        assert re.fullmatch(r"[a-z]+( [a-z]+)*", sentence.text)
        assert all(word in vocabulary_words("en") for word in sentence.words)


@pytest.mark.parametrize("language", LANGUAGES)
def test_text_continues_in_the_same_sense_and_keeps_to_its_split(language):
    sentences = list(text_sentences(language, 400, seed=3))
    assert sentences == list(text_sentences(language, 400, seed=3))
    assert sentences[:100] == list(text_sentences(language, 100, seed=3))
    assert sentences != list(text_sentences(language, 400, seed=4))
    assert {s.kind for s in sentences} == {"text"}
    marks = [s.homograph for s in sentences if s.homograph]
    assert 0.8 < sum(bool(mark.sense) for mark in marks) / len(marks) < 1
    assert any(s.fact for s in sentences)
    held_out = {s.text for s in text_sentences(language, 400, split="test") if s.homograph}
    assert not held_out & {s.text for s in sentences}
    with pytest.raises(ValueError, match="must not be negative"):
        next(text_sentences(language, -1))


@settings(deadline=None)  # the first call reads the dictionary
@given(st.sampled_from(LANGUAGES), st.integers(0, 10_000))
def test_coverage_sentences_are_sayable_words(language, seed):
    sentence = coverage_sentence(language, "train", random.Random(seed))
    if language == "en":
        assert 4 <= len(sentence.words) <= 8
        assert all(word in dictionary() for word in sentence.words)
    else:
        assert 6 <= len(sentence.words) <= 12
        assert sentence.words == sentence.readings
        assert set(sentence.words) <= set(mandarin_syllables())


def test_all_mandarin_syllables_stay_within_the_inventory():
    syllables = mandarin_syllables()
    assert len(syllables) > 1400
    synthesizer = Synthesizer("cmn", rate=400)
    heard = set()
    for start in range(0, len(syllables), 50):
        heard |= {p.symbol for p in synthesizer.speak(syllables[start : start + 50]).phonemes}
    assert heard <= set(phoneme_inventory("cmn"))
    assert len(heard) > 0.95 * len(phoneme_inventory("cmn"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_inventory_begins_with_silence_and_repeats_nothing(language):
    inventory = phoneme_inventory(language)
    assert inventory[0] == SILENCE
    assert len(set(inventory)) == len(inventory)
    with pytest.raises(ValueError, match="not in the inventory"):
        normalize("qqq", language)


@given(st.integers(1, 20), st.sampled_from(LANGUAGES), st.integers(0, 1000))
def test_prosody_has_a_rate_and_a_pause_for_every_word(words, language, seed):
    prosody = draw_prosody(words, language, random.Random(seed))
    assert len(prosody.word_rates) == len(prosody.pauses) == words
    assert prosody.pauses[-1] == 0
    assert all(0.7 <= rate <= 1.4 for rate in prosody.word_rates)
    assert prosody == draw_prosody(words, language, random.Random(seed))


@given(st.integers(1, 20), st.sampled_from(LANGUAGES), st.integers(0, 1000))
def test_even_prosody_leaves_only_silences_of_whole_tokens_to_chance(words, language, seed):
    prosody = draw_prosody(words, language, random.Random(seed), "even")
    assert set(prosody.word_rates) == {1.0}
    assert prosody.rate == draw_prosody(words, language, random.Random(seed + 1), "even").rate
    tokens = np.array([prosody.lead, *prosody.pauses]) / 0.08
    assert np.allclose(tokens, tokens.round())
    assert prosody.pauses[-1] == 0
    assert np.count_nonzero(prosody.pauses) <= 2


def test_a_prosody_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="unknown prosody 'sung': choose from varied, even"):
        CorpusSpec(prosody="sung")


def test_a_sentence_that_makes_no_sense_is_refused():
    for arguments, message in (
        (("fr", "plain", ("a",), (None,)), "unknown language"),
        (("en", "poem", ("a",), (None,)), "unknown kind"),
        (("en", "plain", ("a",), (None,), "dev"), "unknown split"),
        (("en", "plain", (), ()), "needs words"),
        (("en", "plain", ("a", "b"), (None,)), "needs words"),
    ):
        with pytest.raises(ValueError, match=message):
            Sentence(*arguments)
