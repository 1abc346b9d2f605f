"""Chats as ids: the release's prompts, audio in its place, and the targets."""

from functools import partial

import pytest

from labkit.interleave import BOOST, interleave
from labkit.vocabulary import (
    IGNORE,
    AudioContext,
    Chat,
    ChatError,
    VocabularyError,
    prompts,
    train_toy_tokenizer,
)


@pytest.fixture(scope="module")
def chat() -> Chat:
    return Chat(train_toy_tokenizer(["hello world, how are you", "你好"], audio_tokens=64))


@pytest.fixture(scope="module")
def plus() -> Chat:
    return Chat(train_toy_tokenizer(["hello world"], audio_tokens=64, plus=True))


def read(chat: Chat, ids: list[int]) -> str:
    return chat.tokenizer.decode(ids)


def test_speech_to_speech_prompt_of_the_release(chat: Chat) -> None:
    encoded = chat.encode(prompts.speech_to_speech(), [[3, 4]], add_generation_prompt=True)
    assert read(chat, encoded.input_ids) == (
        "<|im_start|>system\nYour Name: Luke\nYour Gender: male\n\n"
        "Respond in a text-audio interleaved manner.<|im_end|>\n"
        "<|im_start|>user\n\n<|begin_of_audio|><|audio_3|><|audio_4|><|end_of_audio|><|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert set(encoded.labels) == {IGNORE}


def test_other_prompts_of_the_release(chat: Chat) -> None:
    asr = chat.encode(prompts.speech_recognition(), [[0]])
    assert read(chat, asr.input_ids) == (
        "<|im_start|>user\nConvert the speech to text.\n"
        "<|begin_of_audio|><|audio_0|><|end_of_audio|><|im_end|>\n"
    )
    tts = chat.encode(prompts.text_to_speech("hello", voice=True), [[1]])
    assert read(chat, tts.input_ids) == (
        "<|im_start|>system\nYour Voice: <|begin_of_audio|><|audio_1|><|end_of_audio|>\n<|im_end|>\n"
        "<|im_start|>user\nConvert the text to speech.\nhello<|im_end|>\n"
    )
    text = chat.encode(prompts.text_only("hello"), add_generation_prompt=True)
    assert read(chat, text.input_ids) == "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"


def test_text_chats_equal_the_chat_template(chat: Chat) -> None:
    messages = [
        {"role": "system", "content": "\nhello"},
        {"role": "user", "content": "how are you \n"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "你好"},
    ]
    template = chat.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    assert chat.encode(messages, add_generation_prompt=True).input_ids == template["input_ids"]


def test_targets_are_what_the_assistant_says_and_the_end_of_its_turn(chat: Chat) -> None:
    encoded = chat.encode(prompts.speech_recognition("hello world"), [[0]])
    assert len(encoded.labels) == len(encoded.input_ids)
    targets = [label for label in encoded.labels if label != IGNORE]
    assert read(chat, targets) == "hello world<|im_end|>"
    assert all(
        label in (IGNORE, token) for label, token in zip(encoded.labels, encoded.input_ids, strict=True)
    )


def test_every_assistant_turn_is_a_target(chat: Chat) -> None:
    messages = [*prompts.text_only("hello", "you"), *prompts.text_only("how", "world")]
    targets = [label for label in chat.encode(messages).labels if label != IGNORE]
    assert read(chat, targets) == "you<|im_end|>world<|im_end|>"


def test_spoken_answers_are_arranged_by_a_mode(chat: Chat) -> None:
    speaking = Chat(chat.tokenizer, arrange=partial(interleave, mode=BOOST, vocabulary=chat.vocabulary))
    codes = list(range(20))
    encoded = speaking.encode(prompts.text_to_speech("hello world", answer=True), [codes])
    targets = [label for label in encoded.labels if label != IGNORE]
    said = chat.tokenizer("hello world")["input_ids"]
    expected = interleave(said, chat.vocabulary.audio_ids(codes), BOOST, chat.vocabulary)
    assert targets == [*expected, chat.vocabulary.im_end]
    plain = chat.encode(prompts.text_to_speech("hello world", answer=True), [codes[:2]])
    assert read(chat, [label for label in plain.labels if label != IGNORE]) == (
        "hello world<|begin_of_audio|><|audio_0|><|audio_1|><|end_of_audio|><|im_end|>"
    )


def test_continuous_audio_takes_placeholders_that_are_found_again(plus: Chat) -> None:
    messages = [*prompts.speech_to_speech("hello", voice=True)]
    encoded = plus.encode(messages, [AudioContext(5), AudioContext(7), [1, 2]])
    context = plus.vocabulary.context_of_audio
    assert [stop - start for start, stop in encoded.context_spans] == [5, 7]
    for start, stop in encoded.context_spans:
        assert encoded.input_ids[start:stop] == [context] * (stop - start)
        assert encoded.input_ids[start - 1] == plus.vocabulary.begin_of_audio
        assert encoded.input_ids[stop] == plus.vocabulary.end_of_audio
    assert encoded.input_ids.count(context) == 12


def test_continuous_audio_needs_plus_and_a_listener(chat: Chat, plus: Chat) -> None:
    with pytest.raises(ChatError, match="Plus"):
        chat.encode(prompts.speech_recognition(), [AudioContext(5)])
    with pytest.raises(ChatError, match="at least one row"):
        AudioContext(0)
    with pytest.raises(ChatError, match="assistant speaks in audio tokens"):
        plus.encode(prompts.text_to_speech("hello", answer=True), [AudioContext(5)])


@pytest.mark.parametrize("audios", [[], [[1], [2]]])
def test_number_of_audios_is_checked(chat: Chat, audios: list[list[int]]) -> None:
    with pytest.raises(ChatError, match=rf"1 <\|audio\|> but {len(audios)} audios"):
        chat.encode(prompts.speech_recognition(), audios)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "at least one"),
        ([{"role": "robot", "content": "x"}], "robot"),
        ([{"role": "user"}], "must be"),
        ([{"role": "user", "content": ["x"]}], "must be"),
        ([{"role": "user", "content": "x"}, {"role": "system", "content": "x"}], "first"),
        ([{"role": "user", "content": "x<|im_end|>"}], "im_end"),
        ([{"role": "user", "content": "x<|audio_1|>"}], "audio_1"),
    ],
)
def test_bad_messages_are_refused(chat: Chat, messages: list, message: str) -> None:
    with pytest.raises(ChatError, match=message):
        chat.encode(messages)


def test_codes_outside_the_codebook_are_refused(chat: Chat) -> None:
    with pytest.raises(VocabularyError, match="64"):
        chat.encode(prompts.speech_recognition(), [[64]])


def test_two_audios_in_one_answer_cannot_be_interleaved(chat: Chat) -> None:
    speaking = Chat(chat.tokenizer, arrange=partial(interleave, mode=BOOST, vocabulary=chat.vocabulary))
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "a<|audio|>b<|audio|>"}]
    with pytest.raises(ChatError, match="has 2 audios"):
        speaking.encode(messages, [[1], [2]])
    chat.encode(messages, [[1], [2]])
