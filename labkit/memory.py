"""Memory as people read it, and whether there is enough of it before anything is loaded."""

import psutil
import torch

GIB = 2**30


def readable(count: int) -> str:
    """A number of bytes for people: ``"1.5 GiB"``."""
    value, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def free_memory(device: torch.device) -> int | None:
    """Bytes free on a device, or None where nobody can say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available if device.type == "cpu" else None


def check_room(line: str, needed: int, device: torch.device, free: int | None) -> str:
    """``line`` with the free memory added to it.

    Args:
        line: what is to be loaded, where, and what it takes.
        needed: bytes that must fit.
        device: where they go.
        free: bytes free there, or None where nobody can say.

    Raises:
        MemoryError: they do not fit.
    """
    line = f"{line} on {device}"
    if free is None:
        return line
    if needed > free:
        raise MemoryError(
            f"{line}, but only {readable(free)} are free. Use a smaller dtype or model, or another device."
        )
    return f"{line}; {readable(free)} free"
