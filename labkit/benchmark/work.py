"""The work behind each token of a mode, counted from its schedule alone: no model, no clock."""

from collections.abc import Iterator
from dataclasses import dataclass

from transformers import Qwen2Config

from labkit.interleave import Content, InterleaveMode
from labkit.model.memory import key_value_width, layer_parameters, module_parameters
from labkit.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Work:
    """What one token takes.

    Attributes:
        module: the MCTP module that makes it, None for the backbone.
        columns: tokens the pass reads: the new one, and those that its maker has not seen yet.
        head_rows: rows of the head that are scored.
        keys: tokens there are, at all of which the pass looks.
    """

    module: int | None
    columns: int
    head_rows: int
    keys: int


def head_rows(slot: Content, vocabulary: Vocabulary, first_chunk: bool = False) -> int:
    """Rows of the head that a slot can hold; see `labkit.generation.constraint`."""
    match slot:
        case Content.TEXT:
            return vocabulary.audio_offset - 1  # all but the tag that ends a chunk
        case Content.BEGIN_OF_AUDIO:
            return 1 + len(vocabulary.end_of_turn)
        case Content.AUDIO if first_chunk:
            return vocabulary.audio_count
        case _:
            return vocabulary.audio_count + 1


def work(
    mode: InterleaveMode, tokens: int, prompt: int, vocab_size: int, vocabulary: Vocabulary | None = None
) -> Iterator[Work]:
    """The work behind the first tokens of a mode.

    Args:
        mode: the schedule.
        tokens: how many.
        prompt: tokens before them, at least 1.
        vocab_size: rows of the whole head.
        vocabulary: for a head cut to what each slot can hold; without it the head stays whole.

    Raises:
        ValueError: no prompt.
    """
    if prompt < 1:
        raise ValueError("the backbone needs at least one token to read")
    seen: dict[int | None, int] = {}
    first = True
    for slot in mode.slots(tokens):
        length = prompt + slot.index
        stage = 0 if slot.module is None else slot.module + 1
        rows = vocab_size if vocabulary is None else head_rows(slot.content, vocabulary, first)
        yield Work(slot.module, length - seen.get(slot.module, stage), rows, length)
        seen[slot.module] = length
        first = first and slot.content is not Content.END_OF_AUDIO


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of weights and caches that decoding reads.

    Attributes:
        backbone: all layers, for a pass of any number of tokens.
        module: one MCTP module.
        head_row: one row of the head.
        column: keys and values of one earlier token, in one layer.
        layers: of the backbone.
    """

    backbone: int
    module: int
    head_row: int
    column: int
    layers: int

    @classmethod
    def of(cls, config: Qwen2Config, itemsize: int) -> "Bytes":
        """For a backbone of this shape, in numbers of ``itemsize`` bytes."""
        return cls(
            backbone=config.num_hidden_layers * layer_parameters(config) * itemsize,
            module=module_parameters(config) * itemsize,
            head_row=config.hidden_size * itemsize,
            column=key_value_width(config) * itemsize,
            layers=config.num_hidden_layers,
        )

    def read(self, each: Work) -> int:
        """Bytes for one token: the weights once, the cache once, the head's rows once."""
        body, layers = (self.backbone, self.layers) if each.module is None else (self.module, 1)
        return body + each.head_rows * self.head_row + layers * each.keys * self.column


def roofline(
    mode: InterleaveMode,
    tokens: int,
    prompt: int,
    config: Qwen2Config,
    itemsize: int,
    bandwidth: float,
    vocabulary: Vocabulary | None = None,
) -> float:
    """Seconds that a mode takes where only reading takes time, at ``bandwidth`` bytes per second."""
    size = Bytes.of(config, itemsize)
    steps = work(mode, tokens, prompt, config.vocab_size, vocabulary)
    return sum(map(size.read, steps)) / bandwidth
