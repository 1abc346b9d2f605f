"""Memory that is freed and wanted again in the next step stays with the process, where the C library is glibc.

By default glibc hands large tensors that are freed, and the top of its heap, back to the system, which clears every
page anew for the next step: with steps as short as the toy's that takes a quarter of the time.
"""

from __future__ import annotations

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
MOST_MMAP_THRESHOLD = 2**25  # the largest that glibc takes
KEPT_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the allocator keep up to 2 GiB of freed memory from now on; returns whether it can.

    Numbers do not change by it. It holds for the whole process and there is no way back short of its end.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_THRESHOLD, MOST_MMAP_THRESHOLD)) and bool(
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
    )
