"""Spoken answers are scored twice: by their text, and by what somebody else hears in their sound."""

from types import SimpleNamespace

import pytest
from speech import corpus, listener, recorder, speech_model, system, tokenizer, told, true_answer

from labkit.data.grammar import load_grammar
from labkit.evaluation.listener import sounds
from labkit.evaluation.rates import edits
from labkit.evaluation.spoken_qa import (
    evaluate_spoken_qa,
    evaluate_true_answers,
    facts_of,
    held_out_questions,
    holds,
    qa_measures,
    relation_of,
    spoken_candidates,
)
from labkit.evaluation.written_qa import written_accuracy
from labkit.interleave import BOOST, VANILLA
from labkit.vocabulary import Chat
from labkit.vocabulary.prompts import speech_to_speech, text_only

V = Chat(tokenizer()).vocabulary


@pytest.fixture(scope="module")
def questions():
    return [*held_out_questions(corpus(), "en", 4), *held_out_questions(corpus(), "cmn", 4)]


def reply(monkeypatch, questions, answer, mode=BOOST):
    """Rows of a model that answers `answer(true answer, mode)`."""
    prompts = [(speech_to_speech(), [recorder().encode(q.waveform, 16_000).tolist()]) for q, _ in questions]
    script = [(p, lambda mode, a=a: answer(a, mode)) for p, (_, a) in zip(prompts, questions, strict=True)]
    told(monkeypatch, script)
    return evaluate_spoken_qa(system(), listener(), questions, mode, progress=False)


def only_audio(ids):
    return [token for token in ids if not V.is_text(token)]


def only_text(ids):
    return [token for token in ids if V.is_text(token) or token == V.im_end]


def test_true_answers_are_all_right_and_so_is_their_ceiling(monkeypatch, questions):
    rows = reply(monkeypatch, questions, true_answer)
    ceiling = evaluate_true_answers(listener(), questions, through_codec=True, progress=False)
    assert [row.chosen for row in rows] == [row.chosen for row in ceiling] == [row.fact for row in rows]
    measures = qa_measures(rows)
    assert measures["S -> T accuracy"].value == measures["S -> S accuracy"].value == 1
    assert measures["S -> S relative to S -> T"][:3] == (1, 1, 1)
    assert [row.answer.text for row in rows] == [answer.text for _, answer in questions]
    assert "S -> T accuracy" not in qa_measures(ceiling), "nobody wrote anything"


def test_the_verdict_on_speech_is_not_the_texts(monkeypatch, questions):
    measures = qa_measures(reply(monkeypatch, questions, lambda a, mode: only_audio(true_answer(a, mode))))
    assert (measures["S -> T accuracy"].value, measures["S -> S accuracy"].value) == (0, 1)
    measures = qa_measures(reply(monkeypatch, questions, lambda a, mode: only_text(true_answer(a, mode))))
    assert (measures["S -> T accuracy"].value, measures["S -> S accuracy"].value) == (1, 0)
    assert measures["S -> S relative to S -> T"].value == 0


def test_the_answer_to_another_question_is_wrong_twice(monkeypatch, questions):
    # The neighbour's answer states another relation or another fact.
    others = {a.index: questions[i - 1][1] for i, (_, a) in enumerate(questions)}
    rows = reply(monkeypatch, questions, lambda a, mode: true_answer(others[a.index], mode), VANILLA)
    assert not any(row.right_text or row.right_speech for row in rows)


def test_the_same_questions_in_writing_need_no_ears(monkeypatch, questions):
    answers = [answer for _, answer in questions]
    wrong = [*answers[:-1], answers[0]]  # an English answer to the last question, which is Mandarin
    for given, share in ((answers, 1), (wrong, 1 - 1 / len(questions))):
        script = [
            ((text_only(question.text), []), lambda mode, said=said: only_text(true_answer(said, mode)))
            for (question, _), said in zip(questions, given, strict=True)
        ]
        told(monkeypatch, script)
        found = written_accuracy(system(), questions, progress=False)
        assert found.value == pytest.approx(share)
        assert found.n == len(questions)


def test_silence_gets_no_verdict(monkeypatch, questions):
    silence = [V.begin_of_audio, *map(V.audio_id, range(4000, 4030)), V.end_of_audio, V.im_end]
    rows = reply(monkeypatch, questions, lambda a, mode: silence)
    assert {row.chosen for row in rows} == {None}


def test_the_true_answer_sounds_as_its_candidate(questions):
    for _, answer in questions:
        relation, subject = relation_of(answer)
        candidates = spoken_candidates(relation, subject, answer.language)
        # But for how words link across the pauses that the corpus makes.
        assert edits(sounds(answer), candidates[answer.sentence.fact]) <= 2


@pytest.mark.parametrize("language", ["en", "cmn"])
def test_no_two_facts_of_a_relation_sound_alike(language):
    for relation in load_grammar(language).relations:
        candidates = spoken_candidates(relation, relation.facts[0][0], language)
        assert list(candidates) == list(facts_of(relation))
        assert len(set(candidates.values())) == len(candidates) > 1


@pytest.mark.parametrize(
    ("text", "fact", "language", "expected"),
    [
        ("The capital of France is Paris.", "paris", "en", True),
        ("the capital of france is parish", "paris", "en", False),
        ("six plus ten is sixteen", "six", "en", True),  # as the subject: no sum is one of its own parts
        ("eight plus eight is sixteen", "six", "en", False),
        ("一加二等于三", "三", "cmn", True),
        ("九加四等于十三", "三", "cmn", False),
        ("九加四等于十三", "十三", "cmn", True),
        ("", "三", "cmn", False),
    ],
)
def test_what_a_text_holds(text, fact, language, expected):
    facts = {"en": ("six", "sixteen", "paris"), "cmn": ("三", "十", "十三")}[language]
    assert holds(text, fact, facts, language) is expected


def test_a_real_model_goes_all_the_way(questions):
    own = system(speech_model(3), max_new_tokens=24)
    rows = evaluate_spoken_qa(own, listener(), questions, VANILLA, progress=False)
    assert qa_measures(rows)["S -> S accuracy"].value < 0.5


def test_what_is_no_question_or_answer_is_refused(questions):
    with pytest.raises(ValueError, match="is not an answer"):
        relation_of(questions[0][0])
    empty = SimpleNamespace(indices=lambda **_: [])
    with pytest.raises(ValueError, match="no test questions in en"):
        held_out_questions(empty, "en", 3)
