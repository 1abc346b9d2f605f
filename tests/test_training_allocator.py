"""Freed memory stays with a process that trains, for its next step to find."""

import platform
import subprocess
import sys

import pytest

from labkit.training import allocator

FREED = """
import resource, sys
from pathlib import Path

import torch
from labkit.training.allocator import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def process_bytes():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()

def step():
    tensors = [torch.ones(2_000_000) for _ in range(20)]  # 20 x 8 MB, all freed when the step ends
    return process_bytes()

print(step() - process_bytes())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_a_step_finds_the_memory_of_the_one_before():
    # The size of the process, as some sandboxes count no page faults; of its first step, as glibc itself keeps
    # some of what later ones free, according to what happens to lie at the top of its heap.
    freed = {
        how: int(subprocess.run([sys.executable, "-c", FREED, how], capture_output=True, check=True).stdout)
        for how in ("given back", "kept")
    }
    assert freed["kept"] < 8e6 < 100e6 < freed["given back"], freed


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: pytest.fail("another library's settings"))
    assert not allocator.keep_freed_memory()
