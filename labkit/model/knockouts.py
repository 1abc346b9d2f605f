"""Attention knockouts: cut chosen edges between tokens inside attention (paper Fig. 1b).

An edge joins a query token to a key token. A `Knockout` names edges by token sets, layers, heads and MCTP
modules; inside ``with model.knocked_out([...]) as report`` every pass, cached or not, single or batched,
runs without them. To cut is to add the lowest number to the attention score, so the softmax shares the
weight among the keys that are left.

A knockout that cut nothing is an experiment that did not happen: leaving the block raises.
"""

import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

from labkit.model.masks import Pass
from labkit.model.selectors import Tokens


class KnockoutNeverFired(RuntimeError):
    """A knockout found no edge to cut."""


@dataclass(frozen=True)
class Knockout:
    """Edges to cut: from every token of ``queries`` to every token of ``keys`` that it could see.

    The row of a token is the one that reads it and predicts the next; to cut what the *prediction* of token
    ``p`` may see, take the query at ``p - 1``. MCTP module ``k`` predicts from the same rows as the backbone.

    Args:
        queries: tokens that look.
        keys: tokens that are looked at.
        layers: backbone layers; all unless given, ``()`` for none.
        heads: attention heads; all unless given.
        modules: MCTP modules; all unless given, ``()`` for none.
        name: for the report.
        may_idle: do not mind if nothing was cut.
    """

    queries: Tokens
    keys: Tokens
    layers: Collection[int] | None = None
    heads: Collection[int] | None = None
    modules: Collection[int] | None = None
    name: str = ""
    may_idle: bool = False

    def __str__(self) -> str:
        return self.name or f"{self.queries} -/-> {self.keys}"

    def check(self, layers: int, heads: int, modules: int) -> None:
        """Refuse layers, heads or modules that the model does not have.

        Raises:
            ValueError: one of them is out of range.
        """
        for what, chosen, count in (
            ("layer", self.layers, layers),
            ("head", self.heads, heads),
            ("module", self.modules, modules),
        ):
            wrong = [index for index in chosen or () if not 0 <= index < count]
            if wrong:
                raise ValueError(f"knockout {self}: no {what} {wrong[0]}, the model has {count}, from 0")


class ActiveKnockout:
    """A knockout at work in a model of a certain shape, and how often it fired.

    Attributes:
        knockout: what to cut.
        by_layer: edges cut so far, by layer; the modules' layers are numbered after the backbone's.
    """

    def __init__(self, knockout: Knockout, num_layers: int, num_heads: int) -> None:
        self.knockout = knockout
        self.by_layer: Counter[int] = Counter()
        self._num_layers, self._num_heads = num_layers, num_heads

    def touches(self, layer: int) -> bool:
        """Whether it reaches this layer."""
        if layer < self._num_layers:
            return self.knockout.layers is None or layer in self.knockout.layers
        return self.knockout.modules is None or layer - self._num_layers in self.knockout.modules

    def edges(self, p: Pass) -> torch.Tensor:
        """``(batch, heads, queries, keys)`` True for the edges to cut among those that a pass can see."""
        queries = self.knockout.queries(p.ids, p.positions)[:, p.start :] & p.real_queries
        keys = self.knockout.keys(p.ids, p.positions)[:, p.stage :]
        edges = queries[:, None, :, None] & keys[:, None, None, :] & p.visible
        heads = torch.zeros(self._num_heads, dtype=torch.bool, device=edges.device)
        heads[slice(None) if self.knockout.heads is None else list(self.knockout.heads)] = True
        return edges & heads[None, :, None, None]


class KnockoutReport:
    """The knockouts of one ``with`` block, and how often each fired."""

    def __init__(self, active: Sequence[ActiveKnockout]) -> None:
        self.active = list(active)
        self._fallback_told = False

    @property
    def knockouts(self) -> list[Knockout]:
        """As given."""
        return [active.knockout for active in self.active]

    @property
    def fired(self) -> list[int]:
        """For each knockout the edges cut so far: one for every query, key, head, layer and sequence."""
        return [active.by_layer.total() for active in self.active]

    def tell_fallback(self) -> None:
        """Say, once, that flash attention cannot take a mask."""
        if not self._fallback_told:
            warnings.warn("flash attention takes no mask: knocked-out layers run under sdpa", stacklevel=2)
            self._fallback_told = True

    def check_fired(self) -> None:
        """Refuse to take an experiment for one in which nothing was cut.

        Raises:
            KnockoutNeverFired: names the first such knockout.
        """
        for knockout, fired in zip(self.knockouts, self.fired, strict=True):
            if not fired and not knockout.may_idle:
                raise KnockoutNeverFired(
                    f"knockout {knockout} cut no edge: no such query saw such a key. Check the token sets "
                    "against the ids and positions of the passes inside the block, or set may_idle=True."
                )


def remaining(p: Pass, cut: torch.Tensor) -> torch.Tensor:
    """What stays visible when ``cut`` is taken away, both ``(batch, heads, queries, keys)``.

    Raises:
        ValueError: a token would have nothing left to look at, for which softmax has no answer.
    """
    left = p.visible & ~cut
    blind = ~left.any(-1) & p.real_queries[:, None, :]
    if blind.any():
        sequence, _, row = (int(index) for index in blind.nonzero()[0])
        raise ValueError(
            f"the knockouts leave the token at position {int(p.positions[sequence, p.start + row])} of "
            f"sequence {sequence} nothing to look at in stage {p.stage}; keep at least its own key"
        )
    return left
