"""Standard streams of a command that are closed, lose their reader or terminal, or are not UTF-8."""

from __future__ import annotations

import codecs
import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

from translate.errors import UserError

# ASCII replacements for characters in messages, for consoles without UTF-8
_ASCII = {"±": "+/-", "·": "|", "…": "...", "–": "-", "—": "-", "→": "->", "×": "x", "’": "'", "“": '"', "”": '"'}


class UnbrokenStream:
    """A text stream to a terminal or pipe that may close: the work continues, and later text is discarded."""

    def __init__(self, stream: TextIO) -> None:
        # never wrap twice: tqdm identifies the bars of a stream by the stream
        self._stream: TextIO = getattr(stream, "_stream", stream)

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: of a stream that is closed
            self._fail(error)
        return len(text)

    def _fail(self, error: Exception) -> None:
        discard_output(self._stream)

    def __eq__(self, other: object) -> bool:  # tqdm compares streams
        return self._stream is getattr(other, "_stream", other)

    __hash__ = None  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class ResultStream(UnbrokenStream):
    """Standard output of results: its reader may exit (`| head`), but a full disk is a UserError."""

    def _fail(self, error: Exception) -> None:
        discard_output(self._stream)
        if not isinstance(error, BrokenPipeError):
            raise output_error(error) from None


def guard_standard_streams() -> None:
    """Make sys.stdout and sys.stderr safe to write to, whatever they are connected to.

    Python represents a stream that was closed at the start by None; sys.stdin and sys.stdout keep it, so that commands
    can detect this.
    """
    for descriptor in (0, 1, 2):
        # otherwise the next file to be opened would get the number, and libraries would write messages into it
        with suppress(OSError):
            os.fstat(descriptor)
            continue
        os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # UTF-8 has no bytes for names of files that are not UTF-8 either
            stream.reconfigure(errors=_SPELLED_OUT)
    if sys.stdout is not None:
        sys.stdout = cast(TextIO, ResultStream(sys.stdout))
    sys.stderr = cast(TextIO, UnbrokenStream(sys.stderr))


def discard_output(stream: TextIO | None) -> None:
    """Redirect a stream to the null device, since Python would try to flush its buffer again at exit."""
    with suppress(OSError, ValueError, AttributeError):  # the stream is not a file, closed, or None
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, cast(TextIO, stream).fileno())
        os.close(null)


def require_stream(stream: TextIO | None, name: str, way_out: str) -> None:
    """Raise UserError for a standard stream that was closed when the command began."""
    if stream is None:
        raise UserError(f"{name} is closed; {way_out}")


def output_error(error: Exception) -> UserError:
    """UserError for an error of writing to standard output."""
    return UserError(f"standard output: {getattr(error, 'strerror', None) or error}; not all output was written")


def _spell_out(error: UnicodeError) -> tuple[str, int]:
    r"""Replace characters that a console lacks by ASCII: known ones by words, others by \xe4 or \u0444."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    spelled = [_ASCII.get(character) or character.encode("ascii", "backslashreplace").decode() for character in text]
    return "".join(spelled), error.end


_SPELLED_OUT = "translate.spelled_out"
codecs.register_error(_SPELLED_OUT, _spell_out)
