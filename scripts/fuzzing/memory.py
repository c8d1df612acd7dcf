"""Growth of the peak memory of this process, also below an earlier peak."""

from __future__ import annotations

import ctypes
import re
import resource
import sys
from contextlib import suppress
from pathlib import Path


class MemoryGrowth:
    """Growth of this process's peak memory since the object was made, in megabytes.

    On Linux, the peak first begins again at the resident memory, without what has been freed: work that takes less
    than earlier work is measured, too. Elsewhere only what exceeds the peak of the whole process is seen.
    """

    def __init__(self) -> None:
        if malloc_trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc's
            malloc_trim(0)
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._before = _peak_megabytes()

    @property
    def megabytes(self) -> float:
        return _peak_megabytes() - self._before


def _peak_megabytes() -> float:
    # getrusage's peak is at least the memory of the process that started this one
    with suppress(OSError):
        if found := re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE):
            return int(found[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
