"""A take tells every token with the time the model needed, and every piece of sound as soon as it can be heard."""

import time

import pytest
import torch
from speech import speech_model, system
from talkative import talkative

from labkit.generation import Sampler, generate
from labkit.interleave import BALANCE, BOOST, TURBO, VANILLA, Content, ScheduleError
from labkit.study import take as takes
from labkit.study.take import FIRST_CHUNK, Mark, Sound, Take
from labkit.vocabulary import Chat
from labkit.vocabulary.prompts import text_to_speech

TEXT = "the bass is cold"


def said(mode=BOOST, **options) -> Take:
    take = Take(talkative(), TEXT, mode, **{"euler_steps": 1, **options})
    for _ in take:
        pass
    return take


def test_its_tokens_are_those_of_the_generation():
    speaker = talkative()
    prompt = Chat(speaker.tokenizer).encode(text_to_speech(TEXT), add_generation_prompt=True).input_ids
    events = generate(
        speaker.model,
        prompt,
        BOOST,
        max_new_tokens=speaker.max_new_tokens,
        vocabulary=speaker.vocabulary,
        constrained=True,
    )
    expected = [(event.id, event.modality, event.module) for event in events]
    assert [(mark.id, mark.content, mark.module) for mark in said().marks] == expected


def test_all_audio_is_decoded_as_a_stream_would():
    take, speaker = said(euler_steps=(1, 2)), talkative()
    codes = [speaker.vocabulary.audio_code(mark.id) for mark in take.marks if mark.content is Content.AUDIO]
    stream = speaker.codec.stream((1, 2))
    pieces = [stream.push(codes[i : i + FIRST_CHUNK]) for i in range(0, len(codes), FIRST_CHUNK)]
    torch.testing.assert_close(take.waveform, torch.cat([*pieces, stream.finish()]))
    assert len(take.waveform) == take.audio_tokens * take.sample_rate / take.token_rate


def test_nothing_happens_before_it_is_asked_for():
    take = Take(talkative(), TEXT, BOOST)
    assert (take.marks, take.sounds, take.seconds, take.first_sound) == ([], [], 0.0, None)
    assert take.tokens_per_second is None
    assert isinstance(next(iter(take)), Mark)


def test_the_clock_stands_still_while_one_looks():
    take = Take(talkative(), TEXT, VANILLA)
    begun = time.perf_counter()
    for _ in zip(range(8), take, strict=False):
        time.sleep(0.05)
    assert take.seconds < time.perf_counter() - begun - 0.35


def test_the_codecs_time_is_told_apart(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(takes.time, "perf_counter", lambda: float(next(clock)))
    take = Take(talkative(), TEXT, TURBO)
    pieces = list(take)
    first = next(place for place, piece in enumerate(pieces) if isinstance(piece, Sound))
    tokens = [piece for piece in pieces[:first] if isinstance(piece, Mark)]
    assert take.first_sound == take.sounds[0].tokens_at + take.sounds[0].decoding
    assert take.sounds[0].tokens_at == tokens[-1].seconds


@pytest.mark.parametrize(("mode", "passes"), [(TURBO, 1), (BOOST, 1), (BALANCE, 4), (VANILLA, 15)])
def test_the_first_chunk_comes_after_as_many_passes_as_the_schedule_says(mode, passes):
    counted, backbone = 0, 0
    for slot in mode.slots():
        backbone += slot.module is None
        counted += slot.content is Content.AUDIO
        if counted == FIRST_CHUNK:
            break
    assert backbone == passes
    take = said(mode)
    laid_out = [mark.content for mark in take.marks[:16]] == [slot.content for slot in mode.slots(16)]
    assert take.first_audio_passes == passes or not laid_out


def test_sampling_follows_its_seed():
    def ids(seed: int) -> list[int]:
        choose = Sampler(torch.Generator().manual_seed(seed), 1.0)
        return [mark.id for mark in said(choose=choose).marks]

    assert ids(1) == ids(1) != ids(2)


def test_an_answer_that_ends_at_once_has_no_sound():
    take = Take(talkative(), TEXT, BOOST)
    end = talkative().vocabulary.im_end
    take.marks.append(Mark(end, Content.TEXT, None, 0.1, ""))
    assert take.ended
    assert (take.text_tokens, take.audio_tokens, len(take.waveform), take.first_audio) == (0, 0, 0, None)


def test_what_cannot_be_said_is_refused():
    with pytest.raises(ValueError, match="type a sentence"):
        Take(talkative(), "  ", BOOST)
    with pytest.raises(ScheduleError, match="needs 10 MCTP modules"):
        Take(system(speech_model(0)), TEXT, BOOST)
