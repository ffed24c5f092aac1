"""What the C library does with memory that torch gives back."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> bool:
    """Let glibc reuse freed activations in place of handing their pages back to the kernel after every layer.

    By default each large tensor is mapped and unmapped anew, and the kernel clears its pages each time: a fifth of a
    small network's training time on a CPU. The process holds on to the memory of its largest batch instead.

    Returns:
        whether this C library can be told so.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl has none
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, 1 << 30)) and bool(mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1))
