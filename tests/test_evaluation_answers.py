"""Answers in batches are the answers alone; what is broken is counted and still spoken."""

import pytest
import torch
from speech import corpus, recorder, speech_model, system, tokenizer, true_answer

from labkit.evaluation.answers import SpeechSystem, read_answer
from labkit.generation import generate
from labkit.interleave import BOOST, MODES, TURBO, VANILLA
from labkit.vocabulary import Chat
from labkit.vocabulary.prompts import speech_recognition, text_to_speech

V = Chat(tokenizer()).vocabulary


def read(ids, mode=BOOST):
    return read_answer(ids, 0, mode, tokenizer(), V)


@pytest.mark.parametrize("spoken", [True, False])
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_batch_answers_as_each_prompt_alone(mode, spoken):
    model = speech_model(10)
    with torch.no_grad():  # so that some answers end early, others late, others never
        model.backbone.lm_head.weight[V.im_end] *= 2
    prompts = [(text_to_speech(corpus()[index].text), ()) for index in range(7)]
    prompts += [(speech_recognition(), [list(range(n))]) for n in (3, 30)]
    batched = system(model, batch=4, max_new_tokens=24).answer(prompts, mode, spoken=spoken, progress=False)
    alone = system(model, batch=1, max_new_tokens=24).answer(prompts, mode, spoken=spoken, progress=False)
    assert batched == alone
    assert len({answer.ended for answer in batched}) == 2, "some end, some do not"
    chat = Chat(tokenizer())
    for prompt, answer in zip(prompts[:3], batched, strict=False):
        ids = chat.encode(*prompt, add_generation_prompt=True).input_ids
        run = generate(model, ids, mode, max_new_tokens=24, vocabulary=V, constrained=spoken)
        run.ids()
        work = run.report.backbone_passes, run.report.module_steps
        assert work == (answer.backbone_passes, answer.module_steps)


@pytest.mark.parametrize("mode", [VANILLA, BOOST, TURBO])
def test_a_true_answer_is_read_as_what_it_is(mode):
    utterance = corpus()[0]
    answer = read(true_answer(utterance, mode), mode)
    assert answer.text == utterance.text
    assert answer.ended
    assert answer.well_formed
    assert answer.in_layout
    assert list(answer.codes) == recorder().encode(utterance.waveform, 16_000).tolist()


def test_another_modes_layout_is_well_formed_but_another():
    answer = read(true_answer(corpus()[0], VANILLA), TURBO)
    assert (answer.well_formed, answer.in_layout) == (True, False)


def test_an_answer_cut_short_never_ended_but_broke_nothing():
    answer = read(true_answer(corpus()[0], BOOST)[:-4])
    assert (answer.ended, answer.well_formed) == (False, True)
    assert answer.codes


@pytest.mark.parametrize(
    "ids",
    [
        [V.audio_id(3), V.im_end],  # audio outside the tags
        [V.begin_of_audio, 5, V.audio_id(3), V.end_of_audio, V.im_end],  # text inside
        [V.begin_of_audio, V.audio_id(3), V.im_end],  # never closed
        [V.begin_of_audio, V.begin_of_audio, V.audio_id(3), V.end_of_audio],
        [V.im_start, V.begin_of_audio, V.audio_id(3), V.end_of_audio],  # a tag that has no business here
        [V.begin_of_audio, V.audio_id(3), V.end_of_audio, V.size],  # a padding row of the embedding
    ],
)
def test_broken_formats_are_seen_and_their_audio_is_kept(ids):
    answer = read(ids)
    assert not answer.well_formed
    assert answer.codes == (3,)


def test_no_answer_at_all_is_an_answer():
    answer = read([V.im_end])
    assert (answer.text, answer.codes, answer.ended, answer.well_formed) == ("", (), True, True)


def test_parts_that_were_not_made_for_each_other_are_refused():
    codec, other = recorder(), type(recorder())()
    other.size = 7
    with pytest.raises(ValueError, match="another codec's tokens"):
        SpeechSystem(speech_model(0), tokenizer(), other)
    with pytest.raises(ValueError, match="beside the model"):
        SpeechSystem(speech_model(0, vocab_size=16), tokenizer(), codec)
    with pytest.raises(ValueError, match="batch must be at least 1"):
        system(batch=0)
