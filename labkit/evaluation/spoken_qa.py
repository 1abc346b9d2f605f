"""Spoken question answering, as in the paper's Table 4: a spoken question in, an answer in text and speech out.

S -> T asks whether the text holds the fact. S -> S asks the same of the sound alone, and not the model but the judge
answers: which of all the facts that such an answer could hold was said? A true answer through the codec is the ceiling
of the second. The gap between the two is what is lost on the way from text to speech; the paper's is 9%.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from labkit.data.corpus import Corpus, Utterance
from labkit.data.espeak import SpokenWord, Synthesizer
from labkit.data.grammar import Relation, load_grammar
from labkit.data.phonemes import SILENCE
from labkit.evaluation.answers import Answer, SpeechSystem, answer_measures
from labkit.evaluation.asr import text_units
from labkit.evaluation.listener import Listener, choose, sounds
from labkit.evaluation.rates import edits
from labkit.interleave import InterleaveMode
from labkit.statistics import Estimate, clustered_proportion, ratio, relative
from labkit.vocabulary.prompts import speech_to_speech

RECOGNISABLE = 0.5
"""A verdict counts only if a smaller share of the chosen answer is wrong than this: noise, too, has a likeliest one."""

Question = tuple[Utterance, Utterance]
"""A question and its true answer."""


@dataclass(frozen=True)
class QuestionRow:
    """One question and what became of it.

    Attributes:
        question: its index in the corpus.
        fact: what the answer should hold.
        subject: the relation and what is asked about; questions that share it are answered together or not at all.
        right_text: whether the text holds the fact; None where no model was asked.
        chosen: the fact that the judge heard, None if no answer was recognisable.
        right_speech: whether that is the true one.
        phonemes: how many the true answer has.
        phoneme_errors: edits from what was heard.
        heard: the phonemes heard, with spaces between.
        answer: what the model made; None where none was asked.
    """

    question: int
    fact: str
    subject: str
    right_text: bool | None
    chosen: str | None
    right_speech: bool
    phonemes: int
    phoneme_errors: int
    heard: str
    answer: Answer | None = None


def held_out_questions(corpus: Corpus, language: str, count: int, split: str = "test") -> list[Question]:
    """The first `count` held-out questions of a language with their answers, or all if there are fewer.

    Raises:
        ValueError: there are none.
    """
    indices = corpus.indices(language=language, split=split, kind="question")[:count]
    if not indices:
        raise ValueError(
            f"the corpus has no {split} questions in {language}; make one with CorpusSpec({split}=200)"
        )
    questions = [corpus[index] for index in indices]
    return [(question, corpus[question.partner]) for question in questions]


def evaluate_spoken_qa(
    system: SpeechSystem,
    listener: Listener,
    questions: Sequence[Question],
    mode: InterleaveMode,
    *,
    progress: bool = True,
) -> list[QuestionRow]:
    """Ask the model spoken questions in a mode, read its text and listen to its speech."""
    prompts = [(speech_to_speech(), [system.heard(question)]) for question, _ in questions]
    given = system.answer(prompts, mode, progress=progress)
    spoken = zip(questions, given, strict=True)
    return [
        _judge(listener, pair, listener.speak(answer.codes), answer)
        for pair, answer in tqdm(spoken, "listening", len(given), unit="answer", disable=not progress)
    ]


def evaluate_true_answers(
    listener: Listener, questions: Sequence[Question], *, through_codec: bool, progress: bool = True
) -> list[QuestionRow]:
    """Listen to the true answers: as they are, or what the codec makes of their audio tokens."""
    sound = listener.again if through_codec else listener.original
    listened = tqdm(questions, "listening to the truth", unit="answer", disable=not progress)
    return [_judge(listener, pair, sound(pair[1])) for pair in listened]


def qa_measures(rows: Sequence[QuestionRow]) -> dict[str, Estimate]:
    """What rows of one language and mode add up to, each with its 95% interval.

    ``S -> S relative to S -> T`` is there where any text was right; the drop in percent is what it lacks to 1.
    """
    groups = [row.subject for row in rows]
    spoken = [row.right_speech for row in rows]
    written = [row.right_text for row in rows if row.right_text is not None]
    measures = {}
    if written:
        measures["S -> T accuracy"] = clustered_proportion(written, groups)
    measures["S -> S accuracy"] = clustered_proportion(spoken, groups)
    if any(written):
        measures["S -> S relative to S -> T"] = relative(spoken, written)
    measures["phoneme error rate of the answer"] = ratio(
        [row.phoneme_errors for row in rows], [row.phonemes for row in rows]
    )
    return measures | answer_measures([row.answer for row in rows if row.answer is not None], spoken=True)


def holds(text: str, fact: str, facts: Sequence[str], language: str) -> bool:
    """Whether a text holds a fact, after normalisation.

    Where facts hold one another (三 in 十三), the longest that stands at a place is the one that is meant there.
    """
    units = text_units(text, language)
    known = sorted((text_units(each, language) for each in facts), key=len, reverse=True)
    wanted, place = text_units(fact, language), 0
    while place < len(units):
        found = next((each for each in known if each and units[place : place + len(each)] == each), None)
        if found == wanted:
            return True
        place += len(found) if found else 1
    return False


def holds_answer(text: str, truth: Utterance) -> bool:
    """Whether a text holds the fact that a true answer states.

    Raises:
        ValueError: the utterance is no answer of the corpus.
    """
    return holds(text, truth.sentence.fact, facts_of(relation_of(truth)[0]), truth.language)


def asked_about(truth: Utterance) -> str:
    """The relation and the subject of a true answer, by which questions about one fact are grouped.

    Raises:
        ValueError: the utterance is no answer of the corpus.
    """
    relation, subject = relation_of(truth)
    return f"{relation.name}:{subject}"


def relation_of(answer: Utterance) -> tuple[Relation, str]:
    """The relation that a true answer states, and its subject.

    Raises:
        ValueError: the utterance is no answer of the corpus.
    """
    try:
        return _relations(answer.language)[answer.sentence.words]
    except KeyError:
        raise ValueError(f"{answer.text!r} is not an answer of the toy speech world") from None


@functools.cache
def _relations(language: str) -> dict[tuple[str, ...], tuple[Relation, str]]:
    grammar = load_grammar(language)
    return {
        tuple(word for word, _ in grammar.tokenize(relation.answer.format(x=subject, y=fact))): (
            relation,
            subject,
        )
        for relation in grammar.relations
        for subject, fact in relation.facts
    }


def facts_of(relation: Relation) -> tuple[str, ...]:
    """All different facts of a relation."""
    return tuple(dict.fromkeys(fact for _, fact in relation.facts))


def spoken_candidates(relation: Relation, subject: str, language: str) -> dict[str, tuple[str, ...]]:
    """For each fact of a relation, the phonemes of the answer that states it of the subject."""
    return {fact: _spoken(relation.answer.format(x=subject, y=fact), language) for fact in facts_of(relation)}


@functools.cache
def _spoken(text: str, language: str) -> tuple[str, ...]:
    words = [SpokenWord(*token) for token in load_grammar(language).tokenize(text)]
    said = Synthesizer(language).speak(words).phonemes
    return tuple(phoneme.symbol for phoneme in said if phoneme.symbol != SILENCE)


def _judge(
    listener: Listener, pair: Question, waveform: torch.Tensor | None, answer: Answer | None = None
) -> QuestionRow:
    question, truth = pair
    relation, subject = relation_of(truth)
    fact, language = truth.sentence.fact, truth.language
    candidates = spoken_candidates(relation, subject, language)
    heard, meant = listener.hear(waveform, language), sounds(truth)
    chosen = choose(heard, candidates)
    if chosen is not None and edits(candidates[chosen], heard.phonemes) >= RECOGNISABLE * len(
        candidates[chosen]
    ):
        chosen = None
    return QuestionRow(
        question.index,
        fact,
        asked_about(truth),
        holds_answer(answer.text, truth) if answer else None,
        chosen,
        chosen == fact,
        len(meant),
        edits(meant, heard.phonemes),
        " ".join(heard.phonemes),
        answer,
    )
