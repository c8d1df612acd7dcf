"""Checksums of a folder's files, stored in the folder, by which damaged files are detected before use.

checksums.json has the size and SHA-256 of every other file in a folder written by translate.folders: a state, a model,
a conversion, an entry of the cache.
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
    """A file of a folder is missing or changed; finding: the file and the difference."""

    def __init__(self, directory: Path, finding: str) -> None:
        super().__init__(f"{directory}: {finding}")
        self.directory, self.finding = directory, finding

    def __reduce__(self) -> tuple[type[DamagedError], tuple[Path, str]]:
        # processes exchange errors; by default, unpickling passes only the message to __init__
        return type(self), (self.directory, self.finding)


def write_checksums(directory: Path) -> None:
    """Write the checksums of a folder's files, which must have their final content."""
    checksums = {path.name: {_BYTES: path.stat().st_size, _SHA256: sha256(path)} for path in _files(directory)}
    write_json(directory / CHECKSUMS, checksums)


def verify(directory: Path, *, complete: bool = False, contents: bool = True) -> dict[str, str]:
    """Compare a folder's files with their checksums; returns the SHA-256 of each file that is listed.

    complete  every file must be listed. Otherwise additional files are allowed, and so is a folder without checksums,
              which earlier versions did not write
    contents  compare contents as well as sizes, at about a second per GB

    Raises DamagedError for the first file that differs or is missing.
    """
    if not complete and not (directory / CHECKSUMS).exists():
        return {}
    listed = _read_list(directory)
    if complete and (added := {path.name for path in _files(directory)} - listed.keys()):
        raise DamagedError(directory, f"{min(added)} is not listed in {CHECKSUMS}")
    # sizes first, since most damage is found without reading files
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
    """The first difference between a folder and its checksums, which must list all files; "" if there is none."""
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
    # names in the list of an untrusted model must not point outside its folder
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
        # a failing disk; after other errors the file may be intact
        if error.errno != errno.EIO:
            raise
        raise DamagedError(directory, f"{name} cannot be read: {error.strerror}") from None
