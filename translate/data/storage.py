"""What preparation keeps on disk: folders in the cache, and rows of different lengths in one memory-mapped file."""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from translate.errors import UserError
from translate.files import read_json, write_json
from translate.folders import building

_SIZES = "sizes.json"  # file name -> bytes, of all other files in a folder of the cache

logger = logging.getLogger(__name__)


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
    """Reads the files of RaggedWriter: row i is values[offsets[i]:offsets[i + 1]], read from disk when touched."""

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
def building_in_cache(directory: Path, *, waiting_for: str) -> Iterator[Path | None]:
    """A folder of the cache to fill; None if it is there already with all its files in full. See folders.building."""
    with building(directory, option="data.cache", waiting_for=waiting_for, is_whole=_is_whole) as folder:
        if folder is not None and directory.exists():
            logger.warning(f"{directory} is damaged or incomplete: it is made again")
        yield folder
        if folder is not None:
            write_json(folder / _SIZES, _sizes(folder))


def _is_whole(directory: Path) -> bool:
    """By the sizes alone: to read everything would take longer than many a run's start."""
    try:
        return read_json(directory / _SIZES) == _sizes(directory)
    except (OSError, UserError):
        return False


def _sizes(directory: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in sorted(directory.iterdir()) if path.name != _SIZES}


def digest(value: Any) -> str:
    """SHA-256 of a JSON value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
