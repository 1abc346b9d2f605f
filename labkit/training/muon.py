"""Muon (Jordan et al., 2024) as torch has it, with the Newton-Schulz iteration in the parameters' own precision.

torch's iterates in bfloat16, which GPUs are fast at. Most CPUs are not: there it takes twice as long as in float32, and
two fifths of a training step of the toy. torch has no option for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Muon
from torch.optim.optimizer import ParamsT


class PreciseMuon(Muon):
    """Muon for matrices, its updates scaled to the size of AdamW's; states and options are torch's.

    Args:
        params: matrices, or groups of them.
        options: whatever else `torch.optim.Muon` takes, except ``adjust_lr_fn``.
    """

    def __init__(self, params: ParamsT, **options: Any) -> None:
        super().__init__(params, adjust_lr_fn="match_rms_adamw", **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move every parameter that has a gradient; returns what ``closure`` returns, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict) -> None:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
        update = orthogonalize(ahead, group["ns_coefficients"], group["ns_steps"], group["eps"])
        size = 0.2 * max(parameter.shape) ** 0.5
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(update, alpha=-group["lr"] * size)


def orthogonalize(
    matrix: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> torch.Tensor:
    """Bring all singular values of a matrix near one by a quintic Newton-Schulz iteration.

    Args:
        matrix: ``(rows, columns)``; its precision is the iteration's.
        coefficients: of the polynomial's first, third and fifth power.
        steps: of the iteration.
        eps: least norm that is divided by.

    Returns:
        ``(rows, columns)``, of the same precision.
    """
    first, third, fifth = coefficients
    tall = matrix.shape[0] > matrix.shape[1]
    found = matrix.T if tall else matrix  # the smaller of the two Gram matrices
    found = found / found.norm().clamp(min=eps)
    for _ in range(steps):
        gram = found @ found.T
        polynomial = torch.addmm(gram, gram, gram, beta=third, alpha=fifth)
        found = torch.addmm(found, polynomial, found, beta=first)
    return found.T if tall else found
