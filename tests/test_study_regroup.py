"""Words that share a token are taken for one, and everything that points at them moves along."""

import pytest
from releases import assistant
from speech import corpus, listener, tokenizer

from labkit.data.corpus import Utterance
from labkit.evaluation.answers import SpeechSystem
from labkit.evaluation.listener import Listener
from labkit.generation.tiny_release import text_tokenizer
from labkit.interleave import BOOST
from labkit.study.masking import FULL, NONE, OWN, mask_homographs
from labkit.study.regroup import as_tokenized
from labkit.study.script import script
from labkit.study.verdict import window


def paper() -> tuple[Utterance, Utterance]:
    first = corpus().indices(language="cmn", split="test", kind="paper")[0]
    return corpus()[first], corpus()[first + 1]


def test_a_tokenizer_that_keeps_words_apart_changes_nothing() -> None:
    for utterance in paper():
        assert as_tokenized(utterance, tokenizer()) is utterance


def test_the_papers_token_is_a_word() -> None:
    first, second = (as_tokenized(each, text_tokenizer()) for each in paper())
    assert "一行" in first.sentence.words
    assert "银行" in second.sentence.words
    place = first.homograph.index
    assert first.sentence.words[place] == "一行"
    assert first.homograph.deciding == ()
    assert first.homograph.partner == second.sentence.words
    assert first.text == paper()[0].text


def test_times_and_phonemes_move_along() -> None:
    plain, _ = paper()
    joined = as_tokenized(plain, text_tokenizer())
    place = joined.homograph.index
    at = plain.sentence.words.index("一")
    assert (joined.words[place].start, joined.words[place].end) == (
        plain.words[at].start,
        plain.words[at + 1].end,
    )
    said = [each.symbol for each in plain.phonemes if each.word in (at, at + 1)]
    assert [each.symbol for each in joined.phonemes if each.word == place] == said
    assert [each.symbol for each in joined.phonemes] == [each.symbol for each in plain.phonemes]
    assert {each.word for each in joined.phonemes} - {-1} == set(range(len(joined.words)))


def test_english_words_stay_apart() -> None:
    utterance = corpus().probes("en")[0][0]
    assert as_tokenized(utterance, text_tokenizer()).sentence.words == utterance.sentence.words


@pytest.mark.parametrize("plus", [False, True], ids=["boost", "plus"])
def test_a_release_is_masked_on_the_papers_own_sentence(plus: bool) -> None:
    """The machinery from end to end on tiny random networks; what they say means nothing."""
    helper = assistant(plus)
    system = SpeechSystem(helper.model, helper.tokenizer, helper.codec)
    pair = tuple(as_tokenized(each, helper.tokenizer) for each in paper())
    laid_out = script(system, pair[0], BOOST)
    assert [len(span) for span in laid_out.written][pair[0].homograph.index] == 1
    assert window(laid_out, pair[1]).readings.keys() == {each.homograph.reading for each in pair}
    judged = Listener(helper.codec, listener().judge, steps=1)
    rows = mask_homographs(system, judged, [pair], BOOST, (FULL, OWN, NONE), progress=False)
    assert [row.condition for row in rows] == [FULL.name, OWN.name, NONE.name]
    assert all(row.homograph == "一行" for row in rows)
