"""Traces: chosen activations of chosen places and positions, and nothing else.

    print(trace_memory(model, names, batch=1, tokens=200))
    with model.traced(["backbone.3.pattern", "module.0.final"], positions=[12, 13]) as trace:
        model(ids)
    trace["backbone.3.pattern"]          # (batch, heads, 2, keys)

Everything is laid out by position in the sequence, whatever was cached and whichever stage made it: entry
``p`` belongs to the token at position ``p``, key ``q`` to the token at position ``q``. So a trace of a whole
generation looks like a trace of one pass over its tokens, and a trace of a padded batch like those of its
sequences one by one.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from labkit.memory import GIB, readable
from labkit.model.hooks import HookPoint, Taps, choose_hooks
from labkit.model.masks import Pass

if TYPE_CHECKING:
    from labkit.model.speech_lm import SpeechLM

DEFAULT_LIMIT = 2 * GIB


def trace_memory(
    model: "SpeechLM", names: Collection[str], batch: int, tokens: int, positions: int | None = None
) -> int:
    """Bytes that a trace will hold.

    Args:
        model: to trace.
        names: hook points.
        batch: number of sequences.
        tokens: their length.
        positions: number of positions chosen; all unless given.
    """
    rows = tokens if positions is None else positions
    width = {point.name: _row_size(model, point, tokens) for point in choose_hooks(model, names)}
    return batch * rows * sum(width.values()) * model.dtype.itemsize


def _row_size(model: "SpeechLM", point: HookPoint, keys: int) -> int:
    config = model.config
    if point.part == "pattern":
        return config.num_attention_heads * keys
    if point.part == "z":
        return config.num_attention_heads * model.layers[0].self_attn.head_dim
    return config.hidden_size


class Trace:
    """What was captured, by hook name.

    Args:
        model: to trace.
        names: hook points, see `labkit.model.hooks`.
        positions: keep only the rows of tokens at these positions; all unless given.
        limit: most bytes to hold.
    """

    def __init__(
        self,
        model: "SpeechLM",
        names: Collection[str],
        positions: Sequence[int] | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> None:
        points = choose_hooks(model, names)
        self.taps = Taps({point: partial(self._keep, point) for point in points})
        self.positions = None if positions is None else list(positions)
        self._parts = {point.name: point.part for point in points}
        self._limit = limit
        self._pieces: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {p.name: [] for p in points}
        self.nbytes = 0

    @property
    def names(self) -> list[str]:
        """The hook points traced."""
        return list(self._parts)

    def _keep(self, point: HookPoint, activation: torch.Tensor, p: Pass) -> None:
        """Store the wanted rows of one pass, with their positions."""
        if p.samples is not None:
            raise ValueError(
                "a packed row holds several tokens of each position; trace its samples one by one"
            )
        rows = activation.transpose(1, 2) if point.part == "pattern" else activation
        positions = p.positions[:, p.start :]
        pieces = self._pieces[point.name]
        if p.start == p.stage:  # a new sequence: what an earlier one left is of no use
            self.nbytes -= sum(values.nbytes for _, values in pieces)
            pieces.clear()
        if self.positions is not None:
            wanted = torch.tensor(self.positions, device=positions.device)
            columns = torch.isin(positions, wanted).any(0)
            rows, positions = rows[:, columns], positions[:, columns]
        if self.nbytes + rows.nbytes > self._limit:
            raise MemoryError(
                f"the trace would pass its limit of {readable(self._limit)} at {point.name}. Name fewer hook "
                "points or positions, or raise the limit; trace_memory tells the size beforehand."
            )
        if point.part == "pattern":
            rows = _keys_by_position(rows, p)
        positions = torch.where(positions >= p.stage, positions, -1)  # no row of this stage
        pieces.append((positions.cpu(), rows.detach().cpu().clone()))
        self.nbytes += rows.nbytes

    def __getitem__(self, name: str) -> torch.Tensor:
        """The activation at a hook point.

        Returns:
            As listed in `labkit.model.hooks`, with rows (and, in a pattern, keys) by position: all positions
            from 0 on, or those asked for, in that order. Rows that no pass reached are NaN.

        Raises:
            KeyError: the name was not traced.
            ValueError: no pass ran inside the block.
        """
        if name not in self._pieces:
            raise KeyError(f"{name!r} was not traced; traced were {', '.join(self.names)}")
        pieces = self._pieces[name]
        if not pieces:
            raise ValueError(f"{name!r} saw no pass: run the model inside the `with` block")
        last = max((int(positions.max()) for positions, _ in pieces if positions.numel()), default=-1)
        wanted = range(last + 1) if self.positions is None else self.positions
        slot_of = torch.full((last + 2,), -1)  # its last entry serves positions that are -1
        for slot, position in enumerate(wanted):
            if position <= last:
                slot_of[position] = slot
        width = max(rows.shape[-1] for _, rows in pieces)
        first = pieces[0][1]
        result = torch.full((first.shape[0], len(wanted), *first.shape[2:-1], width), torch.nan)
        result = result.to(first.dtype)
        for positions, rows in pieces:
            slots = slot_of[positions]
            sequence, row = (slots >= 0).nonzero(as_tuple=True)
            slot = slots[sequence, row]
            # Of a pattern, earlier passes saw fewer keys: weight 0 for the others.
            result[sequence, slot] = nn.functional.pad(rows, (0, width - rows.shape[-1]))[sequence, row]
        return result.transpose(1, 2) if self._parts[name] == "pattern" else result


def _keys_by_position(rows: torch.Tensor, p: Pass) -> torch.Tensor:
    """Move each key from its place in the cache to its position; positions without a key get weight 0."""
    positions = p.positions[:, p.stage :]
    longest = int(positions.max()) + 1
    moved = rows.new_zeros(*rows.shape[:-1], longest)
    index = positions.clamp_min(0)[:, None, None, :].expand(rows.shape)
    real = (positions >= p.stage)[:, None, None, :]
    return moved.scatter_add(-1, index, torch.where(real, rows, 0))
