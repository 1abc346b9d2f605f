"""Fresh weights for networks whose trained ones are too large to have around: for speed and shapes, never for sound."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def randomize(module: nn.Module, generator: torch.Generator) -> None:
    """Draw every parameter: weights N(0, 1 / inputs), so that activations keep their size, norms 1, biases 0.

    A weight-normed convolution gets the lengths that its directions have.
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim < 2:
            parameter.fill_(float(name.rpartition(".")[2] in ("weight", "alpha")))
        else:
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn * parameter[0].numel() ** -0.5)
    for name, lengths in module.named_parameters():
        if name.endswith("weight_g"):
            directions = module.get_parameter(name.removesuffix("g") + "v")
            lengths.copy_(directions.norm(dim=(1, 2), keepdim=True))
