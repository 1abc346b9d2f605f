"""Text to speech is scored as it should: the truth reaches the ceiling exactly, and what is spoilt falls below it."""

import pytest
from speech import corpus, listener, speech_model, system, tokenizer, told, true_answer

from labkit.evaluation.codec import held_out
from labkit.evaluation.tts import evaluate_originals, evaluate_tts, tts_measures
from labkit.interleave import BALANCE, BOOST, TURBO, VANILLA, ScheduleError
from labkit.vocabulary import Chat
from labkit.vocabulary.prompts import text_to_speech

V = Chat(tokenizer()).vocabulary


@pytest.fixture(scope="module")
def pairs():
    return [*held_out(corpus(), "en", 8), *held_out(corpus(), "cmn", 8)]


@pytest.fixture(scope="module")
def ceiling(pairs):
    return evaluate_originals(listener(), pairs, through_codec=True, progress=False)


def say(monkeypatch, pairs, mode, spoil=lambda ids, index: ids):
    """Rows of a model that answers with the truth, spoilt."""

    def script(index):
        return lambda mode: spoil(true_answer(pairs[index][0], mode), index)

    prompts = [(text_to_speech(utterance.text), ()) for utterance, _ in pairs]
    told(monkeypatch, [(prompt, script(index)) for index, prompt in enumerate(prompts)])
    return evaluate_tts(system(), listener(), pairs, mode, progress=False)


@pytest.mark.parametrize("mode", [VANILLA, BOOST, BALANCE, TURBO], ids=lambda mode: mode.name)
def test_the_truth_reaches_the_ceiling_exactly(monkeypatch, pairs, ceiling, mode):
    rows = say(monkeypatch, pairs, mode)
    assert [(row.phoneme_errors, row.heard) for row in rows] == [
        (row.phoneme_errors, row.heard) for row in ceiling
    ]
    measures = tts_measures(rows, {"codec": ceiling})
    assert measures["phoneme error rate, minus codec's"][:3] == (0, 0, 0)
    assert measures["phoneme error rate"].value < 0.05
    assert measures["homograph reading accuracy"].value == 1
    assert measures["never ended"].value == measures["broke the format"].value == 0
    assert measures["text as given"].value == measures["layout as the mode's"].value == 1
    total = sum(len(true_answer(utterance, mode)) for utterance, _ in pairs) / len(pairs)
    passes, steps = measures["backbone passes per answer"], measures["module steps per answer"]
    assert passes.value + steps.value == pytest.approx(total)
    work = [mode.passes(len(true_answer(utterance, mode))) for utterance, _ in pairs]
    assert passes.value == pytest.approx(sum(each.backbone for each in work) / len(work))


def test_the_originals_are_what_a_codec_that_loses_nothing_gives_back(pairs, ceiling):
    originals = evaluate_originals(listener(), pairs, through_codec=False, progress=False)
    assert [row.right_reading for row in originals] == [row.right_reading for row in ceiling]
    errors = sum(row.phoneme_errors for row in originals), sum(row.phoneme_errors for row in ceiling)
    assert errors[1] == pytest.approx(errors[0], abs=2)  # a token of silence more at the end


def test_the_other_reading_is_heard_as_the_other(monkeypatch, pairs):
    probes = [pair for pair in pairs if pair[1] is not None]
    swapped = [true_answer(partner, VANILLA) for _, partner in probes]
    rows = say(monkeypatch, probes, VANILLA, lambda ids, index: swapped[index])
    assert not any(row.right_reading for row in rows)
    measures = tts_measures(rows)
    assert measures["homograph reading accuracy"].value == 0
    assert measures["text as given"].value == 0, "the deciding word is another one"


def test_spoilt_speech_is_heard_worse(monkeypatch, pairs, ceiling):
    def halved(ids, index):
        audio = [place for place, token in enumerate(ids) if V.is_audio(token)]
        return [token for place, token in enumerate(ids) if place not in set(audio[::2])]

    measures = tts_measures(say(monkeypatch, pairs, BOOST, halved), {"codec": ceiling})
    assert measures["phoneme error rate, minus codec's"].low > 0.2
    assert measures["broke the format"].value == 0


def test_what_never_ends_or_breaks_the_format_is_counted_and_spoken(monkeypatch, pairs, ceiling):
    def spoil(ids, index):
        if index % 4 == 0:
            return ids[:-1] + [V.begin_of_audio, V.audio_id(0), V.end_of_audio] * 100
        if index % 4 == 1:
            return [token for token in ids if token != V.end_of_audio]
        return [] if index % 4 == 2 else ids

    rows = say(monkeypatch, pairs, TURBO, spoil)
    measures = tts_measures(rows, {"codec": ceiling})
    assert len(rows) == len(pairs), "nothing is dropped"
    assert measures["never ended"].value == 0.5
    assert measures["broke the format"].value == 0.25
    for row, best in list(zip(rows, ceiling, strict=True))[1::4]:
        assert row.heard == best.heard, "audio is heard wherever it stood"
    for row in rows[2::4]:
        assert (row.heard, row.phoneme_errors) == ("", row.phonemes)
        assert not row.right_reading, "saying nothing is no reading"


def test_a_real_model_goes_all_the_way(pairs):
    own = system(speech_model(3), max_new_tokens=24)
    rows = evaluate_tts(own, listener(), pairs[:3], VANILLA, progress=False)
    measures = tts_measures(rows)
    assert measures["phoneme error rate"].value > 0.5
    assert measures["never ended"].n == 3
    with pytest.raises(ScheduleError, match="needs 10 MCTP modules"):
        evaluate_tts(own, listener(), pairs[:3], TURBO, progress=False)


def test_a_ceiling_of_other_sentences_is_refused(ceiling):
    with pytest.raises(ValueError, match="same utterances"):
        tts_measures(ceiling, {"codec": ceiling[::-1]})
