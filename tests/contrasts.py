"""Minimal pairs as a random model says them, for tests of where a reading is decided."""

from functools import cache

from speech import AUDIO_TOKENS, corpus, recorder
from tiny import tiny_model
from transformers import PreTrainedTokenizerBase

from labkit.evaluation.answers import SpeechSystem
from labkit.interleave import VANILLA, InterleaveMode
from labkit.study.contrast import Contrasts, find_contrasts
from labkit.vocabulary import Vocabulary, train_toy_tokenizer

MODULES = 2


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    """Large enough to make one token of every word, so that minimal pairs have equal layouts."""
    return train_toy_tokenizer(3 * [each.text for each in corpus()], AUDIO_TOKENS, vocab_size=2000)


@cache
def random_system() -> SpeechSystem:
    """A model whose readings differ for no reason, which is all that arithmetic needs."""
    size = Vocabulary.from_tokenizer(tokenizer()).padded_size
    model = tiny_model(MODULES, seed=3, num_hidden_layers=3, hidden_size=48, vocab_size=size)
    return SpeechSystem(model, tokenizer(), recorder())


def probes():
    """Eight minimal pairs, as many in either direction."""
    pairs = [pair for language in ("en", "cmn") for pair in corpus().probes(language)]
    return [pair if place % 2 else pair[::-1] for place, pair in enumerate(pairs)]


@cache
def contrasts(mode: InterleaveMode = VANILLA) -> Contrasts:
    return find_contrasts(random_system(), probes(), mode, progress=False)
