"""Identity, size and time of change of files, by which a running service sees that they were replaced."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class FileState(NamedTuple):
    """State of a file; another one means that the file was changed or replaced."""

    path: Path
    inode: int
    size: int
    modified_ns: int


def file_state(path: Path) -> FileState | None:
    """State of a file; None if there is none, or it cannot be looked at."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return FileState(path, stat.st_ino, stat.st_size, stat.st_mtime_ns) if path.is_file() else None
