"""CUDA graphs: work recorded once and launched as a whole, so that a GPU never waits for Python."""

from collections.abc import Callable, Hashable

import torch


class Graphs:
    """Recordings of functions that read and write the same tensors every time.

    The first call of a key runs the function as it is, which lets libraries set themselves up; the second one
    records it; from then on it is one launch. All recordings share one pool of memory, so that what a recording
    returns is good until the next one runs.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._warm: set[Hashable] = set()
        self._recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}

    def run(self, key: Hashable, function: Callable[[], torch.Tensor]) -> torch.Tensor:
        """What ``function`` returns, by its recording where there is one.

        Args:
            key: equal for calls that do the same to the same tensors.
            function: takes everything that changes from tensors that stay in place.
        """
        if key not in self._warm:
            self._warm.add(key)
            return function()
        if key not in self._recorded:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool):
                result = function()
            self._recorded[key] = graph, result
        graph, result = self._recorded[key]
        graph.replay()
        return result
