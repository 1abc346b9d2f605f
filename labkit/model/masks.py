"""Who may see whom: the geometry of one pass, and the attention mask that follows from it.

Every pass of the backbone or of an MCTP module is described by a `Pass`. The backbone is stage 0 and MCTP
module ``k`` is stage ``k + 1``. Column ``c`` of a batch holds one token per sequence; stage ``s`` works on
the columns from ``s`` on, because its row at column ``c`` joins token ``c`` with what the stage before made
of column ``c - 1``. So entry ``j`` of stage ``s``'s cache is column ``j + s``. Four rules make every mask:

- causal: a row sees no later column;
- padding: a row sees no column left of its sequence's first token;
- stage: a row of stage ``s`` sees no token at a position below ``s``, for stage ``s`` has no row there;
- packing: a row sees no other sample of its packed row (paper section 3.3.1).
"""

from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class Pass:
    """One pass of one stage over the columns ``start .. stop - 1`` of a batch of token sequences.

    Attributes:
        stage: 0 for the backbone, ``k + 1`` for MCTP module ``k``.
        start: first column to compute; the columns ``stage .. start - 1`` are in the cache.
        positions: ``(batch, stop)`` position of each column in its own sequence, negative on left padding.
        ids: ``(batch, stop)`` token ids, or None where only embeddings are known.
        samples: ``(batch, stop)`` index of the packed sample each column belongs to, or None.
        regular: no padding and no packing, so that each position is its column.
    """

    stage: int
    start: int
    positions: torch.Tensor
    ids: torch.Tensor | None = None
    samples: torch.Tensor | None = None
    regular: bool = False

    @property
    def stop(self) -> int:
        """One past the last column."""
        return self.positions.shape[1]

    @property
    def queries(self) -> int:
        """Number of rows to compute."""
        return self.stop - self.start

    @property
    def keys(self) -> int:
        """Number of rows to look at, cached ones included."""
        return self.stop - self.stage

    @property
    def query_positions(self) -> torch.Tensor:
        """``(batch, queries)`` positions for the rotary embedding; padding stands at 0, unseen."""
        positions = self.positions[:, self.start :]
        return positions if self.regular else positions.clamp_min(0)

    @property
    def real_queries(self) -> torch.Tensor:
        """``(batch, queries)`` True where a row belongs to its sequence and not to padding."""
        return self.positions[:, self.start :] >= self.stage

    @cached_property
    def visible(self) -> torch.Tensor:
        """``(batch or 1, 1, queries, keys)`` True where a row may look."""
        columns = torch.arange(self.stop, device=self.positions.device)
        visible = columns[None, self.stage :] <= columns[self.start :, None]
        if self.regular:
            return visible[None, None]
        visible = visible & (self.positions[:, None, self.stage :] >= self.stage)
        if self.samples is not None:
            visible = visible & (self.samples[:, self.start :, None] == self.samples[:, None, self.stage :])
        return visible[:, None]


@dataclass(frozen=True)
class Segments:
    """Runs of columns that attend only to themselves, in the form flash attention takes them."""

    boundaries: torch.Tensor
    longest: int

    @classmethod
    def of(cls, p: Pass) -> "Segments":
        """The packed samples of a whole-sequence pass.

        The first ``stage`` rows of each sample are no rows of this stage; they become segments of their own,
        so that nobody looks at them.
        """
        new = torch.ones_like(p.positions[:, p.start :], dtype=torch.bool)
        new[:, 1:] = p.samples[:, p.start + 1 :] != p.samples[:, p.start : -1]
        new |= p.positions[:, p.start :] == p.stage
        starts = new.flatten().nonzero().flatten()
        ends = torch.tensor([new.numel()], device=starts.device)
        boundaries = torch.cat([starts, ends]).to(torch.int32)
        return cls(boundaries, int(boundaries.diff().max()))

    def flash_arguments(self) -> dict[str, object]:
        """Keyword arguments of transformers' flash attention call."""
        return {
            "cu_seq_lens_q": self.boundaries,
            "cu_seq_lens_k": self.boundaries,
            "max_length_q": self.longest,
            "max_length_k": self.longest,
        }


def additive(visible: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Turn a mask of what is visible into one to add to the scores: 0 where visible, else the lowest number.

    Not minus infinity: a row of padding sees nothing, and its softmax must stay a number.
    """
    scores = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return scores.masked_fill_(~visible, torch.finfo(dtype).min)


def causal_mask(queries: int, keys: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """``(1, 1, queries, keys)`` additive mask; the last query is the last key."""
    rows = torch.arange(keys - queries, keys, device=device)
    return additive(torch.arange(keys, device=device)[None] <= rows[:, None], dtype)[None, None]


def kernel_arguments(p: Pass, kernel: str, dtype: torch.dtype) -> dict[str, object]:
    """The mask of a pass as ``kernel`` wants it: keyword arguments of `labkit.model.attention.attend`."""
    if kernel == "flash_attention_2":
        if p.samples is not None:
            return {"kernel": kernel, "attention_mask": None, "segments": Segments.of(p)}
        padding = None if p.regular else (p.positions[:, p.stage :] >= p.stage).to(torch.int32)
        return {"kernel": kernel, "attention_mask": padding}
    # One row without padding sees everything; a whole sequence under sdpa uses the kernel's causal flag.
    plain = p.regular and (p.queries == 1 or (kernel == "sdpa" and p.queries == p.keys))
    return {"kernel": kernel, "attention_mask": None if plain else additive(p.visible, dtype)}
