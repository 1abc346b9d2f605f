"""Homographs: only an earlier word decides, splits hold combinations apart, readings sound different."""

import random
from collections import Counter

import pytest

from labkit.data.grammar import load_grammar
from labkit.data.homographs import LENGTHS, cells, minimal_pair, paper_pair
from labkit.data.lexicon import homographs
from labkit.data.phonemes import LANGUAGES, phoneme_inventory
from labkit.data.sentences import SPLITS

PAIRS = 600


def pairs(language, split="train", count=PAIRS, **settings):
    return [
        minimal_pair(language, split, random.Random(f"{split}{number}"), entry=number, **settings)
        for number in range(count)
    ]


def others(sentence):
    """The words that are neither homograph, nor deciding, nor of its sense: they must say nothing."""
    mark = sentence.homograph
    marked = {mark.index, *mark.deciding, *mark.sense}
    return Counter(word for place, word in enumerate(sentence.words) if place not in marked)


@pytest.mark.parametrize(("language", "count"), [("en", 13), ("cmn", 12)])
def test_there_are_enough_homographs_with_enough_deciding_words(language, count):
    entries = load_grammar(language).homographs
    assert len(entries) >= count
    for entry in entries:
        for side in (0, 1):
            deciding = {pair[side] for group in entry.groups for pair in group.pairs}
            assert len(deciding) >= 6, entry.word
        assert all(len(group.frames) >= 5 for group in entry.groups)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_deciding_word_decides_for_one_reading_only(language):
    for entry in load_grammar(language).homographs:
        first, second = ({pair[side] for group in entry.groups for pair in group.pairs} for side in (0, 1))
        assert not first & second, entry.word


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_two_readings_come_out_as_different_phonemes(language):
    inventory = set(phoneme_inventory(language))
    for word, (first, second) in homographs(language).items():
        assert first.word == second.word == word
        assert first.phonemes != second.phonemes
        assert set(first.phonemes + second.phonemes) <= inventory
        if language == "cmn":  # not by tone alone
            untoned = [tuple(symbol.rstrip("12345") for symbol in r.phonemes) for r in (first, second)]
            assert untoned[0] != untoned[1]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("sense_rate", [0.0, 1.0])
def test_a_minimal_pair_differs_in_the_deciding_word_and_the_sense_alone(language, sense_rate):
    for first, second in pairs(language, sense_rate=sense_rate, count=200):
        one, two = first.homograph, second.homograph
        assert others(first) == others(second)
        assert first.words[one.index] == second.words[two.index]
        assert one.reading != two.reading
        assert one.partner == second.words
        assert two.partner == first.words
        assert bool(one.sense) == bool(two.sense) == bool(sense_rate)
        if not sense_rate:
            assert len(first.words) == len(second.words)
            differing = {i for i, (a, b) in enumerate(zip(first.words, second.words, strict=True)) if a != b}
            assert differing
            assert differing <= set(one.deciding)
            assert one.deciding == two.deciding


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_deciding_word_stands_one_to_eight_words_before(language):
    sentences = [sentence for pair in pairs(language) for sentence in pair]
    shortest, longest = LENGTHS[language]
    for sentence in sentences:
        mark = sentence.homograph
        assert mark.deciding[-1] < mark.index
        assert all(place > mark.index for place in mark.sense)
        assert shortest <= len(sentence.words) <= longest
    distances = Counter(sentence.homograph.distance for sentence in sentences)
    assert set(distances) == set(range(1, 9))
    assert max(distances.values()) < 0.4 * len(sentences)


@pytest.mark.parametrize("language", LANGUAGES)
def test_splits_share_words_but_no_combination(language):
    named = {split: {cell.name for group in cells(language, split) for cell in group} for split in SPLITS}
    assert not named["train"] & named["test"]
    assert not named["train"] & named["validation"]
    assert not named["validation"] & named["test"]
    for trained, tested in zip(cells(language, "train"), cells(language, "test"), strict=True):
        assert len(tested) >= 10
        # Every deciding word and every frame of a test combination occurs in training with another partner.
        assert {(c.group, c.pair) for c in tested} <= {(c.group, c.pair) for c in trained}
        assert {(c.group, c.frame) for c in tested} <= {(c.group, c.frame) for c in trained}
    test_texts = {sentence.text for pair in pairs(language, "test", 300) for sentence in pair}
    train_texts = {sentence.text for pair in pairs(language, "train", 3000) for sentence in pair}
    assert not test_texts & train_texts


def test_a_train_text_is_never_the_papers_sentence():
    paper = {sentence.text for sentence in paper_pair()}
    assert paper == {"我们一行人上周去贵州旅游", "我们银行人上周去贵州旅游"}
    for group in cells("cmn", "train"):
        for cell in group:
            assert (cell.entry.groups[cell.group].pairs[cell.pair], cell.frame) != (("一", "银"), 0)


def test_the_papers_sentence_is_read_xing_and_its_pair_hang():
    first, second = paper_pair()
    assert [s.readings[s.homograph.index] for s in (first, second)] == ["xing2", "hang2"]
    assert (first.kind, first.split, first.homograph.distance) == ("paper", "test", 1)
    assert first.homograph.partner == second.words


def test_the_same_generator_gives_the_same_pair():
    assert pairs("en", count=20) == pairs("en", count=20)


def test_unknown_languages_and_splits_are_refused():
    with pytest.raises(ValueError, match="unknown language 'fr'"):
        minimal_pair("fr", "train", random.Random(0))
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        minimal_pair("en", "dev", random.Random(0))
