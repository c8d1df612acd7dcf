"""Locks between processes, and descriptions of the process that holds one."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from filelock import FileLock, Timeout

from translate.errors import UserError
from translate.files import read_json, write_json

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0  # between checks of the holder of a lock
_REPEAT_SECONDS = 600.0  # between messages about an unchanged holder


class ProcessLock:
    """A reentrant lock between processes; the system releases the lock of a killed process.

    NAME.json in the folder of the lock file describes the holder, only for messages.
    """

    _taken: ClassVar[dict[Path, tuple[FileLock, int]]] = {}  # locks that this process holds, and how often

    def __init__(self, path: Path) -> None:
        # one key for every spelling of the path
        self._path = Path(os.path.realpath(path.parent)) / path.name
        self._note = self._path.with_name(self._path.name + ".json")

    def acquire(self) -> bool:
        """Take the lock unless another process holds it; True if it was taken."""
        return self._acquire(timeout=0)

    def wait(self, report: Callable[[str], None]) -> None:
        """Acquire the lock; while another process holds it, report the holder: at first, on changes, and every 10 min.

        report  called with holder()
        """
        said, said_at = "", 0.0
        while not self._acquire(timeout=_LOOK_SECONDS if said else 0):
            holder, now = self.holder(), time.monotonic()
            if holder != said or now - said_at > _REPEAT_SECONDS:
                report(holder)
                said, said_at = holder, now

    def _acquire(self, *, timeout: float) -> bool:
        # per process, not per thread: the writer thread and the main thread share the lock
        lock, times = self._taken.get(self._path) or (FileLock(self._path, thread_local=False), 0)
        if not times:
            try:
                lock.acquire(timeout=timeout)
            except Timeout:
                return False
            started = time.strftime("%Y-%m-%d %H:%M:%S")
            with suppress(OSError):  # the lock is held even if the disk is full
                write_json(self._note, {"host": socket.gethostname(), "pid": os.getpid(), "started": started})
        self._taken[self._path] = lock, times + 1
        return True

    def release(self) -> None:
        """Undo one acquire; the last one frees the lock. Does nothing if this process does not hold it."""
        if self._path not in self._taken:
            return
        lock, times = self._taken.pop(self._path)
        if times > 1:
            self._taken[self._path] = lock, times - 1
            return
        # before the lock is released: later the note could be that of the next holder
        self._note.unlink(missing_ok=True)
        lock.release()

    def __enter__(self) -> Self:
        self.wait(lambda holder: logger.info(f"waiting for another process at {self._path} ({holder})"))
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def holder(self) -> str:
        """Process id, host, start time and state of the holder, as far as they are known."""
        with suppress(OSError, UserError, KeyError, ValueError):
            note = read_json(self._note)
            remark = describe_process(int(note["pid"])) if note["host"] == socket.gethostname() else ""
            return f"pid {note['pid']} on {note['host']}, since {note['started']}{remark}"
        return "pid unknown"


def describe_process(pid: int) -> str:
    """Remark on a process of this host that is stopped; "" for a running one.

    Raises ProcessLookupError if the process has ended, so that its note is outdated.
    """
    with suppress(PermissionError):  # a process of another user
        os.kill(pid, 0)  # only checks that the process exists
    state = ""
    with suppress(OSError):  # where there is no /proc, as on macOS
        # PID (NAME) STATE …, where the name may hold spaces and brackets
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0]
    is_stopped = state in ("T", "t")
    return f"; that process is stopped: kill -CONT {pid} lets it go on, kill -9 {pid} ends it" if is_stopped else ""
