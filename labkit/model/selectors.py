"""Sets of tokens, told by what they are or where they stand: the language of knockouts and traces.

audio = tokens_where(vocabulary.is_audio)      # also the audio tokens that are yet to be generated
word = tokens_between(12, 15)                  # positions 12, 13 and 14
tokens_between([12, 30], [15, 31])             # a batch: one range per sequence
audio & ~word
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

Choose = Callable[[torch.Tensor | None, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Tokens:
    """A set of tokens; ``&``, ``|`` and ``~`` combine sets. Padding belongs to none.

    Attributes:
        choose: from ids ``(batch, columns)`` (None where only embeddings are known) and positions
            ``(batch, columns)`` to a mask ``(batch, columns)``.
        text: how the set was written, for messages.
    """

    choose: Choose
    text: str

    def __call__(self, ids: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor:
        """``(batch, columns)`` True for the tokens of the set; positions below 0 are padding."""
        return self.choose(ids, positions) & (positions >= 0)

    def __and__(self, other: "Tokens") -> "Tokens":
        return Tokens(lambda i, p: self.choose(i, p) & other.choose(i, p), f"({self.text} & {other.text})")

    def __or__(self, other: "Tokens") -> "Tokens":
        return Tokens(lambda i, p: self.choose(i, p) | other.choose(i, p), f"({self.text} | {other.text})")

    def __invert__(self) -> "Tokens":
        return Tokens(lambda i, p: ~self.choose(i, p), f"~{self.text}")

    def __repr__(self) -> str:
        return self.text


ALL_TOKENS = Tokens(lambda _, positions: torch.ones_like(positions, dtype=torch.bool), "all tokens")


def tokens_where(predicate: Callable[[torch.Tensor], torch.Tensor], text: str | None = None) -> Tokens:
    """Tokens whose id satisfies ``predicate``, a function from ids to a mask of the same shape."""
    text = text or getattr(predicate, "__name__", "predicate")

    def choose(ids: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor:
        if ids is None:
            raise ValueError(f"{text} chooses tokens by id, but this pass was given embeddings without ids")
        return predicate(ids).to(torch.bool).expand(positions.shape)

    return Tokens(choose, text)


def tokens_at(*where: int | Sequence[int]) -> Tokens:
    """Tokens at these positions: ``tokens_at(3, 7)``, or per sequence, ``tokens_at([3, 7], [4])``."""
    rows = [list(row) for row in where] if where and not isinstance(where[0], int) else [list(where)]
    longest = max(map(len, rows), default=0)
    wanted = torch.tensor([row + [-1] * (longest - len(row)) for row in rows], dtype=torch.long)

    def choose(_: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor:
        rows = _per_sequence(wanted, positions)
        return (positions[:, :, None] == rows[:, None, :]).any(-1)

    return Tokens(choose, f"tokens at {rows if len(rows) > 1 else rows[0]}")


def tokens_between(start: int | Sequence[int], stop: int | Sequence[int]) -> Tokens:
    """Tokens at positions ``start .. stop - 1``; lists give one range per sequence of a batch."""
    first, last = (torch.as_tensor(bound, dtype=torch.long).reshape(-1, 1) for bound in (start, stop))

    def choose(_: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor:
        return (positions >= _per_sequence(first, positions)) & (positions < _per_sequence(last, positions))

    return Tokens(choose, f"tokens from {start} to before {stop}")


def tokens_marked(mask: torch.Tensor) -> Tokens:
    """Tokens marked by position in a mask ``(positions,)`` or ``(batch, positions)``; later ones are not."""
    marks = torch.atleast_2d(torch.as_tensor(mask, dtype=torch.bool))

    def choose(_: torch.Tensor | None, positions: torch.Tensor) -> torch.Tensor:
        rows = _per_sequence(marks, positions).expand(positions.shape[0], -1)
        if rows.shape[1] == 0:
            return torch.zeros_like(positions, dtype=torch.bool)
        known = (positions >= 0) & (positions < rows.shape[1])
        return rows.gather(1, positions.clamp(0, rows.shape[1] - 1)) & known

    return Tokens(choose, f"{int(marks.sum())} marked tokens")


def _per_sequence(rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Rows on the right device, checked to be one for all sequences or one for each."""
    if rows.shape[0] not in (1, positions.shape[0]):
        raise ValueError(
            f"tokens are given for {rows.shape[0]} sequences, the batch has {positions.shape[0]}"
        )
    return rows.to(positions.device)
