"""Files and folders that appear complete or not at all, and that replace nothing but what this program made.

Whatever gets a name is first written under a private name beside it, flushed to disk and then renamed. A process
killed at any moment leaves the old content or the new one, and at most a private name of the form
NAME.0123abcd.partial (a file) or NAME.0123abcd.new or .old (a folder).
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Self

from filelock import FileLock, Timeout

from translate.errors import UserError

MARKER = ".made-by-translate-seq2seq"  # says which kind of folder the program made here

_MAX_LINKS = 40  # as the Linux kernel
_NAME_LENGTH = 50  # of a private name's first part: the whole has at most 255 bytes
_PRIVATE_FOLDER = re.compile(r"(?P<name>.+)\.[0-9a-f]{8}\.(?P<kind>new|old)")
_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

logger = logging.getLogger(__name__)


@contextmanager
def atomic_file(path: str | Path, *, on_error: Callable[[Path], None] = Path.unlink) -> Iterator[BinaryIO]:
    """A binary stream to a file that gets its name when everything is on disk.

    A symbolic link stays, and its target is replaced. A pipe or device is written directly. A file that is replaced
    keeps its permissions. on_error is given the private file after an error; by default it is removed.
    """
    target, is_stream = follow_links(Path(path))
    if is_stream:
        # append: /dev/stdout may be a file that others write to as well
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_APPEND), "wb") as stream:
            yield stream
        return
    permissions = _permissions_to_keep(target)
    partial = None
    try:
        partial = _private_name(target, "partial")
        # O_EXCL and O_NOFOLLOW: never a file or link that somebody else has put there
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            if permissions is not None:
                os.fchmod(descriptor, permissions)
            yield stream
            stream.flush()
            os.fsync(descriptor)
        os.replace(partial, target)
        _flush(target.parent)
    except BaseException as error:
        if partial is not None and partial.exists():
            on_error(partial)
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            error.filename = str(path)  # the name that the person knows
        raise


def follow_links(path: Path) -> tuple[Path, bool]:
    """Where a file is written: the end of a chain of symbolic links, and whether that is a pipe, terminal or device.

    Raises UserError where the links form a loop.
    """
    for _ in range(_MAX_LINKS):
        if os.path.realpath(path.parent).startswith("/proc/"):
            return path, True  # an open file of a process, such as /dev/stdout
        if not path.is_symlink():
            return path, path.exists() and not path.is_file()
        path = path.parent / path.readlink()
    raise UserError(f"{path}: a loop of symbolic links; name another file")


def _permissions_to_keep(target: Path) -> int | None:
    """Of the file that is replaced; None where there is none. Raises PermissionError for one protected from writing."""
    try:
        permissions = stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is protected from writing", str(target))
    return permissions & 0o777


def _private_name(path: Path, kind: str) -> Path:
    return path.with_name(f"{path.name[:_NAME_LENGTH]}.{secrets.token_hex(4)}.{kind}")


def write_bytes(path: str | Path, content: bytes) -> None:
    with atomic_file(path) as stream:
        stream.write(content)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8; line ends stay as they are."""
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """A JSON object; UserError where the file holds something else."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not JSON, the file is damaged: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: a JSON object is expected here, found {type(content).__name__}")
    return content


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_regular(path: str | Path, *, option: str) -> None:
    """UserError for a pipe or device where a file is read more than once. A missing file is left to its reader."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        what = "pipe" if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else "device"
        raise UserError(f"{option}={path}: a {what} cannot be read twice; write it to a file first")


@contextmanager
def replaced_directory(directory: Path, *, owned: Collection[str]) -> Iterator[Path]:
    """A new folder to fill, which then takes the place of `directory`; on an error the old one stays.

    owned  patterns of the names that this program gives in such a folder. Anything else in the old folder is moved
           into the new one.

    A folder that cannot be written is a UserError. See restore_directory for what a killed process leaves.
    """
    directory = Path(os.path.realpath(directory))
    new, old = _private_name(directory, "new"), _private_name(directory, "old")
    try:
        new.mkdir(parents=True)
        yield new
        _flush_all(new)
        if directory.exists():
            directory.rename(old)
        new.rename(directory)
        _flush(directory.parent)
    except OSError as error:
        before = "; the one before stays" if directory.exists() else ""
        raise UserError(f"{directory} cannot be written: {error.strerror}{before}") from None
    finally:
        if old.exists() and not directory.exists():
            old.rename(directory)
        shutil.rmtree(new, ignore_errors=True)
    _discard(old, directory, owned)


def restore_directory(directory: Path, *, owned: Collection[str]) -> None:
    """Finish or undo a replacement that was killed half-way. No other process may be at work on the folder."""
    directory = Path(os.path.realpath(directory))
    if not directory.exists():
        legacy = directory.with_name(directory.name + ".old")  # of earlier versions
        candidates = [*_private_folders(directory, "old"), *([legacy] if _holds_only(legacy, owned) else [])]
        if candidates:
            candidates[0].rename(directory)
    for old in _private_folders(directory, "old"):
        _discard(old, directory, owned)
    for new in _private_folders(directory, "new"):
        shutil.rmtree(new, ignore_errors=True)


def interrupted(parent: Path) -> list[Path]:
    """The folders in `parent` whose replacement or removal was killed half-way: see restore_directory."""
    if not parent.is_dir():
        return []
    found = [_PRIVATE_FOLDER.fullmatch(path.name) for path in parent.iterdir() if path.is_dir()]
    return sorted({parent / match["name"] for match in found if match})


def remove_directory(directory: Path, *, owned: Collection[str]) -> None:
    """Remove what this program has put into a folder, and the folder if nothing else is in it."""
    if not _holds_only(directory, owned):
        for path in _matching(directory, owned):
            if path.is_file():
                path.unlink()
        return
    # renamed first: half a folder must not be taken for a whole one
    removed = _private_name(directory, "new")
    directory.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)


def check_replaceable(
    directory: Path, *, complete: Collection[str], owned: Collection[str], option: str = "output"
) -> None:
    """UserError unless there is no such folder, or it is empty, or it has all of `complete` and nothing beside `owned`.

    complete, owned  as in replaced_directory: names that such a folder always has, patterns of all it may have
    """
    folder = Path(os.path.realpath(directory))
    if folder == Path.cwd() or folder in Path.cwd().parents:
        raise UserError(f"{option}={directory}: that is the current folder or one around it; name a new folder")
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UserError(f"{option}={directory}: that is a file; name a new folder")
    names = sorted(path.name for path in folder.iterdir())
    foreign = [name for name in names if not _matches(name, owned)]
    if names and (foreign or not set(complete) <= set(names)):
        raise UserError(
            f"{option}={directory}: this folder is not replaced, for it holds {listing(foreign or names)}; "
            "name a new folder, or move that one away"
        )


@contextmanager
def claimed(
    directory: Path, names: Collection[str], *, kind: str, option: str, may_have: Collection[str] = ()
) -> Iterator[None]:
    """A folder to write these files into: a new one, or one that has none of them, or all, from an earlier time.

    may_have  names of further files, which are not always written

    Raises UserError where some of them are there, but not all: then they are somebody's own. A marker that is gone
    when all files are there tells them from those of a process that was killed.
    """
    found = _existing(directory, [*names, *may_have])
    if found and not set(names) <= set(found) and not is_marked(directory, kind):
        raise UserError(
            f"{option}={directory}: {listing(found)} is in that folder already and would be overwritten; "
            "name another folder"
        )
    directory.mkdir(parents=True, exist_ok=True)
    mark(directory, kind)
    try:
        yield
    finally:
        found = _existing(directory, [*names, *may_have])
        if not found or set(names) <= set(found):
            _unmark(directory, kind)
        if not any(directory.iterdir()):
            directory.rmdir()


def _existing(directory: Path, names: Collection[str]) -> list[str]:
    return [name for name in names if os.path.lexists(directory / name)]


def mark(directory: Path, kind: str) -> None:
    """Note what for this program has made the folder: the first thing to be written into it."""
    kinds = _kinds(directory)
    if kind not in kinds:
        write_json(directory / MARKER, {"kinds": [*kinds, kind]})


def is_marked(directory: Path, kind: str) -> bool:
    return kind in _kinds(directory)


def _unmark(directory: Path, kind: str) -> None:
    kinds = [other for other in _kinds(directory) if other != kind]
    if kinds:
        write_json(directory / MARKER, {"kinds": kinds})
    else:
        (directory / MARKER).unlink(missing_ok=True)


def _kinds(directory: Path) -> list[str]:
    with suppress(OSError, UserError):
        return list(read_json(directory / MARKER).get("kinds", []))
    return []


def listing(names: Iterable[str]) -> str:
    """A few names for a message, and how many more there are."""
    shown = [name if name.isprintable() else ascii(name) for name in names]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return ", ".join(shown[:3]) + more


@contextmanager
def building(
    directory: Path, *, option: str, waiting_for: str, is_whole: Callable[[Path], bool] = Path.exists
) -> Iterator[Path | None]:
    """A folder to fill that becomes `directory` in one step at the end; None if that is there already.

    One process builds, others asking for the same wait.

    option       the option of the cache that the folder is in, for messages
    waiting_for  what another process is doing, for the log
    is_whole     whether a folder found there can be used; otherwise it is made again
    """
    if directory.exists() and is_whole(directory):
        yield None
        return
    lock = ProcessLock(directory.with_name(f".{directory.name}.lock"))
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        if not lock.acquire(wait=False):
            logger.info(f"waiting for another process to {waiting_for} ({lock.holder()})")
            lock.acquire()
        try:
            if directory.exists() and is_whole(directory):
                yield None
                return
            # of killed processes; earlier versions called it .NAME.partial
            for left in (*_private_folders(directory, "new"), directory.with_name(f".{directory.name}.partial")):
                shutil.rmtree(left, ignore_errors=True)
            new = _private_name(directory, "new")
            try:
                new.mkdir()
                yield new
                _flush_all(new)
                shutil.rmtree(directory, ignore_errors=True)  # not whole
                new.rename(directory)
                _flush(directory.parent)
            finally:
                shutil.rmtree(new, ignore_errors=True)
        finally:
            lock.release()
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise UserError(
            f"{option}: {directory.parent} cannot be written ({error.strerror}); "
            f"make room, or set {option} to another folder"
        ) from None


class ProcessLock:
    """A lock that one process has at a time, and may take several times; the system frees that of a killed process.

    Who has it stands in NAME.json beside the lock file, for messages only.
    """

    _taken: ClassVar[dict[Path, tuple[FileLock, int]]] = {}  # by this process, and how many times

    def __init__(self, path: Path) -> None:
        self._path = Path(os.path.realpath(path.parent)) / path.name
        self._note = self._path.with_name(self._path.name + ".json")

    def acquire(self, *, wait: bool = True) -> bool:
        """Whether it was taken; with wait, once it is free."""
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
        """Process, host and time of whoever has it, as far as that is known."""
        with suppress(OSError, UserError, KeyError):
            note = read_json(self._note)
            return f"pid {note['pid']} on {note['host']}, since {note['started']}"
        return "pid unknown"


def _private_folders(directory: Path, kind: str) -> list[Path]:
    """Folders that replacements of this one have left, the newest first."""
    found = []
    for path in directory.parent.iterdir() if directory.parent.is_dir() else ():
        match = _PRIVATE_FOLDER.fullmatch(path.name)
        if match and match["name"] == directory.name[:_NAME_LENGTH] and match["kind"] == kind and path.is_dir():
            found.append(path)
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _discard(old: Path, directory: Path, owned: Collection[str]) -> None:
    """Remove a replaced folder; what is somebody else's in it goes on in the new one."""
    if not old.exists():
        return
    for path in old.iterdir():
        if not _matches(path.name, owned) and not os.path.lexists(directory / path.name):
            path.rename(directory / path.name)
    shutil.rmtree(old, ignore_errors=True)


def _holds_only(directory: Path, owned: Collection[str]) -> bool:
    """Whether it is a folder with something in it, all of which this program makes."""
    return directory.is_dir() and 0 < len(list(directory.iterdir())) == len(_matching(directory, owned))


def _matching(directory: Path, owned: Collection[str]) -> list[Path]:
    return [path for path in directory.iterdir() if _matches(path.name, owned)]


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _flush_all(directory: Path) -> None:
    for path in (*directory.rglob("*"), directory):
        _flush(path)


def _flush(path: Path) -> None:
    """Have a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot flush folders
            raise
    finally:
        os.close(descriptor)
