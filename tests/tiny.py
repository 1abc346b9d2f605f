"""Tiny models for tests: random ones with logits of some size, and the golden checkpoints; tiny texts to train on."""

import random
from functools import cache
from pathlib import Path

import torch
from transformers import Qwen2Config

from labkit.data.export import ExportSpec
from labkit.model import SpeechLM, load_speech_lm
from labkit.vocabulary import Vocabulary
from labkit.vocabulary.layout import CHAT_SPECIALS, released_specials

torch.set_num_threads(1)  # models this small only lose by more

GOLDEN = Path(__file__).parent / "golden"
TEXTS = ExportSpec(
    texts=20,
    documents=4,
    repeats=4,
    readings=4,
    clips=4,
    held_out_texts=0,
    held_out_documents=0,
    held_out_repeats=0,
    held_out_readings=0,
)
VOCABULARY = Vocabulary.of(100, (*CHAT_SPECIALS, *released_specials()), 50)


def tiny_config(**overrides: object) -> Qwen2Config:
    fields = {
        "vocab_size": VOCABULARY.padded_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "tie_word_embeddings": False,
        **overrides,
    }
    return Qwen2Config(**fields)


def tiny_model(modules: int = 3, attention: str = "sdpa", seed: int = 0, **overrides: object) -> SpeechLM:
    generator = torch.Generator().manual_seed(seed)
    return SpeechLM.from_config(tiny_config(**overrides), modules, generator=generator, attention=attention)


@cache
def golden_model(name: str, attention: str = "sdpa") -> SpeechLM:
    return load_speech_lm(GOLDEN / name, attention=attention, tell=None)


def random_ids(count: int, seed: int = 0, vocab: int = 100) -> list[int]:
    drawn = random.Random(seed)
    return [drawn.randrange(vocab) for _ in range(count)]


def random_prompts(lengths: list[int], seed: int = 0) -> list[list[int]]:
    return [random_ids(length, seed * 1000 + row) for row, length in enumerate(lengths)]
