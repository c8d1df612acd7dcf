"""Memory of a process and all that it started, as Linux accounts for it."""

from __future__ import annotations

import re
import threading
from pathlib import Path

_INTERVAL = 0.05  # seconds between samples


def peak_resident(pid: int) -> int:
    """The most bytes that one process has had in memory since it began, or since forget_peak()."""
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmHWM") * 1024


def resident(pid: int) -> int:
    return _kilobytes(Path(f"/proc/{pid}/status"), "VmRSS") * 1024


def forget_peak() -> None:
    """Let this process's peak begin again at what it has in memory now."""
    Path("/proc/self/clear_refs").write_text("5")


def descendants(pid: int) -> list[int]:
    """A process and all that it and its children started."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue  # it has ended meanwhile
    return found


def proportional(pid: int) -> int:
    """Bytes of the whole tree in memory, what several processes share counted once."""
    return sum(_kilobytes(Path(f"/proc/{each}/smaps_rollup"), "Pss") for each in descendants(pid)) * 1024


class TreeWatch:
    """Samples a tree's memory until it is left: peak is the highest sample, in bytes."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak = pid, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> TreeWatch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            self.peak = max(self.peak, proportional(self.pid))
            if self._over.wait(_INTERVAL):
                return


def _kilobytes(path: Path, key: str) -> int:
    """0 for a process that has ended."""
    try:
        found = re.search(rf"^{key}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0
