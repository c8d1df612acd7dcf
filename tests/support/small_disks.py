"""Small disks in memory, which fill up quickly; mounting them is for root alone."""

from __future__ import annotations

import subprocess
from pathlib import Path


def small_disk(folder: Path, kib: int) -> bool:
    """Mount a disk of this size at a new folder; False where that is not allowed."""
    folder.mkdir()
    return _succeeds("mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder))


def resize_disk(folder: Path, kib: int) -> None:
    assert _succeeds("mount", "-o", f"remount,size={kib}k", str(folder))


def remove_disk(folder: Path) -> None:
    _succeeds("umount", "-l", str(folder))


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False
