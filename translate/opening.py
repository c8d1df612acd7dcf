"""Open files by their content, not their names: decompress, convert to UTF-8, or refuse with a description."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from translate.errors import UserError, excerpt

# Real text compresses 3 to 20 times. A file that exceeds both limits when decompressed is taken for a zip bomb.
MAX_RATIO, MAX_SMALL_FILE = 200, 1 << 28
_HEAD_BYTES = 1 << 10
_TAR_MARK = slice(257, 262)  # of the first header
_ZIP = b"PK\x03\x04"
# raised by the decompression modules for damaged files, besides OSErrors without a number
_DAMAGE_ERRORS = (
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    UnicodeDecodeError,
)
_SYSTEM_FILES = ("__MACOSX/", ".DS_Store")  # added to archives by macOS
_NOTES = re.compile(r"(.*/)?_?(readme|about|licen[cs]e|copying)(\.(txt|md|html))?", re.IGNORECASE)  # beside the text


def _open_zip(file: BinaryIO) -> BinaryIO:
    archive = zipfile.ZipFile(file)
    names = _members_of(archive)
    if len(names) != 1:
        raise UserError(f"{file.name} is {describe_archive(names)}")
    if archive.getinfo(names[0]).flag_bits & 1:
        raise UserError(f"{file.name}: the zip archive is encrypted: unpack it first")
    return cast(BinaryIO, archive.open(names[0]))


def _open_gzip(file: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, gzip.GzipFile(fileobj=file))


def _open_xz(file: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, lzma.LZMAFile(file))


def _open_bz2(file: BinaryIO) -> BinaryIO:
    return cast(BinaryIO, bz2.BZ2File(file))


# first bytes of a compressed file -> name of the compression, and the function that opens the file
_COMPRESSIONS: dict[bytes, tuple[str, Callable[[BinaryIO], BinaryIO]]] = {
    b"\x1f\x8b": ("gzip", _open_gzip),
    b"\xfd7zXZ\0": ("xz", _open_xz),
    b"BZh91AY&SY": ("bz2", _open_bz2),
    _ZIP: ("zip", _open_zip),
}
_TEXT_FIRST = "save its text as UTF-8 first"
# first bytes of files that are not text -> description and way out
_OTHER_FILES = {
    b"%PDF-": f"a PDF document; {_TEXT_FIRST}, for example with pdftotext",
    b"{\\rtf1": f"an RTF document; {_TEXT_FIRST}",
    b"\xd0\xcf\x11\xe0": "a document of Office 97 to 2003 (.doc, .xls, .ppt); save it as .docx, .xlsx or text first",
    b"PAR1\x15": "a Parquet file; name it with path=, not as text",
    b"SQLite format 3\0": "an SQLite database; export the table as CSV first",
    b"\x89PNG": f"an image (PNG); {_TEXT_FIRST}",
    b"\xff\xd8\xff": f"an image (JPEG); {_TEXT_FIRST}",
    b"GIF89a": f"an image (GIF); {_TEXT_FIRST}",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it first: unzstd FILE",
    b"\x04\x22\x4d\x18": "compressed with lz4; decompress it first: unlz4 FILE",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first: 7z x FILE",
    b"Rar!\x1a\x07": "a RAR archive; unpack it first: unrar x FILE",
    b"\x7fELF": "a program (ELF)",
    b"PK\x05\x06": "an empty zip archive",
    b"]\0\0": "compressed with lzma; decompress it first: unlzma FILE",
    b"\x1f\x9d": "compressed with compress; decompress it first: uncompress FILE",
    b"\xde\x12\x04\x95": "a compiled message catalogue (.mo); make a .po file of it first: msgunfmt FILE",
    b"\x95\x04\x12\xde": "a compiled message catalogue (.mo); make a .po file of it first: msgunfmt FILE",
}


@contextmanager
def open_decompressed(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file or pipe as bytes, decompressed if it is gzip, xz, bz2 or a zip archive of one file.

    Raises UserError if the file is missing or damaged, for an archive of several files, and once the content exceeds
    both 256 MiB and 200 times the size of the file.
    """
    with naming_errors(path), open(path, "rb") as file:
        kind = _compression(file.peek(_HEAD_BYTES))
        if kind is None:
            yield file
            return
        name, opened = _COMPRESSIONS[kind]
        if kind == _ZIP and not file.seekable():
            raise UserError(f"{path}: a zip archive has its index at its end, so it cannot be read from a pipe")
        with _naming_damage(path, name):
            status = os.fstat(file.fileno())
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            with opened(file) as stream, io.BufferedReader(_Bounded(stream, size, path), 1 << 16) as bounded:
                yield bounded


@contextmanager
def open_text(path: str | Path) -> Iterator[BinaryIO]:
    """Open a text file as UTF-8 bytes: decompressed, and converted if it begins with a UTF-16 byte order mark.

    Raises UserError as open_decompressed does, and with a description for a file that is not text.
    """
    with open_decompressed(path) as stream:
        head = cast(io.BufferedReader, stream).peek(_HEAD_BYTES)
        require_outermost(head, path)
        if other := _other_file(head):
            raise UserError(f"{path} is {other}")
        if not _is_utf16(head):
            yield stream
            return
        try:
            with io.BufferedReader(_Recoded(stream), 1 << 16) as recoded:
                yield recoded
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: not valid UTF-16 ({error.reason}), the file is damaged") from None


def require_outermost(head: bytes, path: str | Path) -> None:
    """Raise UserError for decompressed content that begins as a compressed file, or a zip archive, of its own."""
    if (kind := _compression(head)) is not None:
        raise UserError(f"{path} holds another file compressed with {_COMPRESSIONS[kind][0]}: decompress the outer one")


@contextmanager
def naming_errors(path: str | Path) -> Iterator[None]:
    """Convert errors of reading a file to UserErrors that name it."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: no such file (from {Path.cwd()})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


@contextmanager
def _naming_damage(path: str | Path, file_format: str) -> Iterator[None]:
    """Convert errors of a damaged compressed file to UserErrors."""
    try:
        yield
    except (*_DAMAGE_ERRORS, OSError) as error:
        if getattr(error, "errno", None) is not None:  # raised by the system, not for the content
            raise
        raise UserError(f"{path}: not a complete {file_format} file ({error})") from None


def head_of(path: str | Path, size: int) -> bytes:
    """The first bytes of a file's content, decompressed and in UTF-8, without a byte order mark."""
    with open_decompressed(path) as stream:
        head = stream.read(size)
    # the last character of the head may be incomplete
    return head.decode("utf-16", "ignore").encode() if _is_utf16(head) else head.removeprefix(codecs.BOM_UTF8)


def archive_members(path: str | Path) -> list[str]:
    """Names of the files in a zip archive; empty for any other file. Raises UserError for a damaged archive."""
    with naming_errors(path), open(path, "rb") as file:
        if not file.seekable() or file.read(len(_ZIP)) != _ZIP:
            return []
        with _naming_damage(path, "zip"), zipfile.ZipFile(file) as archive:
            return _members_of(archive)


def is_plain(path: str | Path) -> bool:
    """True if any program can read the file directly: neither compressed nor with a byte order mark."""
    with naming_errors(path), open(path, "rb") as file:
        head = file.peek(_HEAD_BYTES)
    marks = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return _compression(head) is None and not head.startswith(marks) and not str(path).endswith(".gz")


def _compression(head: bytes) -> bytes | None:
    """Key of _COMPRESSIONS that a file begins with; None for uncompressed files."""
    if head.startswith(b"BZh"):  # normalise the block size (fourth byte), and the mark of a file without blocks
        head = head[:3] + b"9" + head[4:].replace(b"\x17rE8P\x90", b"1AY&SY", 1)
    return next((mark for mark in _COMPRESSIONS if head.startswith(mark)), None)


def _is_utf16(head: bytes) -> bool:
    is_utf32 = head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE))  # UTF-32's mark begins with UTF-16's
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not is_utf32


def _other_file(head: bytes) -> str:
    """Description of a file that is not text, with a way out; "" for text."""
    if head[_TAR_MARK] == b"ustar":
        return "a tar archive; unpack it first: tar xf FILE"
    return next((other for mark, other in _OTHER_FILES.items() if head.startswith(mark)), "")


def _members_of(archive: zipfile.ZipFile) -> list[str]:
    """The files in an archive; of one file with notes such as a README beside it, that file alone."""
    names = [info.filename for info in archive.infolist() if info.filename and not info.is_dir()]
    names = [name for name in names if not name.startswith(_SYSTEM_FILES) and not name.endswith(_SYSTEM_FILES)]
    texts = [name for name in names if not _NOTES.fullmatch(name)]
    return texts if len(texts) == 1 else names


def describe_archive(names: list[str]) -> str:
    """Description of a zip archive that is not a single text file, by the names of its files, with a way out."""
    if "xl/workbook.xml" in names:
        return "an Excel workbook (.xlsx); name it with path=, not as text"
    if "word/document.xml" in names:
        return f"a Word document (.docx); {_TEXT_FIRST}"
    if "content.xml" in names:
        return "an OpenDocument file (.ods, .odt, .odp); save it as .xlsx, .docx or text first"
    listing = excerpt(", ".join(names)) or "nothing"
    return f"a zip archive of {len(names):,} files ({listing}); unpack it first: unzip FILE"


class _Bounded(io.RawIOBase):
    """A decompressed stream that raises UserError beyond the limits MAX_RATIO and MAX_SMALL_FILE.

    file_size  in bytes; 0 if unknown, as for a pipe: the stream has no limit then
    """

    def __init__(self, stream: BinaryIO, file_size: int, path: str | Path) -> None:
        self._path = path
        self._stream = cast(io.BufferedReader, stream)
        self._limit = max(MAX_SMALL_FILE, MAX_RATIO * file_size) if file_size else None
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        chunk = self._stream.read1(len(buffer))
        self._count += len(chunk)
        if self._limit is not None and self._count > self._limit:
            raise UserError(
                f"{self._path}: decompressed, it is more than {self._limit:,} bytes, over {MAX_RATIO} times the size "
                "of the file; if that is right, decompress it first"
            )
        buffer[: len(chunk)] = chunk
        return len(chunk)


class _Recoded(io.RawIOBase):
    """A UTF-16 stream with a byte order mark, converted to UTF-8."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = cast(io.BufferedReader, stream)
        self._decoder = codecs.getincrementaldecoder("utf-16")()
        self._converted = b""  # not read yet

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._converted:
            chunk = self._stream.read1(1 << 16)
            self._converted = self._decoder.decode(chunk, final=not chunk).encode()
            if not chunk and not self._converted:
                return 0
        count = min(len(buffer), len(self._converted))
        buffer[:count] = self._converted[:count]
        self._converted = self._converted[count:]
        return count
