"""Matrix products with a few rows, on the CPU in float32.

Decoding multiplies one row, or the eleven of a Turbo step, by every weight, and on the CPU reading weights is most of
the work. PyTorch's default product reads them with one thread where there is one row, and at eleven rows, at the 0.5B
shape, takes 2.4 times as long. Its other library, oneDNN, reads with all threads, and takes 1.9 times as long with the
weights as they are and 1.0 to 1.2 times with weights laid out for it (`pack`), which costs their memory a second time.
(An EPYC, one thread and two.)

Small weights are left to the default: there is little to gain.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import linear

SMALLEST = 2**19  # elements of a weight; below, the default is nearly as fast
MOST_ROWS = 64
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def few_rows_linear(
    rows: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """``(..., in_features)`` to ``(..., out_features)``, by oneDNN where that is the faster way.

    Args:
        rows: of any number.
        weight: ``(out_features, in_features)``, or what `pack` made of it.
        bias: ``(out_features,)``.
    """
    if weight.is_mkldnn or _suits(rows, weight):
        return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return linear(rows, weight, bias)


def _suits(rows: torch.Tensor, weight: torch.Tensor) -> bool:
    return _large(weight) and 0 < rows.numel() // weight.shape[1] <= MOST_ROWS and not torch.is_grad_enabled()


def _large(weight: torch.Tensor) -> bool:
    on_cpu = weight.dtype == torch.float32 and weight.device.type == "cpu"
    return AVAILABLE and on_cpu and weight.numel() >= SMALLEST


class FewRowsLinear(nn.Linear):
    """A linear layer that hands products of up to 64 rows to oneDNN where no gradient is wanted."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """``(..., in_features)`` to ``(..., out_features)``."""
        packed = self.__dict__.get("packed")
        return few_rows_linear(
            rows, packed if packed is not None and _suits(rows, self.weight) else self.weight, self.bias
        )


def pack(weight: torch.Tensor) -> torch.Tensor | None:
    """A copy of a weight ``(out_features, in_features)`` that is laid out for few rows, an opaque tensor of oneDNN.

    None where that is no gain: for small weights, other dtypes and other devices.
    """
    return torch.ops.mkldnn._reorder_linear_weight(weight, MOST_ROWS // 4) if _large(weight) else None


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
