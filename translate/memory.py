"""Memory of this machine: refusal of work that cannot fit, out-of-memory errors, and the C allocator."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

from translate.disk_space import readable
from translate.errors import UserError

# limits of containers: of control groups version 2, and of version 1
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of memory available to a process: of the machine, or the limit of its container; 0: unknown."""
    limits = []
    with suppress(AttributeError, ValueError, OSError):  # systems without sysconf, or without these names
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # "max" stands for no limit
            limits.append(int(Path(path).read_text(encoding="ascii")))
    return min(limits, default=0)


def require_memory(needed: int, memory: int, *, purpose: str, remedy: str) -> None:
    """Raise UserError, with both figures, for work that needs more memory than the machine has; 0: unknown."""
    if memory and needed > memory:
        raise UserError(f"{purpose} needs {readable(needed)} of memory, and there are {readable(memory)}: {remedy}")


# messages of the CPU allocator, CUDA and its libraries; only PyTorch's caching allocator has its own exception class
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "STATUS_ALLOC_FAILED",
    "can't start new thread",  # Python's, of a thread whose stack finds no room, or under `ulimit -u`
)


def is_out_of_memory(error: Exception) -> bool:
    """True for an out-of-memory error of Python or PyTorch, on any device."""
    if isinstance(error, RuntimeError):
        return any(text in str(error) for text in _OUT_OF_MEMORY)
    return isinstance(error, MemoryError)


def describe_out_of_memory(error: Exception) -> str:
    """An out-of-memory error in one line."""
    reason = str(error).partition("\n")[0] or "Python found no room for an object"
    return f"out of memory: {reason}"


def keep_memory() -> None:
    """Have the C allocator keep large blocks instead of returning them to the system after every tensor.

    On a CPU, the page faults would cost several times the actual work. Sets glibc's M_MMAP_THRESHOLD and
    M_TRIM_THRESHOLD; other C libraries lack mallopt and are not changed.
    """
    mmap_threshold, trim_threshold, largest = -3, -1, 2**31 - 1
    # thresholds in environment variables take precedence
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"} & os.environ.keys():
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, largest)
