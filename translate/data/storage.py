"""Rows of different lengths in one memory-mapped file; and folders that appear complete or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from translate.errors import UserError


class RaggedWriter:
    """Appends rows to NAME.bin; close() adds NAME.offsets.npy, where each row begins (N + 1 numbers)."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._file = open(directory / f"{name}.bin", "wb")  # noqa: SIM115
        self._lengths: list[NDArray[np.int32]] = []

    def __len__(self) -> int:
        return sum(map(len, self._lengths))

    def append(self, values: bytes, lengths: NDArray[np.integer]) -> None:
        """Several rows: the bytes of their values end to end, and how many values each has."""
        self._file.write(values)
        self._lengths.append(lengths.astype(np.int32))

    def close(self) -> None:
        self._file.close()
        offsets = np.zeros(len(self) + 1, dtype=np.int64)
        np.cumsum(np.concatenate([*self._lengths, np.empty(0, np.int32)]), out=offsets[1:])
        np.save(self._directory / f"{self._name}.offsets.npy", offsets)


class Ragged:
    """What RaggedWriter wrote: row i is values[offsets[i]:offsets[i + 1]], read from disk when touched."""

    def __init__(self, directory: Path, name: str, dtype: DTypeLike) -> None:
        self.offsets: NDArray[np.int64] = np.load(directory / f"{name}.offsets.npy", mmap_mode="r")
        self._map: mmap.mmap | None = None
        self.values: NDArray[Any] = np.empty(0, dtype)
        if self.offsets[-1]:
            with open(directory / f"{name}.bin", "rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self.values = np.frombuffer(self._map, dtype)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self) -> NDArray[np.int32]:
        return np.diff(self.offsets).astype(np.int32)

    def rows(self, indices: NDArray[np.integer]) -> list[NDArray[Any]]:
        """A view of each row."""
        return [self.values[start:end] for start, end in self._bounds(indices)]

    def texts(self, indices: NDArray[np.integer]) -> list[str]:
        """Each row, bytes of UTF-8, as text."""
        view = memoryview(self._map or b"")
        return [str(view[start:end], "utf-8") for start, end in self._bounds(indices)]

    def release(self) -> None:
        """Give back the memory of what was read, so that one pass over everything does not hold it all."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _bounds(self, indices: NDArray[np.integer]) -> Iterator[tuple[int, int]]:
        indices = np.asarray(indices)
        return zip(self.offsets[indices].tolist(), self.offsets[indices + 1].tolist(), strict=True)


@contextmanager
def building(directory: Path) -> Iterator[Path | None]:
    """A folder to fill that becomes `directory` in one step at the end; None if that is there already.

    One process builds, others asking for the same wait; killed at any moment, it leaves nothing that looks
    complete.
    """
    if directory.exists():
        yield None
        return
    with _as_user_error(directory.parent):
        directory.parent.mkdir(parents=True, exist_ok=True)
        with open(directory.parent / f".{directory.name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if directory.exists():
                yield None
                return
            partial = directory.parent / f".{directory.name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                yield partial
                _sync(partial)
                partial.rename(directory)
            finally:
                shutil.rmtree(partial, ignore_errors=True)


def digest(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _sync(directory: Path) -> None:
    for path in [*directory.iterdir(), directory]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _as_user_error(directory: Path) -> Iterator[None]:
    causes = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)
    try:
        yield
    except OSError as error:
        if error.errno not in causes:
            raise
        raise UserError(
            f"data.cache: {directory} cannot be written ({error.strerror}); "
            "make room, or set data.cache to another folder"
        ) from None
