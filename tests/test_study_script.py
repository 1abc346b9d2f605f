"""Scripts say where everything stands, and continuations choose what they should and nothing else."""

import pytest
import torch
from speech import corpus, speech_model, system, true_answer

from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import BALANCE, BOOST, MODES, VANILLA, parse
from labkit.model.knockouts import Knockout
from labkit.model.selectors import tokens_at, tokens_marked
from labkit.study.continuation import go_on, go_on_each
from labkit.study.masking import all_but_own, all_text, making
from labkit.study.script import script
from labkit.vocabulary import Chat
from labkit.vocabulary.prompts import text_to_speech

PROBES = [utterance for language in ("en", "cmn") for pair in corpus().probes(language) for utterance in pair]
TWO = parse("1 2", content=[1, 10, 4, 10])


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("utterance", PROBES[::3], ids=lambda each: each.text)
def test_a_script_is_prompt_and_true_answer(name, utterance):
    spoken = system()
    told = script(spoken, utterance, MODES[name])
    prompt = Chat(spoken.tokenizer).encode(text_to_speech(utterance.text), add_generation_prompt=True)
    assert list(told.ids[: told.prompt]) == prompt.input_ids
    assert list(told.ids[told.prompt :]) == true_answer(utterance, MODES[name])


@pytest.mark.parametrize("utterance", PROBES, ids=lambda each: each.text)
def test_every_word_has_its_tokens_in_both_copies(utterance):
    spoken = system()
    told = script(spoken, utterance, BOOST)
    for copy in (told.asked, told.written):
        said = [spoken.tokenizer.decode([told.ids[place] for place in span]).strip() for span in copy]
        assert tuple(said) == utterance.sentence.words
        places = [place for span in copy for place in span]
        assert places == sorted(set(places))
    assert all(place < told.prompt for span in told.asked for place in span)
    assert all(place >= told.prompt for span in told.written for place in span)
    assert sorted(told.text) == sorted({*sum(told.asked, ()), *sum(told.written, ())})


def test_audio_tokens_sound_the_word_of_their_middle():
    for utterance in PROBES:
        told = script(system(), utterance, VANILLA)
        assert len(told.sounding) == len(told.audio) == -(-len(utterance.pcm) // 1280)
        for place, word in enumerate(told.sounding):
            middle = (place + 0.5) * 0.08
            if word is None:
                assert not any(each.start <= middle < each.end for each in utterance.words)
            else:
                assert utterance.words[word].start <= middle < utterance.words[word].end
        for word, times in enumerate(utterance.words):
            span = told.audio_of(word)
            assert span.start * 0.08 <= times.start < (span.start + 1) * 0.08
            assert len(span) == 1 or abs(span.stop * 0.08 - times.end) <= 0.04 + 1e-9


def test_other_words_may_be_read_while_the_audio_stays():
    utterance = PROBES[0]
    partner = corpus()[utterance.partner]
    own, other = (script(system(), utterance, BOOST, words=words) for words in (None, partner.sentence.words))
    sounds = [[told.ids[place] for place in told.audio] for told in (own, other)]
    assert sounds[0] == sounds[1]
    changed = [word for word, said in enumerate(own.words) if said != other.words[word]]
    assert tuple(changed) == utterance.homograph.deciding
    with pytest.raises(ValueError, match=r"the text 1: lead"):
        script(system(), utterance, BOOST, words=["lead"])


@pytest.fixture(scope="module")
def speaker() -> SpeechSystem:
    return system(speech_model(2), batch=3)


def spans_of(scripts):
    return [told.audio_of(told.utterance.homograph.index) for told in scripts]


@pytest.mark.parametrize("mode", [VANILLA, TWO], ids=["vanilla", "two modules"])
def test_a_batch_is_continued_as_each_alone(speaker, mode):
    scripts = [script(speaker, each, mode) for each in PROBES]
    spans = spans_of(scripts)
    together = go_on(speaker, scripts, spans, mode, keep_logits=True, progress=False)
    for told, span, made in zip(scripts, spans, together, strict=True):
        (alone,) = go_on(speaker, [told], [span], mode, keep_logits=True, progress=False)
        assert alone.codes == made.codes
        torch.testing.assert_close(alone.logits, made.logits, atol=1e-4, rtol=1e-4)
        assert len(made.codes) == len(span) == len(made.logits)


def test_vanilla_continues_as_one_whole_pass_would(speaker):
    """Choose token by token with no cache and no batch."""
    told = script(speaker, PROBES[1], VANILLA)
    (span,) = spans_of([told])
    ids = list(told.ids)
    with torch.no_grad():
        for place in span:
            hidden = speaker.model(torch.tensor([ids[: told.audio[place]]]), modules=0).stages[0]
            logits = speaker.model.head(hidden[0, -1])
            audio = logits[speaker.vocabulary.audio_offset : speaker.vocabulary.size]
            ids[told.audio[place]] = int(audio.argmax()) + speaker.vocabulary.audio_offset
    expected = speaker.vocabulary.audio_codes([ids[told.audio[place]] for place in span])
    (made,) = go_on(speaker, [told], [span], VANILLA, progress=False)
    assert list(made.codes) == list(expected)


def test_one_may_go_on_after_the_true_audio_ends(speaker):
    told = script(speaker, PROBES[0], VANILLA)
    (made,) = go_on(
        speaker, [told], [range(len(told.audio) - 2, len(told.audio) + 3)], VANILLA, progress=False
    )
    assert len(made.codes) == 5


def test_a_change_is_in_force_and_knows_its_rows(speaker):
    scripts = [script(speaker, each, VANILLA) for each in PROBES]
    spans, seen = spans_of(scripts), []

    def change(rows):
        seen.extend(rows)
        marks = torch.zeros(len(rows), 4096, dtype=torch.bool)
        hidden = marks.clone()
        for row, index in enumerate(rows):
            marks[row, [scripts[index].audio[place] - 1 for place in spans[index]]] = True
            hidden[row, list(scripts[index].text)] = True
        return speaker.model.knocked_out([Knockout(tokens_marked(marks), tokens_marked(hidden))])

    free = go_on(speaker, scripts, spans, VANILLA, keep_logits=True, progress=False)
    cut = go_on(speaker, scripts, spans, VANILLA, change=change, keep_logits=True, progress=False)
    assert sorted(seen) == list(range(len(scripts)))
    assert all(not torch.allclose(one.logits[0], two.logits[0]) for one, two in zip(free, cut, strict=True))


@pytest.mark.parametrize("mode", [VANILLA, TWO], ids=["vanilla", "two modules"])
def test_what_comes_before_is_read_once_for_several_changes_and_tells_none_of_another(speaker, mode):
    scripts = [script(speaker, each, mode) for each in PROBES]
    spans = spans_of(scripts)

    def hiding(words):
        def change(rows):
            rows_of = [making(scripts[row], mode, spans[row]) for row in rows]
            hidden = [words(scripts[row]) for row in rows]
            return speaker.model.knocked_out([Knockout(tokens_at(*rows_of), tokens_at(*hidden))])

        return change

    changes = [None, hiding(all_text), hiding(all_but_own), None]
    at_once = go_on_each(speaker, scripts, spans, mode, changes, progress=False)
    assert at_once[0] == at_once[3]
    assert at_once[0] != at_once[1]
    for change, together in zip(changes, at_once, strict=True):
        alone = go_on(speaker, scripts, spans, mode, change=change, progress=False)
        assert [each.codes for each in together] == [each.codes for each in alone]


def test_bad_spans_are_refused(speaker):
    told = script(speaker, PROBES[0], VANILLA)
    with pytest.raises(ValueError, match="give one for each"):
        go_on(speaker, [told], [], VANILLA)
    for span in (range(3, 3), range(len(told.audio), len(told.audio) + 1), range(-1, 2)):
        with pytest.raises(ValueError, match="is no span"):
            go_on(speaker, [told], [span], VANILLA)


def test_balance_needs_its_modules(speaker):
    told = script(speaker, PROBES[0], BALANCE)
    with pytest.raises(ValueError, match="modules"):
        go_on(speaker, [told], [range(0, 2)], BALANCE)
