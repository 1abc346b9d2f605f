"""Matrix products with a few rows, on the CPU in float32.

A backbone pass over the eleven tokens of a Turbo step reads the same weights as a pass over one, and on the CPU
reading weights is most of the work. Yet at the 0.5B shape PyTorch's default product makes that pass take 2.4
times as long. Its other library, oneDNN, takes 1.9 times as long with the weights as they are, and 1.2 times with
weights laid out for it (`packed_weights`), which costs their memory a second time. (One thread of an EPYC.)

Weights of toy size are left to the default: there is nothing to gain.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

SMALLEST = 2**19  # elements of a weight; below, the default is as fast
MOST_ROWS = 64
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class FewRowsLinear(nn.Linear):
    """A linear layer that hands products of 2 to 64 rows to oneDNN where no gradient is wanted."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """``(..., in_features)`` to ``(..., out_features)``."""
        few = 2 <= rows.numel() // self.in_features <= MOST_ROWS
        if not few or torch.is_grad_enabled() or rows.dtype != torch.float32 or rows.device.type != "cpu":
            return super().forward(rows)
        weight = self.__dict__.get("packed", self.weight)
        return torch.ops.mkldnn._linear_pointwise(rows, weight, self.bias, "none", [], "")


def pack(weight: torch.Tensor) -> torch.Tensor | None:
    """A copy of a weight ``(out_features, in_features)`` that is laid out for few rows, an opaque tensor of oneDNN.

    None where that is no gain: for small weights, other dtypes and other devices.
    """
    large = weight.numel() >= SMALLEST and weight.dtype == torch.float32 and weight.device.type == "cpu"
    return torch.ops.mkldnn._reorder_linear_weight(weight, MOST_ROWS // 4) if AVAILABLE and large else None


def use_few_rows(module: nn.Module) -> None:
    """Make the large linear layers below ``module`` handle few rows well; parameters and names stay."""
    for part in module.modules() if AVAILABLE else ():
        if type(part) is nn.Linear and part.weight.numel() >= SMALLEST:
            part.__class__ = FewRowsLinear


@contextmanager
def packed_weights(module: nn.Module) -> Iterator[int]:
    """Lay out the weights of all `FewRowsLinear` layers for oneDNN while the block lasts.

    The head is left as it is: it meets one row per sequence. The weights must not change inside the block.

    Yields:
        Bytes that the second copies take.
    """
    layers = [
        part
        for name, part in module.named_modules()
        if isinstance(part, FewRowsLinear) and not name.endswith("lm_head")
    ]
    try:
        packed = {layer: pack(layer.weight.detach()) for layer in layers}
        for layer, weight in packed.items():
            if weight is not None:
                layer.__dict__["packed"] = weight  # no parameter or buffer: state dicts know nothing of it
        yield sum(layer.weight.nbytes for layer, weight in packed.items() if weight is not None)
    finally:
        for layer in layers:
            layer.__dict__.pop("packed", None)
