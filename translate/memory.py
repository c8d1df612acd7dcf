"""Memory of this machine, and refusal of work that cannot fit into it, before anything is allocated."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from translate.errors import UserError

# limits of containers: of control groups version 2, and of version 1
_CONTAINER_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of memory that a process may use here: the machine's, or the limit of its container; 0: unknown."""
    limits = []
    with suppress(AttributeError, ValueError, OSError):  # systems without sysconf, or without these names
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # "max" stands for no limit
            limits.append(int(Path(path).read_text(encoding="ascii")))
    return min(limits, default=0)


def require_memory(needed: int, memory: int, *, purpose: str, remedy: str) -> None:
    """Raise UserError, with both figures, for work that needs more bytes than there are; 0 bytes: unknown."""
    if memory and needed > memory:
        raise UserError(f"{purpose} needs {gigabytes(needed)} of memory, and there are {gigabytes(memory)}: {remedy}")


def gigabytes(size: int) -> str:
    """A number of bytes, in GB for a message."""
    return f"{size / 1e9:,.1f} GB"
