"""Tokenizers: the toy's own byte-level BPE, and a Qwen2.5 tokenizer extended as in the release."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerFast

from labkit.vocabulary import (
    Vocabulary,
    VocabularyError,
    extend_tokenizer,
    load_tokenizer,
    released_vocabulary,
    train_toy_tokenizer,
)
from labkit.vocabulary.layout import QWEN2_SPECIALS, released_specials

TEXTS = [
    "I read a book yesterday, and I don't read the lead story.",
    "The wind winds round the house.",
    "我们一行人上周去贵州旅游。",
    "银行在路的那一边,他很长时间没长大。",
]


@pytest.fixture(scope="module")
def toy() -> PreTrainedTokenizerFast:
    return train_toy_tokenizer(TEXTS, audio_tokens=512)


def tokens(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return [tokenizer.decode([i]) for i in tokenizer(text)["input_ids"]]


def test_words_of_the_corpus_are_whole(toy: PreTrainedTokenizerFast) -> None:
    assert tokens(toy, "I read the lead story.") == ["I", " read", " the", " lead", " story", "."]
    assert tokens(toy, "I don't wind") == ["I", " don't", " wind"]


def test_prompts_are_short(toy: PreTrainedTokenizerFast) -> None:
    assert tokens(toy, "Convert the speech to text.\n") == [
        *["Convert", " the", " speech", " to", " text"],
        ".",
        "\n",
    ]


def test_chinese_characters_stand_alone(toy: PreTrainedTokenizerFast) -> None:
    assert tokens(toy, "我们一行人,银行") == list("我们一行人,银行")
    ids = toy("一行 银行")["input_ids"]
    assert ids[1] == ids[-1], "a homograph is the same token wherever it stands"


@given(st.text())
def test_any_text_round_trips(toy: PreTrainedTokenizerFast, text: str) -> None:
    ids = toy(text)["input_ids"]
    assert toy.decode(ids) == text
    assert all(0 <= i < len(toy) for i in ids)


@pytest.mark.parametrize(
    "text", ["", " ", "\r\n\t", "e\u0301 é", "🎉👨‍👩‍👧", "<|audio_3|><|im_end|>", "a  b \n c"]
)
def test_awkward_text_round_trips(toy: PreTrainedTokenizerFast, text: str) -> None:
    assert toy.decode(toy(text)["input_ids"]) == text


def test_layout_of_the_toy(toy: PreTrainedTokenizerFast) -> None:
    vocabulary = Vocabulary.from_tokenizer(toy)
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *released_specials()]
    assert list(vocabulary.specials) == names
    assert vocabulary == Vocabulary.of(vocabulary.text_size, names, 512)
    assert toy.convert_tokens_to_ids("<|audio_7|>") == vocabulary.audio_id(7)
    assert len(toy) == vocabulary.size
    assert vocabulary.padded_size % 8 == 0
    assert 0 <= vocabulary.padded_size - vocabulary.size < 8
    assert toy.eos_token_id == vocabulary.im_end


def test_training_is_deterministic_and_bounded() -> None:
    first, second = (train_toy_tokenizer(TEXTS, 8, vocab_size=300) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    assert Vocabulary.from_tokenizer(first).text_size == 300


def test_training_refuses_what_cannot_work() -> None:
    with pytest.raises(VocabularyError, match="at least 256"):
        train_toy_tokenizer(TEXTS, vocab_size=255)
    with pytest.raises(VocabularyError, match="no text"):
        train_toy_tokenizer([])


def test_saving_and_loading_keeps_every_id(toy: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    toy.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.get_vocab() == toy.get_vocab()
    assert loaded("一行 read <|audio_5|>")["input_ids"] == toy("一行 read <|audio_5|>")["input_ids"]
    assert loaded.chat_template == toy.chat_template


def test_loading_from_nowhere_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.fixture
def tiny_qwen(tmp_path: Path) -> Path:
    """A folder laid out as Qwen2.5's tokenizer, with four merges instead of 151387."""
    vocab = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = [("h", "e"), ("he", "l"), ("l", "o"), ("Ċ", "Ċ")]
    vocab |= {left + right: len(vocab) + i for i, (left, right) in enumerate(merges)}
    ordinary = {"<tool_call>", "</tool_call>", "<|repo_name|>", "<|file_sep|>"}
    added = {
        str(len(vocab) + i): {
            "content": name,
            "lstrip": False,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
            "special": name not in ordinary and "fim" not in name,
        }
        for i, name in enumerate(QWEN2_SPECIALS)
    }
    config = {
        "added_tokens_decoder": added,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
    }
    (tmp_path / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (tmp_path / "merges.txt").write_text("\n".join(f"{a} {b}" for a, b in merges) + "\n", encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("plus", [False, True])
def test_extending_a_qwen_tokenizer_follows_the_release(tiny_qwen: Path, plus: bool) -> None:
    tokenizer = extend_tokenizer(load_tokenizer(tiny_qwen), audio_tokens=16384, plus=plus)
    vocabulary, released = Vocabulary.from_tokenizer(tokenizer), released_vocabulary(plus)
    shift = released.text_size - vocabulary.text_size
    assert {name: i + shift for name, i in vocabulary.specials.items()} == dict(released.specials)
    assert vocabulary.audio_offset + shift == released.audio_offset
    assert vocabulary.audio_count == 16384
    assert tokenizer("hello<|audio_16383|>")["input_ids"][-1] == vocabulary.audio_id(16383)

    tokenizer.save_pretrained(tiny_qwen / "extended")
    assert Vocabulary.from_tokenizer(load_tokenizer(tiny_qwen / "extended")) == vocabulary


def test_extending_twice_or_without_chatml_is_refused(tiny_qwen: Path, toy: PreTrainedTokenizerFast) -> None:
    with pytest.raises(VocabularyError, match="extended already"):
        extend_tokenizer(toy, 8)
    (tiny_qwen / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "Qwen2Tokenizer"}', encoding="utf-8"
    )
    with pytest.raises(VocabularyError, match="im_start"):
        extend_tokenizer(load_tokenizer(tiny_qwen), 8)


def test_a_tokenizer_without_audio_tokens_has_no_vocabulary(tiny_qwen: Path) -> None:
    with pytest.raises(VocabularyError, match="extend_tokenizer"):
        Vocabulary.from_tokenizer(load_tokenizer(tiny_qwen))


def test_audio_tokens_must_come_last(toy: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    toy.save_pretrained(tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    tokenizer.add_tokens(["<|late|>"])
    with pytest.raises(VocabularyError, match="last"):
        Vocabulary.from_tokenizer(tokenizer)
