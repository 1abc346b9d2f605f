"""The speech models of the paper's Table 1 as decoding patterns, each with its source."""

from dataclasses import dataclass

from labkit.interleave.delay import Alternating, Delays, Interleaved, Parallel, Pattern, SpeechDecoder, delays
from labkit.interleave.modes import BOOST

FIRST_CHUNK = 8
"""Audio tokens that VITA-Audio's decoder begins with, as many as Boost's first backbone pass leads to (section 3.4)."""

SNAC_CODEBOOKS = 7  # a frame of the 24 kHz SNAC codec: 1 + 2 + 4 tokens of its three levels


@dataclass(frozen=True)
class SpeechModel:
    """A model of Table 1.

    Attributes:
        name: as in the table.
        pattern: what each pass of its language model emits.
        first_chunk: codec frames that its decoder needs before it can make sound.
        source: where both are described.
    """

    name: str
    pattern: Pattern
    first_chunk: int
    source: str


MODELS = (
    SpeechModel(
        "Freeze-Omni",
        SpeechDecoder(text_chunk=None, audio_chunk=40),
        first_chunk=40,
        source=(
            "Wang et al. 2024, arXiv:2411.00774, speech decoder: hidden states and text of a finished "
            "sentence go to a separate decoder; its public code speaks in codec chunks of 40. Table 1 "
            "counts one sentence as the text."
        ),
    ),
    SpeechModel(
        "MinMo",
        SpeechDecoder(text_chunk=5, audio_chunk=15),
        first_chunk=15,
        source=(
            "Chen et al. 2025, arXiv:2501.06282, voice decoder: a separate model that turns every 5 "
            "text vectors into 15 speech tokens."
        ),
    ),
    SpeechModel(
        "Mini-Omni",
        Parallel(text_delay=0, audio_delays=tuple(range(1, 1 + SNAC_CODEBOOKS))),
        first_chunk=3,
        source=(
            "Xie and Wu 2024, arXiv:2408.16725, text-instruct delay parallel decoding: text first, then"
            " each of the seven SNAC layers one pass after the one before (public code, snac_utils.py)."
        ),
    ),
    SpeechModel(
        "Moshi",
        Parallel(text_delay=0, audio_delays=(0, *[1] * 7)),
        first_chunk=1,
        source=(
            "Défossez et al. 2024, arXiv:2410.00037, section 3.4: text and the semantic codebook at "
            "once, the seven acoustic codebooks one pass later; Mimi decodes every frame as it comes."
        ),
    ),
    SpeechModel(
        "GLM-4-Voice",
        Alternating(text=13, audio=26),
        first_chunk=10,
        source=(
            "Zeng et al. 2024, arXiv:2412.02612, streaming thoughts: 13 text tokens, 26 audio tokens, "
            "in turn; the decoder starts with as few as 10 audio tokens (public README)."
        ),
    ),
    SpeechModel(
        "LUCY",
        Parallel(text_delay=0, audio_delays=tuple(range(1, 1 + SNAC_CODEBOOKS))),
        first_chunk=3,
        source=(
            "Gao et al. 2025, arXiv:2501.16327: parallel text and speech with batch-parallel decoding "
            "after Mini-Omni, seven SNAC codebooks."
        ),
    ),
    SpeechModel(
        "VITA-Audio",
        Interleaved(BOOST),
        first_chunk=FIRST_CHUNK,
        source="the paper, Fig. 4 and section 3.4: one text token and 8 audio tokens in the first pass.",
    ),
)


def delays_by_text_length(
    model: SpeechModel, text_lengths: tuple[int, ...] = (16, 32, 64)
) -> dict[int, Delays]:
    """Run a model on answers of several lengths; shows whether its delay grows with the text."""
    return {n: delays(model.pattern, model.first_chunk, text_length=n) for n in text_lengths}


def audio_token_delay(model: SpeechModel) -> int | str:
    """The model's entry in Table 1: a number of passes, or "text length" where it is that.

    Raises:
        ValueError: the delay changes with the text in some other way.
    """
    by_length = {n: result.audio_token for n, result in delays_by_text_length(model).items()}
    if len(set(by_length.values())) == 1:
        return next(iter(by_length.values()))
    if all(delay == n for n, delay in by_length.items()):
        return "text length"
    raise ValueError(f"{model.name}: no single number says its delays {by_length}")
