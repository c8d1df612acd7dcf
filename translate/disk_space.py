"""Full disks in words: what could not be written, how much room there is and how much is needed."""

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
    """True if there was no room: on the disk, in the user's quota, or under the limit for the size of a file."""
    return _number(error) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _number(error: OSError) -> int | None:
    """The system's number of an error; NumPy tells a short write, which only a full disk makes, without one."""
    is_short_write = error.errno is None and re.fullmatch(r"\d+ requested and \d+ written", str(error))
    return errno.ENOSPC if is_short_write else error.errno


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Give errors of the system the name of the file that is written, which those of an open file lack."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except RuntimeError as error:
        # torch.save fails once more while it handles the error of the system
        if not isinstance(error.__context__, OSError):
            raise
        error.__context__.filename = str(path)
        raise error.__context__ from None


def describe(error: OSError) -> str:
    """An error of the system in one line, with the name of the file if the system gave one."""
    if is_full(error):
        return describe_full(error.filename or "a file", error)
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def describe_full(path: str | Path, error: OSError, *, needed: int = 0) -> str:
    """The file or folder that cannot be written, the reason, and as far as they are known the bytes free and needed."""
    details, number = [], _number(error)
    # under a limit or a quota, the free bytes of the disk say nothing
    if number == errno.EFBIG:
        details.append(f"the limit is {readable(resource.getrlimit(resource.RLIMIT_FSIZE)[0])}, see ulimit -f")
    elif number == errno.ENOSPC and (free := free_bytes(Path(path))) is not None:
        details.append(f"{readable(free)} free")
    if needed and details:
        details.append(f"about {readable(needed)} needed")
    reason = error.strerror or os.strerror(number or 0)
    return f"{path} cannot be written: {reason}" + (f" ({', '.join(details)})" if details else "")


def write_error(path: Path, error: OSError, *, option: str = "", outcome: str = "", needed: int = 0) -> UserError:
    """The error of a file or folder that cannot be written, for the user: a FullDiskError where there is no room.

    option   that names the path
    outcome  what is kept, or can be done
    """
    text = f"{option}: " if option else ""
    text += describe_full(path, error, needed=needed) + (f"; {outcome}" if outcome else "")
    return FullDiskError(text) if is_full(error) else UserError(text)


def free_bytes(path: Path) -> int | None:
    """Bytes that this user may still write on the disk of a path, which need not exist; None: unknown."""
    # the first folder that exists is on the disk that the path will be on
    for folder in (path, *path.absolute().parents):
        with suppress(OSError):
            return shutil.disk_usage(folder).free
    return None


def size_of(paths: Iterable[Path]) -> int:
    """Bytes in files and folders."""
    files = [file for path in paths for file in (path, *path.rglob("*")) if file.is_file()]
    return sum(file.stat().st_size for file in files)


def readable(size: int) -> str:
    """A number of bytes for people."""
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size:,} bytes"
