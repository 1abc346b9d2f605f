"""What each layer of one pass attends to: its kernel and its mask, with knockouts and traces in force."""

from collections.abc import Sequence

import torch

from labkit.model.hooks import Taps
from labkit.model.knockouts import KnockoutReport, remaining
from labkit.model.masks import Pass, additive, kernel_arguments


class AttentionPlan:
    """Keyword arguments for the attention of each layer of a pass; masks are made once and shared.

    Args:
        p: the pass.
        kernel: the model's attention kernel. A layer whose pattern is traced runs eager instead, and under
            flash attention a layer with a knockout runs under sdpa.
        dtype: of the scores that masks are added to.
        knockouts: those in force.
        taps: those in force.
    """

    def __init__(
        self,
        p: Pass,
        kernel: str,
        dtype: torch.dtype,
        knockouts: Sequence[KnockoutReport] = (),
        taps: Sequence[Taps] = (),
    ) -> None:
        self._pass, self._kernel, self._dtype = p, kernel, dtype
        self._reports = knockouts
        self._active = [active for report in knockouts for active in report.active]
        self._patterned = frozenset().union(*(taps.patterned for taps in taps))
        self._whole: dict[str, dict[str, object]] = {}  # kernel -> arguments without a knockout
        self._edges: dict[int, tuple[torch.Tensor, int]] = {}  # knockout -> its edges, and how many
        self._masks: dict[tuple[int, ...], torch.Tensor | None] = {}  # knockouts together -> mask

    def arguments(self, layer: int) -> dict[str, object]:
        """Keyword arguments for one layer, numbered with the modules' layers after the backbone's."""
        kernel = "eager" if layer in self._patterned else self._kernel
        mask = self._cut_mask(layer) if self._active else None
        if mask is None:
            if kernel not in self._whole:
                self._whole[kernel] = kernel_arguments(self._pass, kernel, self._dtype)
            return self._whole[kernel]
        if kernel == "flash_attention_2":
            kernel = "sdpa"
            for report in self._reports:
                report.tell_fallback()
        return {"kernel": kernel, "attention_mask": mask}

    def _cut_mask(self, layer: int) -> torch.Tensor | None:
        """The mask of a layer that knockouts cut into; None where they leave the layer whole."""
        touching = tuple(index for index, active in enumerate(self._active) if active.touches(layer))
        for index in touching:
            if index not in self._edges:
                edges = self._active[index].edges(self._pass)
                self._edges[index] = edges, int(edges.sum())
            self._active[index].by_layer[layer] += self._edges[index][1]
        firing = tuple(index for index in touching if self._edges[index][1])
        if firing and firing not in self._masks:
            cut = torch.stack([self._edges[index][0] for index in firing]).any(0)
            self._masks[firing] = additive(remaining(self._pass, cut), self._dtype)
        return self._masks.get(firing)
