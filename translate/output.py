"""Output of translations: standard output, a file that appears when complete, or pieces that can be continued."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from translate.console import print_notes
from translate.disk_space import is_full, write_error
from translate.errors import UserError
from translate.files import atomic_file, follow_links, read_json, sha256, write_bytes, write_json
from translate.folders import foreign_names, listing, remove_directory, restore_directory
from translate.locks import ProcessLock
from translate.streams import discard_output, output_error
from translate.text import STANDARD, compressing

_KEY, _LOCK, _JOINED = "key.json", ".lock", "joined"
_PIECE = "piece-{:08d}-{}"  # its number and the SHA-256 of its content, of which a damaged piece has another
# all names in a folder of pieces
_OWNED = (_KEY, _LOCK, f"{_LOCK}.json", _JOINED, "piece-*")


def check_output(path: str, inputs: Sequence[str], *, option: str = "output") -> None:
    """Raise UserError for an output file that cannot be written, or is an input file; "-" for standard streams."""
    if path != STANDARD:
        # the target of a link is what gets written
        output, _ = follow_links(Path(path))
        if output.is_dir():
            raise UserError(f"{option}={path}: that is a folder; name a file in it")
        if not output.parent.is_dir():
            raise UserError(f"{option}={path}: no such folder: {output.parent}; make it first")
    written = _status(path, sys.stdout)
    for name in inputs:
        read = _status(name, sys.stdin)
        # regular files only: a terminal is often both
        if read and written and stat.S_ISREG(read.st_mode) and os.path.samestat(read, written):
            what = "the input itself" if name == inputs[0] else f"{name}, which is read here as well"
            raise UserError(f"{option}={path}: that is {what}; choose another file")


def is_file(path: str) -> bool:
    """True for a regular file, which may not exist yet; False for "-", pipes and devices."""
    if path == STANDARD:
        return False
    target, is_stream = follow_links(Path(path))
    return not is_stream or target.is_dir()  # a folder has its own error message


def _status(path: str, standard: TextIO) -> os.stat_result | None:
    """Status of a file, or of a standard stream for "-"; None if it does not exist."""
    try:
        return os.stat(path) if path != STANDARD else os.fstat(standard.fileno())
    except (OSError, ValueError, AttributeError):  # also for a stream that is closed, missing or not a file
        return None


def write_output(path: str | Path, content: str | bytes, *, option: str) -> None:
    """Write a file that appears when it is complete. Raises UserError where that fails; option names the path."""
    try:
        write_bytes(path, content.encode(errors="backslashreplace") if isinstance(content, str) else content)
    except OSError as error:
        raise write_error(Path(path), error, option=option) from None


@contextmanager
def open_output(path: str) -> Iterator[BinaryIO]:
    """Context with standard output for "-", a device or pipe, or a file that appears under its name when complete.

    After an error the unfinished file is kept under a temporary name, which is printed.
    """
    if path == STANDARD:
        try:
            yield sys.stdout.buffer
        except BrokenPipeError:
            raise
        except OSError as error:
            discard_output(sys.stdout)
            raise output_error(error) from None
        return
    kept: list[Path] = []

    def keep(partial: Path) -> None:
        if partial.stat().st_size:
            kept.append(partial)
        else:
            partial.unlink()

    try:
        with atomic_file(path, on_error=keep) as file, compressing(file, path) as stream:
            yield stream
    except PermissionError as error:
        raise write_error(Path(error.filename), error) from None
    except OSError as error:
        where = f"what was translated so far is in {kept[0]}" if kept else ""
        if not is_full(error):
            print_notes(where)
            raise
        raise write_error(Path(path), error, outcome=where) from None
    except BaseException:
        if kept:
            print_notes(f"what was translated so far is in {kept[0]}")
        raise


class Pieces(io.BytesIO):
    """Output stored in pieces; each flush completes a piece.

    count  number of pieces in the folder, up to the first that is missing or damaged
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self._paths = folder, list[Path]()
        while (found := self._find(self.count)) and found.name == _PIECE.format(self.count, sha256(found)):
            self._paths.append(found)

    @property
    def count(self) -> int:
        return len(self._paths)

    def _find(self, number: int) -> Path | None:
        return next(self.folder.glob(_PIECE.format(number, "*")), None)

    def flush(self) -> None:
        """Write everything since the last flush as a piece, atomically."""
        while damaged := self._find(self.count):
            damaged.unlink()
        piece = self.folder / _PIECE.format(self.count, hashlib.sha256(self.getvalue()).hexdigest())
        write_bytes(piece, self.getvalue())
        self._paths.append(piece)
        self.seek(0)
        self.truncate()

    def join(self, output: str) -> None:
        """Concatenate all pieces to a file."""
        joined = self.folder / _JOINED
        joined.unlink(missing_ok=True)  # left by a killed process
        with atomic_file(output, partial=joined) as file, compressing(file, output) as stream:
            for path in self._paths:
                with open(path, "rb") as piece:
                    shutil.copyfileobj(piece, stream)
                stream.flush()  # as without pieces, since gzip starts a new block here


@contextmanager
def open_pieces(path: str, key: Mapping[str, Any]) -> Iterator[Pieces]:
    """Context with output to a file in pieces, which are kept in the folder FILE.resume until the file is complete.

    After an error or a kill the folder stays, and a call with the same key continues after its pieces.

    key  everything that determines the output, by name

    Raises UserError if the folder has pieces of another key, is in use, or contains other files.
    """
    # in the folder of the file, not of a link to it: a file cannot be renamed to another disk
    target, _ = follow_links(Path(path))
    folder = target.with_name(f"{target.name}.resume")
    lock = _claim(folder)
    try:
        _require_key(folder, key)
        pieces = Pieces(folder)
        with _outcome_told(path, pieces):
            yield pieces
            pieces.join(path)
        remove_directory(folder, owned=_OWNED)
    finally:
        lock.release()


def _claim(folder: Path) -> ProcessLock:
    """Create and lock a folder of pieces. Raises UserError if it contains other files, or is in use."""
    restore_directory(folder, owned=_OWNED)  # in case a process was killed while it removed the folder
    # a link may lead to another disk, from which files cannot be renamed to the output
    is_folder = folder.is_dir() and not folder.is_symlink()
    foreign = foreign_names(folder, _OWNED) if is_folder else [folder.name] if os.path.lexists(folder) else []
    if foreign:
        raise UserError(
            f"{folder} is where resume=true keeps what is translated, and other files are there: {listing(foreign)}; "
            "move them away"
        )
    folder.mkdir(exist_ok=True)
    lock = ProcessLock(folder / _LOCK)
    if not lock.acquire():
        raise UserError(f"{folder}: another process is at work on this output ({lock.holder()})")
    return lock


def _require_key(folder: Path, key: Mapping[str, Any]) -> None:
    """Write the key into a new folder of pieces. Raises UserError if the folder has another key."""
    if not (folder / _KEY).exists():
        write_json(folder / _KEY, dict(key))  # before the first piece
        return
    try:
        before = read_json(folder / _KEY)
    except UserError as error:
        raise UserError(f"{error}; remove {folder} to begin anew") from None
    changed = sorted(name for name in before.keys() | key.keys() if before.get(name) != key.get(name))
    if changed:
        raise UserError(
            f"{folder} holds translations made with another {', '.join(changed)}: repeat the former command to "
            "continue them, or remove that folder to start again"
        )


@contextmanager
def _outcome_told(path: str, pieces: Pieces) -> Iterator[None]:
    """After an error, print where finished translations are kept, if there are any."""
    try:
        yield
    except BaseException as error:
        outcome = f"what was translated so far is in {pieces.folder}; the same command continues after it"
        if isinstance(error, OSError) and is_full(error):
            raise write_error(Path(path), error, outcome=outcome) from None
        if pieces.count:
            print_notes(outcome)
        else:
            remove_directory(pieces.folder, owned=_OWNED)
        raise
