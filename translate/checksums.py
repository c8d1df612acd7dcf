"""Checksums of a folder's files, in a file beside them: a damaged file is found before it is used.

checksums.json has the size and the SHA-256 of every other file in a folder that translate.folders has given its name: a
state, a model, a conversion, an entry of the cache. It covers files, whatever their format is.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from translate.errors import UserError
from translate.files import read_json, sha256, write_json

CHECKSUMS = "checksums.json"
_BYTES, _SHA256 = "bytes", "sha256"


class DamagedError(UserError):
    """A file of a folder is not what was written there; finding: the file and the difference."""

    def __init__(self, directory: Path, finding: str) -> None:
        super().__init__(f"{directory}: {finding}")
        self.directory, self.finding = directory, finding

    def __reduce__(self) -> tuple[type[DamagedError], tuple[Path, str]]:
        # processes send each other their errors; by default, unpickling passes the message alone
        return type(self), (self.directory, self.finding)


def write_checksums(directory: Path) -> None:
    """Write the checksums of a folder's files; called when every file has its final content."""
    checksums = {path.name: {_BYTES: path.stat().st_size, _SHA256: sha256(path)} for path in _files(directory)}
    write_json(directory / CHECKSUMS, checksums)


def verify(directory: Path, *, complete: bool = False, contents: bool = True) -> dict[str, str]:
    """Compare a folder's files with their checksums; returns the SHA-256 of each file that is listed.

    complete  every file must be listed. Otherwise files may be added, and a folder without checksums passes: earlier
              versions wrote none
    contents  compare contents as well as sizes, at about a second per GB

    Raises DamagedError for the first file that differs or is missing.
    """
    if not complete and not (directory / CHECKSUMS).exists():
        return {}
    listed = _read_list(directory)
    if complete and (added := {path.name for path in _files(directory)} - listed.keys()):
        raise DamagedError(directory, f"{min(added)} is not listed in {CHECKSUMS}")
    # sizes of all files first: most damage is found without reading any
    for name, (size, _) in listed.items():
        path = directory / name
        if not path.is_file():
            raise DamagedError(directory, f"{name} is missing")
        if size is not None and path.stat().st_size != size:
            found = path.stat().st_size
            raise DamagedError(
                directory, f"{name} has {found:,} {'byte' if found == 1 else 'bytes'} instead of {size:,}"
            )
    for name, (_, expected) in listed.items():
        if contents and _content_hash(directory, name) != expected:
            raise DamagedError(directory, f"{name} differs from what was written (SHA-256)")
    return {name: expected for name, (_, expected) in listed.items()}


def finding(directory: Path, *, contents: bool = True) -> str:
    """The first difference of a folder from its checksums, all of whose files must be listed; "" for none."""
    try:
        verify(directory, complete=True, contents=contents)
    except DamagedError as error:
        return error.finding
    return ""


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_file() and path.name != CHECKSUMS)


def _read_list(directory: Path) -> dict[str, tuple[int | None, str]]:
    """Size in bytes and SHA-256 of each file; exports of earlier versions have no sizes."""
    path = directory / CHECKSUMS
    if not path.is_file():
        raise DamagedError(directory, f"{CHECKSUMS} is missing")
    try:
        return {name: _checksum(name, entry) for name, entry in read_json(path).items()}
    except UserError:
        raise DamagedError(directory, f"{CHECKSUMS} is damaged") from None


def _checksum(name: str, entry: Any) -> tuple[int | None, str]:
    # a list that came with a foreign model must not lead out of its folder
    if Path(name).name != name or name in ("", ".."):
        raise UserError(f"{name!r} is not the name of a file")
    size, content = (entry.get(_BYTES), entry.get(_SHA256)) if isinstance(entry, dict) else (None, entry)
    if not isinstance(content, str) or not isinstance(size, int | None):
        raise UserError(f"{name!r} has no checksum")
    return size, content


def _content_hash(directory: Path, name: str) -> str:
    try:
        return sha256(directory / name)
    except OSError as error:
        # a failing disk; with any other error the file may be good
        if error.errno != errno.EIO:
            raise
        raise DamagedError(directory, f"{name} cannot be read: {error.strerror}") from None
