"""The key/value cache of backbone and chain: plain tensors of fixed capacity, written in place."""

import torch


class KeyValueCache:
    """Keys and values of every layer that has run, allocated when a layer first runs.

    Layers are numbered as in the released checkpoints: the backbone's, then the MCTP modules'. The layers do
    not advance together: a module that is skipped for a while catches up at its next use.

    Args:
        capacity: most rows a layer can hold.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._layers: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._lengths: dict[int, int] = {}

    def length(self, layer: int) -> int:
        """Rows that ``layer`` holds."""
        return self._lengths.get(layer, 0)

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append rows and return all there are: the method that transformers' attention layers call.

        Args:
            keys: ``(batch, kv_heads, rows, head_dim)``.
            values: like ``keys``.
            layer: index of the layer.

        Returns:
            Views of the keys and values ``(batch, kv_heads, length, head_dim)``.

        Raises:
            ValueError: the rows do not fit.
        """
        start = self.length(layer)
        stop = start + keys.shape[2]
        if stop > self.capacity:
            raise ValueError(f"layer {layer} would hold {stop} rows, the cache has room for {self.capacity}")
        if layer not in self._layers:
            shape = (keys.shape[0], keys.shape[1], self.capacity, keys.shape[3])
            self._layers[layer] = keys.new_empty(shape), values.new_empty(shape)
        held_keys, held_values = self._layers[layer]
        held_keys[:, :, start:stop] = keys
        held_values[:, :, start:stop] = values
        self._lengths[layer] = stop
        return held_keys[:, :, :stop], held_values[:, :, :stop]

    def crop(self, layer: int, length: int) -> None:
        """Forget the rows of ``layer`` from ``length`` on; those behind it are overwritten next."""
        self._lengths[layer] = min(self.length(layer), max(length, 0))

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return sum(tensor.nbytes for pair in self._layers.values() for tensor in pair)
