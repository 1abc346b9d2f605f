"""One id space for text, special and audio tokens, in the order of the released checkpoints.

    0 ........... text_size .......... audio_offset ............. size ....... padded_size
    | text tokens | special tokens     | <|audio_0|> <|audio_1|> ... | unused rows |

Everything that needs to know what an id means asks a `Vocabulary`; no other place holds ids.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from transformers import PreTrainedTokenizerBase

Ids = TypeVar("Ids")  # an int, or a tensor or array of ints of any shape

ROW_MULTIPLE = 8  # embedding rows are padded to a multiple of this, which matrix units like

CHAT_SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

QWEN2_SPECIALS = (  # ids 151643 to 151664 of Qwen2.5
    *CHAT_SPECIALS,
    *(f"<|{thing}_{end}|>" for thing in ("object_ref", "box", "quad", "vision") for end in ("start", "end")),
    *("<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>"),
    *("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
)
QWEN2_TEXT_SIZE = 151643
RELEASED_AUDIO_TOKENS = 16384  # the codebook of the GLM-4-Voice tokenizer


def released_specials(plus: bool = False) -> tuple[str, ...]:
    """The special tokens that VITA-Audio adds to its text tokenizer, in order.

    VITA-Audio-Plus has one more, ``<|context_of_audio|>``: a placeholder for each row of continuous audio
    features.
    """
    audio = ("<|begin_of_audio|>", "<|end_of_audio|>", *(("<|context_of_audio|>",) if plus else ()))
    return (
        *(
            f"<|{part}_of_{thing}|>"
            for thing in ("image", "video", "patch")
            for part in ("begin", "end", "context")
        ),
        *audio,
        *(f"<|{part}_of_{thing}|>" for thing in ("quad", "ref", "box") for part in ("begin", "end")),
        *("<|image|>", "<|video|>", "<|audio|>"),
    )


def audio_token(code: int) -> str:
    """The name of an audio token: ``<|audio_7|>`` for code 7."""
    return f"<|audio_{code}|>"


class VocabularyError(ValueError):
    """An id space that does not fit together, or a token that it does not hold."""


@dataclass(frozen=True)
class Vocabulary:
    """What every id of a speech language model means.

    Args:
        text_size: number of ordinary text tokens; their ids are ``0 .. text_size - 1``.
        specials: id of every special token by its full name, e.g. ``"<|im_end|>"``; they follow the text
            tokens.
        audio_count: number of audio tokens; they follow the special tokens.

    Raises:
        VocabularyError: the special ids leave a gap or overlap, or one that every model needs is missing.
    """

    text_size: int
    specials: Mapping[str, int] = field(hash=False)
    audio_count: int

    def __post_init__(self) -> None:
        expected = list(range(self.text_size, self.audio_offset))
        if sorted(self.specials.values()) != expected:
            raise VocabularyError(
                f"special ids must fill {self.text_size} to {self.audio_offset - 1} without gap or overlap, "
                f"got {sorted(self.specials.values())}"
            )
        if self.audio_count < 1:
            raise VocabularyError(f"a speech vocabulary has at least one audio token, got {self.audio_count}")
        for name in (*CHAT_SPECIALS, "<|begin_of_audio|>", "<|end_of_audio|>", "<|audio|>"):
            self.special(name)

    @classmethod
    def of(cls, text_size: int, specials: Iterable[str], audio_count: int) -> "Vocabulary":
        """Lay out text tokens, then the named special tokens in this order, then the audio tokens."""
        return cls(text_size, {name: text_size + i for i, name in enumerate(specials)}, audio_count)

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerBase) -> "Vocabulary":
        """Read the layout off a tokenizer that holds the special and audio tokens.

        Raises:
            VocabularyError: the tokenizer has no audio tokens, or they are not in one run at the end.
        """
        added = tokenizer.get_added_vocab()
        audio = {int(m[1]): i for name, i in added.items() if (m := re.fullmatch(r"<\|audio_(\d+)\|>", name))}
        if not audio:
            raise VocabularyError(
                "this tokenizer has no audio tokens. Add them with labkit.vocabulary.extend_tokenizer, or "
                "load the tokenizer that lies beside the checkpoint."
            )
        offset = min(audio.values())
        if sorted(audio.items()) != [(code, offset + code) for code in range(len(audio))]:
            raise VocabularyError("the audio tokens <|audio_0|>, <|audio_1|>, ... must have consecutive ids")
        if max(added.values()) != offset + len(audio) - 1:
            raise VocabularyError("the audio tokens must be the last tokens of the tokenizer")
        text_size = min(added.values())
        specials = {name: i for name, i in added.items() if text_size <= i < offset}
        return cls(text_size, dict(sorted(specials.items(), key=lambda item: item[1])), len(audio))

    @property
    def audio_offset(self) -> int:
        """Id of ``<|audio_0|>``."""
        return self.text_size + len(self.specials)

    @property
    def size(self) -> int:
        """Number of ids that mean something."""
        return self.audio_offset + self.audio_count

    @property
    def padded_size(self) -> int:
        """Rows of the embedding and the head; those from ``size`` on are never used."""
        return -(-self.size // ROW_MULTIPLE) * ROW_MULTIPLE

    def special(self, name: str) -> int:
        """Id of a special token, by its full name or without the brackets (``"im_end"``).

        Raises:
            VocabularyError: there is no such special token.
        """
        for candidate in (name, f"<|{name}|>"):
            if candidate in self.specials:
                return self.specials[candidate]
        raise VocabularyError(f"no special token {name!r}; there are {', '.join(self.specials)}")

    @property
    def im_start(self) -> int:
        """Opens a message (ChatML)."""
        return self.special("<|im_start|>")

    @property
    def im_end(self) -> int:
        """Closes a message (ChatML)."""
        return self.special("<|im_end|>")

    @property
    def begin_of_audio(self) -> int:
        """Opens an audio token chunk."""
        return self.special("<|begin_of_audio|>")

    @property
    def end_of_audio(self) -> int:
        """Closes an audio token chunk."""
        return self.special("<|end_of_audio|>")

    @property
    def context_of_audio(self) -> int | None:
        """Placeholder for a row of continuous audio features (VITA-Audio-Plus), else ``None``."""
        return self.specials.get("<|context_of_audio|>")

    @property
    def end_of_turn(self) -> tuple[int, ...]:
        """Ids after which a generation stops."""
        return self.im_end, self.special("<|endoftext|>")

    def audio_id(self, code: int) -> int:
        """Id of the audio token with this codebook entry.

        Raises:
            VocabularyError: the code is outside the codebook.
        """
        code = int(code)
        if not 0 <= code < self.audio_count:
            raise VocabularyError(f"audio code {code} is outside the codebook of {self.audio_count} entries")
        return self.audio_offset + code

    def audio_code(self, token_id: int) -> int:
        """Codebook entry of an audio token.

        Raises:
            VocabularyError: the id is not an audio token.
        """
        token_id = int(token_id)
        if not self.is_audio(token_id):
            raise VocabularyError(
                f"id {token_id} is not an audio token (those are {self.audio_offset} to {self.size - 1})"
            )
        return token_id - self.audio_offset

    def audio_ids(self, codes: Sequence[int]) -> list[int]:
        """Ids of a run of codebook entries."""
        return [self.audio_id(code) for code in codes]

    def audio_codes(self, ids: Sequence[int]) -> list[int]:
        """Codebook entries of a run of audio tokens."""
        return [self.audio_code(token_id) for token_id in ids]

    def is_text(self, ids: Ids) -> Ids:
        """Which ids are ordinary text tokens: a bool for an int, a mask of the same shape for a tensor."""
        return (ids >= 0) & (ids < self.text_size)

    def is_special(self, ids: Ids) -> Ids:
        """Which ids are special tokens; the tags around audio are special, not audio."""
        return (ids >= self.text_size) & (ids < self.audio_offset)

    def is_audio(self, ids: Ids) -> Ids:
        """Which ids are audio tokens."""
        return (ids >= self.audio_offset) & (ids < self.size)


def released_vocabulary(plus: bool = False) -> Vocabulary:
    """The id space of VITA-Audio-Boost and -Balance, or with ``plus`` of the VITA-Audio-Plus checkpoints."""
    return Vocabulary.of(QWEN2_TEXT_SIZE, (*QWEN2_SPECIALS, *released_specials(plus)), RELEASED_AUDIO_TOKENS)
