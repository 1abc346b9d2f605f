"""Freed memory stays with a process that trains: its next step does not have the system clear every page anew."""

import platform
import subprocess
import sys

import pytest

from labkit.training import allocator

FAULTS = """
import resource, sys
import torch
from labkit.training.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def step():
    tensors = [torch.ones(2_000_000) for _ in range(20)]  # 20 x 8 MB, all freed when the step ends

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(3):
    step()
before = faults()
for _ in range(5):
    step()
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_a_step_finds_the_memory_of_the_one_before():
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, check=True).stdout)
        for how in ("given back", "kept")
    }
    assert faults["kept"] * 10 < faults["given back"], faults


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("another library's settings"))
    assert not allocator.keep_freed_memory()
