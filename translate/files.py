"""Files that appear complete or not at all; JSON, and checksums.

Whatever gets a name is first written under a private name beside it, flushed to disk and then renamed. A process
killed at any moment leaves the old content or the new one, and at most a file of the form NAME.0123abcd.partial.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO

from translate.errors import UserError
from translate.parsing import read_json_value

_PACKAGE = Path(__file__).parent
# YAML files of the choices: inside the package in a wheel, next to it in a checkout
CONFIGS = _PACKAGE / "configs" if (_PACKAGE / "configs").is_dir() else _PACKAGE.parent / "configs"
_MAX_LINKS = 40  # limit of the Linux kernel
NAME_LENGTH = 50  # characters of the original name in a temporary name, which has at most 255 bytes
_SYMBOLS = {"tag", "user_symbols"}  # options for symbols in text, in which ~ is literal


@contextmanager
def atomic_file(
    path: str | Path, *, partial: Path | None = None, on_error: Callable[[Path], None] = Path.unlink
) -> Iterator[BinaryIO]:
    """Context with a binary stream to a file that appears under its name when everything is on disk.

    A symbolic link is kept, and its target replaced. Pipes and devices are written directly. A replaced file passes on
    its permissions.

    partial   temporary file, on the same disk; by default a new name in the same folder
    on_error  called with the temporary file after an error; by default removes it
    """
    target, is_stream = follow_links(Path(path))
    if is_stream:
        # append, since /dev/stdout may be a file that other processes also write to
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_APPEND), "wb") as stream:
            yield stream
        return
    permissions = _permissions_to_keep(target)
    try:
        partial = partial or private_name(target, "partial")
        # O_EXCL and O_NOFOLLOW: never write to a file or link that another process has put there
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            if permissions is not None:
                os.fchmod(descriptor, permissions)
            yield stream
            stream.flush()
            os.fsync(descriptor)
        # flush before renaming, so that the file is not empty after a power failure
        os.replace(partial, target)
        # the name is an entry of the folder, which must be flushed too
        flush(target.parent)
    except BaseException as error:
        if partial is not None and partial.exists():
            on_error(partial)
        if isinstance(error, OSError) and error.filename in (None, str(partial)):
            error.filename = str(path)  # the name that the user knows
        raise


def follow_links(path: Path) -> tuple[Path, bool]:
    """Follow symbolic links; returns the final path, and True if it is a pipe, terminal or device.

    Raises UserError for a loop of links.
    """
    for _ in range(_MAX_LINKS):
        if os.path.realpath(path.parent).startswith("/proc/"):
            return path, True  # an open file of a process, such as /dev/stdout
        if not path.is_symlink():
            return path, path.exists() and not path.is_file()
        path = path.parent / path.readlink()
    raise UserError(f"{path}: a loop of symbolic links; name another file")


def _permissions_to_keep(target: Path) -> int | None:
    """Permissions of an existing file; None if it does not exist. Raises PermissionError for a read-only file."""
    try:
        permissions = stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        return None
    # renaming needs only rights in the folder, and would replace a protected file
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is protected from writing", str(target))
    return permissions & 0o777  # without the set-user and set-group bits


def private_name(path: Path, kind: str) -> Path:
    """A new temporary name in the folder of a path, for an unfinished file or folder."""
    return path.with_name(f"{path.name[:NAME_LENGTH]}.{secrets.token_hex(4)}.{kind}")


def write_bytes(path: str | Path, content: bytes) -> None:
    with atomic_file(path) as stream:
        stream.write(content)


def write_text(path: str | Path, text: str) -> None:
    r"""Write UTF-8 with unchanged line ends. Invalid bytes in names of folders are written as \udcff."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def json_text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write_json(path: str | Path, value: Any) -> None:
    write_text(path, json_text(value))


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object. Raises UserError for other content."""
    content = read_json_value(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: a JSON object is expected here, found {type(content).__name__}")
    return content


def to_plain(value: Any) -> Any:
    """Convert a configuration to the types of YAML and JSON: dataclasses to dictionaries, enum members to values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {key: to_plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [to_plain(inner) for inner in value]
    return value.value if isinstance(value, Enum) else value


def expand_home(value: Any) -> Any:
    """Substitute the home folder for a leading ~/ or ~NAME/ of every path; UserError for an unknown user."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init and field.name not in _SYMBOLS]
        return dataclasses.replace(value, **{name: expand_home(getattr(value, name)) for name in names})
    if isinstance(value, dict):
        return {key: expand_home(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [expand_home(inner) for inner in value]
    if type(value) is not str or not re.match(r"~[\w.-]*(/|$)", value):  # no enum, whose members are strings, too
        return value
    # an empty HOME would make ~/runs the folder /runs
    is_own = value[1:2] in ("", "/")
    if (path := os.path.expanduser(value)) == value or (is_own and os.environ.get("HOME") == ""):
        raise UserError(f"{value}: unknown user or home folder; write ./{value} for a folder of this name")
    return path


def flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested dictionaries to one with dotted keys."""
    if not isinstance(config, dict):
        return {prefix: config}
    return {
        name: value
        for key, inner in config.items()
        for name, value in flatten(inner, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_regular(path: str | Path, *, option: str) -> None:
    """Raise UserError unless a path is a regular file; pipes, for instance, can be read only once."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise UserError(f"{option}={path}: no such file (from {Path.cwd()})") from None
    except OSError as error:
        raise UserError(f"{option}={path}: {error.strerror}") from None
    if stat.S_ISDIR(mode):
        raise UserError(f"{option}={path}: that is a folder; name a file")
    if not stat.S_ISREG(mode):
        what = "pipe" if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else "device"
        raise UserError(f"{option}={path}: a {what} cannot be read twice; write it to a file first")


def require_no_files(folders: Iterable[Path]) -> None:
    """Raise UserError for a file where a run has a folder."""
    for path in folders:
        if path.exists() and not path.is_dir():
            raise UserError(f"{path} is a file, and a run has a folder of that name: move the file away")


def require_writable(folder: Path, *, option: str) -> None:
    """Raise UserError for a folder that cannot be created or written, before the work whose results it is for."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"{folder} cannot be made, because {existing} is a file; set {option} to a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{existing} cannot be written to; set {option} to a folder")


def flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot flush folders
            raise
    finally:
        os.close(descriptor)


class BackgroundWriter:
    """A thread that writes files in order, since writing a large model takes as long as many updates.

    The data must not change until it is written, so callers pass copies. Errors are raised by the next wait().
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer")
        self._pending: list[Future[None]] = []

    def write(self, work: Callable[[], None]) -> None:
        self._pending.append(self._thread.submit(work))

    def wait(self) -> None:
        """Wait until everything is on disk."""
        while self._pending:
            self._pending.pop(0).result()

    def close(self) -> None:
        """Wait until nothing is being written any more, and ignore errors."""
        self._thread.shutdown()
