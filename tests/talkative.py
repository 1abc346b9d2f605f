"""A model of random weights that never ends its turn by itself: enough for widgets, which need somebody who speaks."""

from functools import cache

import torch
from speech import speech_model, tokenizer

from labkit.audio.toy import ToyCodec
from labkit.evaluation.answers import SpeechSystem
from labkit.model import SpeechLM
from labkit.vocabulary import Chat

ALWAYS = 4.0
"""The first number of every embedding: large beside what the layers add to it, so that it is there to the end."""


@torch.no_grad()
def without_end(model: SpeechLM) -> SpeechLM:
    """What ends a turn becomes unlikely, for the first number of every hidden state now speaks against it."""
    model.backbone.model.embed_tokens.weight[:, 0] = ALWAYS
    for module in model.chain:
        module.projection.weight[0] = 0
        module.projection.weight[0, 0] = 1
    head = model.backbone.lm_head.weight
    head[:, 0] = 0
    head[list(Chat(tokenizer()).vocabulary.end_of_turn), 0] = -10 * ALWAYS
    return model


@cache
def talkative(limit: int = 32) -> SpeechSystem:
    """Ten modules, the toy codec, and answers that are cut at so many tokens."""
    model = without_end(speech_model(10, max_position_embeddings=1024))
    return SpeechSystem(model, tokenizer(), ToyCodec.load(), max_new_tokens=limit)
