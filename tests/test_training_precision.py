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


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_gpu_that_emulates_it_is_slow_in_it(monkeypatch, multiplies):
    def supported(including_emulation=True):
        return multiplies or including_emulation  # as on a T4

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert fast_in_bf16("cuda") is multiplies


def test_what_other_devices_do_is_not_guessed_from_the_processor(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"bf16": True}, raising=False)
    assert not fast_in_bf16("mps")
