"""Errors of writing files, with free and needed space if the disk is full."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from translate.errors import FullDiskError, UserError

_UNITS = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def is_full(error: OSError) -> bool:
    """True for a full disk, an exceeded quota or limit for file sizes."""
    return _number(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _number(error: OSError) -> int | None:
    """errno of an error. NumPy reports a short write, which only a full disk causes, without it."""
    is_short_write = error.errno is None and re.fullmatch(r"\d+ requested and \d+ written", str(error))
    return errno.ENOSPC if is_short_write else error.errno


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the name of the written file to OSErrors, since errors of an open file lack it."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except RuntimeError as error:
        # torch.save raises another error while it handles the OSError
        if not isinstance(error.__context__, OSError):
            raise
        error.__context__.filename = str(path)
        raise error.__context__ from None


def describe(error: OSError) -> str:
    """An OSError in one line, with the name of the file if it is known."""
    if is_full(error):
        return describe_full(error.filename or "a file", error)
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def describe_full(path: str | Path, error: OSError, *, needed: int = 0) -> str:
    """Message with the file or folder that cannot be written, the reason, and the free and needed bytes if known."""
    details, number = [], _number(error)
    # with a limit or quota, the free bytes of the disk are irrelevant
    if number == errno.EFBIG:
        details.append(f"the limit is {readable(resource.getrlimit(resource.RLIMIT_FSIZE)[0])}, see ulimit -f")
    elif number == errno.ENOSPC and (free := free_bytes(Path(path))) is not None:
        details.append(f"{readable(free)} free")
    if needed and details:
        details.append(f"about {readable(needed)} needed")
    reason = error.strerror or os.strerror(number or 0)
    return f"{path} cannot be written: {reason}" + (f" ({', '.join(details)})" if details else "")


def write_error(path: Path, error: OSError, *, option: str = "", outcome: str = "", needed: int = 0) -> UserError:
    """UserError for a file or folder that cannot be written; FullDiskError if there is no space.

    option   option that names the path
    outcome  remark on kept files or a way out
    """
    text = f"{option}: " if option else ""
    text += describe_full(path, error, needed=needed) + (f"; {outcome}" if outcome else "")
    return FullDiskError(text) if is_full(error) else UserError(text)


def free_bytes(path: Path) -> int | None:
    """Bytes that this user can still write on the disk of a path, which may not exist yet; None: unknown."""
    # the closest existing parent is on the same disk
    for folder in (path, *path.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(folder).free
    return None


def size_of(paths: Iterable[Path]) -> int:
    """Total size of files and folders in bytes."""
    files = [file for path in paths for file in (path, *path.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files)


def readable(size: int) -> str:
    """A number of bytes as text with a unit."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size:,} bytes"
