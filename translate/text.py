"""Lines in, lines out: only "\\n" ends a line, whatever else a line holds.

Python's own text files also end lines at "\\r", and str.splitlines() at eight more characters; both would shift the two
sides of a corpus against each other. All reading and writing of sentences goes through here: from files, pipes and
terminals, line by line or in windows.
"""

from __future__ import annotations

import gzip
import io
import os
import queue
import re
import stat
import sys
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from translate.errors import UserError
from translate.files import atomic_file
from translate.opening import naming_errors, open_text
from translate.parsing import decode_line

Source = str | Path | BinaryIO
STANDARD = "-"  # the name of standard input and output
WINDOW = 2000  # most lines that read_windows yields at once
MAX_LINE_BYTES = 1 << 24


class Line(NamedTuple):
    """A line's text, and its end: "\\n", or "" for a last line that has none."""

    text: str
    end: str


# The newest version of the text form. A model reads text in the version that it was trained with, which is in its
# manifest as "text_form"; manifests without it are of version 1.
TEXT_FORM = 2

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
# Form 2: every Unicode space is a plain one, and characters that only say where a line may break or a word be
# hyphenated are dropped, as is the byte order mark. Joiners (U+200C, U+200D) and direction marks stay: Persian, Urdu,
# Hindi, emoji and mixed Arabic and Latin text are spelled with them.
_SPACES = re.compile("[\x00-\x1f\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_INVISIBLE = re.compile("[\xad\u200b\u2060\ufeff]")
_CHUNK_BYTES = 1 << 20
_BYTE_ORDER_MARK = "\ufeff"


def normalise(line: str, text_form: int = TEXT_FORM) -> str:
    """Text as models see it, in one version of the text form.

    1: Unicode NFC, with every control character, line separator and byte order mark a space.
    2: also with every Unicode space a plain one, and without soft hyphens, zero-width spaces, word joiners and byte
    order marks.
    """
    if line.isascii():  # is NFC, and has no other spaces
        return _CONTROL.sub(" ", line)
    line = _CONTROL.sub(" ", line) if text_form == 1 else _INVISIBLE.sub("", _SPACES.sub(" ", line))
    return unicodedata.normalize("NFC", line)  # last: letters may now meet marks


def text_form_of(manifest: Mapping[str, Any]) -> int:
    """The version of the text form that a run or model was trained with. Raises UserError for a newer one."""
    version = manifest.get("text_form", 1)
    if version not in range(1, TEXT_FORM + 1):
        raise UserError(
            f"text_form is {version!r} in the manifest, but this version of the program knows 1 to {TEXT_FORM}: use "
            "the version that made the model"
        )
    return int(version)


def find_control(line: str) -> int:
    """Index of the first control character, line separator or byte order mark; -1 if there is none."""
    found = _CONTROL.search(line)
    return found.start() if found else -1


def read_lines(source: Source) -> Iterator[str]:
    """The lines of a file (see opening.py) or binary stream, lazily, without their "\\n".

    Raises UserError if the file cannot be read, or naming the line that is too long or the byte that is not UTF-8.
    """
    for line, _ in read_ended_lines(source):
        yield line


def read_ended_lines(source: Source) -> Iterator[Line]:
    """Like read_lines, each line with its end.

    Writing each line's translation and then its end puts out as many "\\n" as came in. A byte order mark at the
    beginning is no part of the first line.
    """
    with open_bytes(source) as stream:
        # one byte more than is allowed: a file without line ends would fill the memory
        for number, raw in enumerate(iter(partial(stream.readline, MAX_LINE_BYTES + 1), b""), start=1):
            if len(raw) > MAX_LINE_BYTES and not raw.endswith(b"\n"):
                raise UserError(
                    f"{name_of(source)}, line {number}: more than {MAX_LINE_BYTES:,} bytes and no line end, "
                    "is it text, with lines that end in \\n?"
                )
            end = "\n" if raw.endswith(b"\n") else ""
            text = decode_line(raw.removesuffix(b"\n"), name=name_of(source), number=number)
            yield Line(text.removeprefix(_BYTE_ORDER_MARK) if number == 1 else text, end)


def read_windows(source: Source) -> Iterator[list[Line]]:
    """The lines of a file or stream, WINDOW at a time; of a pipe or terminal as many as have arrived."""
    lines = read_ended_lines(source)
    if not is_complete(source):
        yield from _arrivals(lines)
        return
    while window := list(islice(lines, WINDOW)):
        yield window


def _arrivals(lines: Iterable[Line]) -> Iterator[list[Line]]:
    """Windows of the lines that have arrived since the last one, at most WINDOW; a thread waits for them."""
    arrived: queue.Queue[Line | BaseException | None] = queue.Queue(maxsize=WINDOW)

    def read() -> None:
        try:
            for line in lines:
                arrived.put(line)
            arrived.put(None)
        except BaseException as error:  # raised again by the reader of the windows
            arrived.put(error)

    threading.Thread(target=read, daemon=True, name="reader").start()
    window: list[Line] = []
    while True:
        # who types one line waits for its translation: an unfilled window goes out when no more lines wait
        if window and (len(window) == WINDOW or arrived.empty()):
            yield window
            window = []
        item = arrived.get()
        if isinstance(item, Line):
            window.append(item)
            continue
        if window:
            yield window
        if item is None:
            return
        raise item


def is_complete(source: Source) -> bool:
    """True if all lines are available: of a file or bytes in memory, but not of a pipe or a terminal.

    Raises UserError for a file that cannot be read.
    """
    if isinstance(source, str | Path):
        with naming_errors(source):
            return stat.S_ISREG(os.stat(source).st_mode)
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode)
    except OSError:  # also what a stream without a file descriptor raises
        return True


def write_lines(path: str | Path, lines: Iterable[str], *, end_last_line: bool = True) -> int:
    """Write each line and a "\\n" (gzip if the name ends in .gz); returns how many lines there were.

    The file appears when all lines are in it.
    """
    count = 0
    with atomic_file(path) as file, compressing(file, path) as stream:
        for line in lines:
            assert "\n" not in line, "a line cannot hold a line break"
            separator = "\n" if count else ""  # of the line before: the last may have none
            stream.write((separator + line).encode("utf-8"))
            count += 1
        if count and end_last_line:
            stream.write(b"\n")
    return count


def count_lines(source: Source) -> int:
    """Number of lines that read_lines would give, without decoding them."""
    count, last = 0, b"\n"
    with open_bytes(source) as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            count += chunk.count(b"\n")
            last = chunk[-1:]
    return count + (last != b"\n")  # a last line without an end


def name_of(source: Source) -> str:
    """Name of a file or stream in messages."""
    return str(source) if isinstance(source, str | Path) else str(getattr(source, "name", "the input"))


def open_bytes(source: Source) -> AbstractContextManager[BinaryIO]:
    """A file's text as bytes of UTF-8, decompressed and converted by its content; a stream as it is, and left open."""
    return open_text(source) if isinstance(source, str | Path) else nullcontext(source)


def open_input(path: str) -> str | BinaryIO:
    """The path, or for "-" standard input as a stream of its own.

    The reader thread may still wait in it when the program ends, and sys.stdin must not be locked then.
    """
    if path != STANDARD:
        return path
    raw = io.FileIO(sys.stdin.fileno(), closefd=False)
    raw.name = "standard input"
    return io.BufferedReader(raw)


def compressing(stream: BinaryIO, path: str | Path) -> AbstractContextManager[BinaryIO]:
    """The stream, through gzip if the path ends in .gz; the same content gives the same bytes."""
    if str(path).endswith(".gz"):
        return cast(AbstractContextManager[BinaryIO], gzip.GzipFile("", "wb", fileobj=stream, mtime=0))
    return nullcontext(stream)
