"""Where bf16 pays: on GPUs and processors that multiply in it. Others emulate it, slower than float32."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "no", "bf16")

_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")


def fast_in_bf16(device: torch.device | str) -> bool:
    """Whether matrix products in bf16 are known to be faster than in float32.

    Args:
        device: where. Nothing is known of kinds other than CUDA's GPUs and processors, such as Apple's GPUs.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if kind != "cpu":
        return False
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # which older versions of torch lack
    return any(capabilities.get(name, False) for name in _INSTRUCTIONS)
