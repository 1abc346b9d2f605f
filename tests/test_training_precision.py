"""bf16 only where it is faster: a processor that has to emulate it takes longer than in float32."""

import pytest
import torch

from labkit.training.fit import mixed_precision
from labkit.training.precision import fast_in_bf16


@pytest.mark.parametrize(
    ("capabilities", "fast"),
    [
        ({"avx2": True, "avx512_f": True, "amx_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"neon": True, "bf16": True}, True),
        ({}, False),
    ],
)
def test_a_processor_is_asked_for_its_instructions(monkeypatch, capabilities, fast):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert fast_in_bf16("cpu") is fast
    with mixed_precision("cpu"):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if fast else torch.float32)


def test_a_gpu_is_fast_in_it():
    assert fast_in_bf16("cuda")
