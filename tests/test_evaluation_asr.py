"""Speech recognition is scored by what was written, normalized as the benchmarks do."""

import pytest
from speech import corpus, recorder, speech_model, system, tokenizer, told

from labkit.evaluation.asr import asr_measures, evaluate_asr, text_units
from labkit.evaluation.codec import held_out
from labkit.interleave import TURBO, VANILLA
from labkit.vocabulary import Chat
from labkit.vocabulary.prompts import speech_recognition

V = Chat(tokenizer()).vocabulary


def written(text):
    return [*tokenizer()(text, add_special_tokens=False)["input_ids"], V.im_end]


@pytest.fixture(params=["en", "cmn"])
def utterances(request):
    return [utterance for utterance, _ in held_out(corpus(), request.param, 8)]


def write(monkeypatch, utterances, answer, mode=VANILLA):
    """Measures of a model that answers `answer(utterance)`."""
    prompts = [(speech_recognition(), [recorder().encode(u.waveform, 16_000).tolist()]) for u in utterances]
    script = [(p, lambda mode, u=u: answer(u)) for p, u in zip(prompts, utterances, strict=True)]
    told(monkeypatch, script)
    rows = evaluate_asr(system(), utterances, mode, progress=False)
    assert len(rows) == len(utterances)
    return asr_measures(rows, utterances[0].language)


def test_the_truth_has_no_errors(monkeypatch, utterances):
    measures = write(monkeypatch, utterances, lambda u: written(f" {u.text.upper()}."), TURBO)
    name = "word error rate" if utterances[0].language == "en" else "character error rate"
    assert measures[name][:3] == (0, 0, 0)
    assert {f"{name}, homograph", f"{name}, plain"} <= measures.keys()
    assert measures["never ended"].value == measures["broke the format"].value == 0
    assert measures["backbone passes per answer"].value < measures["module steps per answer"].value


def test_a_lost_unit_is_an_error_each(monkeypatch, utterances):
    last = {"en": lambda text: text.rpartition(" ")[0], "cmn": lambda text: text[:-1]}[utterances[0].language]
    rate = next(iter(write(monkeypatch, utterances, lambda u: written(last(u.text))).values()))
    assert rate.value == pytest.approx(
        len(utterances) / sum(len(text_units(u.text, u.language)) for u in utterances)
    )


def test_silence_and_speech_in_place_of_text_are_counted(monkeypatch, utterances):
    spoken = [V.begin_of_audio, V.audio_id(1), V.end_of_audio]
    measures = write(monkeypatch, utterances, lambda u: spoken)
    assert next(iter(measures.values())).value == 1
    assert measures["never ended"].value == measures["broke the format"].value == 1


def test_a_real_model_goes_all_the_way(utterances):
    rows = evaluate_asr(system(speech_model(0), max_new_tokens=8), utterances, VANILLA, progress=False)
    assert next(iter(asr_measures(rows, utterances[0].language).values())).value > 0.5


@pytest.mark.parametrize(
    ("text", "language", "units"),
    [
        ("Don't, please!", "en", ["do", "not", "please"]),
        ("six boxes", "en", ["6", "boxes"]),
        ("他很 高兴。", "cmn", ["他", "很", "高", "兴"]),
        ("我爱iPhone 15！", "cmn", ["我", "爱", "iphone", "15"]),
        ("", "en", []),
    ],
)
def test_units_of_a_text(text, language, units):
    assert text_units(text, language) == units


def test_british_spellings_count_as_american_where_they_are_known():
    assert text_units("colour", "en", {"colour": "color"}) == ["color"]
    assert text_units("colour", "en") == ["colour"]
