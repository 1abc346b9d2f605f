"""Where bf16 pays: on every GPU, and on processors that multiply in it. Others emulate it, slower than float32."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "no", "bf16")

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")


def fast_in_bf16(device: torch.device | str | None = None) -> bool:
    """Whether matrix products in bf16 are faster than in float32.

    Args:
        device: where; the GPU if there is one and the processor if not, unless given.
    """
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if device is None else torch.device(device).type
    if kind != "cpu":
        return True
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # which older versions of torch lack
    return any(capabilities.get(name, False) for name in _INSTRUCTIONS)
