"""Memory that is freed and asked for again in every update, and memory that is not there."""

import ctypes
import re

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Names of glibc's mallopt: what is given back to the system at once, and from which size on memory comes from it
directly."""
LIMIT = 2**31 - 1
"""Bytes, the largest that mallopt takes."""


def keep_freed_memory() -> bool:
    """Lets the process keep the memory that it frees, for itself.

    The maps of an update on a CPU are as large as those of the one before. glibc gives them back to
    the system at its end, and the system clears every page of them again at the next: a tenth to a
    fifth of the time of the standard CNN at width 16.

    Returns:
        Whether the C library has such a setting; others than glibc are left as they are.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(option, LIMIT) for option in (M_TRIM_THRESHOLD, M_MMAP_THRESHOLD))


NO_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "CUDA error: out of memory", "_STATUS_ALLOC_FAILED")
"""What torch says where its exception has no class of its own for it."""


def ran_out(error: BaseException) -> bool:
    """Whether torch, NumPy or Python could not have memory that was asked for.

    torch's exception is known by its name, as torch takes long to import.
    """
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or any(words in str(error) for words in NO_MEMORY)


def shortage(error: BaseException) -> str:
    """Where there was no memory, and for how much, if the exception says so."""
    on_gpu = type(error).__name__ == "OutOfMemoryError" or re.search(r"\bCU[A-Z]+", str(error))
    asked = re.search(r"allocate ([\d.]+) ?(\w+)", str(error))
    return f"the {'GPU' if on_gpu else 'main memory'} is full" + (f" ({asked[1]} {asked[2]} more)" if asked else "")
