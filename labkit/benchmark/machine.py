"""What a machine is, and how fast it moves bytes: the speed limit of decoding one sequence."""

import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

from labkit.benchmark.timing import Timing

COPY_BYTES = {"cuda": 2**30, "cpu": 2**27}  # each far larger than the caches of its kind of device


def describe(device: torch.device | str) -> dict[str, str | int]:
    """A machine in words, for people who compare."""
    device = torch.device(device)
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else _processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def copy_bandwidth(device: torch.device | str, repeats: int = 10, size: int | None = None) -> Timing:
    """Bytes per second of a large copy, each byte counted twice: it is read, and it is written.

    Args:
        device: whose memory.
        repeats: copies that count, after two that do not.
        size: bytes to copy; unless given, many times what the caches hold.
    """
    device = torch.device(device)
    size = COPY_BYTES.get(device.type, COPY_BYTES["cpu"]) if size is None else size
    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    times = [seconds(lambda: target.copy_(source), device) for _ in range(repeats + 2)][2:]
    return Timing.of([2 * source.nbytes / each for each in times])


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long some work takes on a device, from an idle one to an idle one."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun
