"""Locks between processes."""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from filelock import FileLock, Timeout

from translate.errors import UserError
from translate.files import read_json, write_json


class ProcessLock:
    """A lock that one process holds at a time, any number of times; the system releases that of a killed process.

    NAME.json beside the lock file names the holder, for messages only.
    """

    _taken: ClassVar[dict[Path, tuple[FileLock, int]]] = {}  # locks that this process holds, and how often

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path.parent)) / path.name
        self._note = self._path.with_name(self._path.name + ".json")

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock; whether that succeeded. With wait, return when it has."""
        lock, times = self._taken.get(self._path) or (FileLock(self._path, thread_local=False), 0)
        if not times:
            try:
                lock.acquire(timeout=-1 if wait else 0)
            except Timeout:
                return False
            started = time.strftime("%Y-%m-%d %H:%M:%S")
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
        self._note.unlink(missing_ok=True)
        lock.release()

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def holder(self) -> str:
        """Process, host and start of the holder, as far as they are known."""
        with suppress(OSError, UserError, KeyError):
            note = read_json(self._note)
            return f"pid {note['pid']} on {note['host']}, since {note['started']}"
        return "pid unknown"
