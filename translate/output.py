"""Output of translations: standard output, a file that appears whole, or pieces that a killed process continues."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from translate.console import print_notes
from translate.disk_space import is_full, write_error
from translate.errors import UserError
from translate.files import atomic_file, follow_links, read_json, write_bytes, write_json
from translate.folders import foreign_names, listing, remove_directory, restore_directory
from translate.locks import ProcessLock
from translate.streams import discard_output, output_error
from translate.text import STANDARD, compressing

_KEY, _LOCK, _JOINED = "key.json", ".lock", "joined"
_PIECE = "piece-{:08d}"
# all names in a folder of pieces; .partial: of a killed process
_OWNED = (_KEY, _LOCK, f"{_LOCK}.json", _JOINED, "piece-*", f"{_KEY}.*.partial", f"{_LOCK}.json.*.partial")


@contextmanager
def open_output(path: str) -> Iterator[BinaryIO]:
    """Standard output for "-", a device or pipe as it is, or a file that gets its name when all has been written.

    After an error the unfinished file stays under a private name, which is printed: what it holds may have taken long.
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
        if not is_full(error):
            raise
        where = f"what was translated so far is in {kept[0]}" if kept else ""
        raise write_error(Path(path), error, outcome=where) from None
    except BaseException:
        if kept:
            print_notes(f"what was translated so far is in {kept[0]}")
        raise


class Pieces(io.BytesIO):
    """Output that is kept in pieces, of which each flush ends one.

    count  number of pieces that are in the folder
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.count = folder, 0
        while (folder / _PIECE.format(self.count)).is_file():
            self.count += 1

    def flush(self) -> None:
        """Write all since the last flush as a piece, which appears whole or not at all."""
        write_bytes(self.folder / _PIECE.format(self.count), self.getvalue())
        self.count += 1
        self.seek(0)
        self.truncate()

    def join(self, path: str) -> None:
        """Make the file of all pieces."""
        joined = self.folder / _JOINED
        joined.unlink(missing_ok=True)  # of a killed process
        with atomic_file(path, partial=joined) as file, compressing(file, path) as stream:
            for number in range(self.count):
                with open(self.folder / _PIECE.format(number), "rb") as piece:
                    shutil.copyfileobj(piece, stream)
                stream.flush()  # as without pieces: gzip begins a block there


@contextmanager
def open_pieces(path: str, key: Mapping[str, Any]) -> Iterator[Pieces]:
    """Output to a file in pieces, in the folder FILE.resume, which at the end become the file; then the folder goes.

    After an error or a kill the folder stays, and a call with the same key continues after its pieces.

    key  all that decides the output, by name

    Raises UserError where the folder has pieces of another key, is in use, or holds anything else.
    """
    # beside the file itself, not beside a link to it: a rename cannot lead to another disk
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
    """Make and lock a folder of pieces. Raises UserError where it holds anything else, or is in use."""
    restore_directory(folder, owned=_OWNED)  # of a process that was killed while it removed the folder
    foreign = foreign_names(folder, _OWNED) if folder.is_dir() else [folder.name] if os.path.lexists(folder) else []
    if foreign:
        raise UserError(
            f"{folder} is where resume=true keeps what is translated, and other files are there: {listing(foreign)}; "
            "move them away"
        )
    folder.mkdir(exist_ok=True)
    lock = ProcessLock(folder / _LOCK)
    if not lock.acquire(wait=False):
        raise UserError(f"{folder}: another process is at work on this output ({lock.holder()})")
    return lock


def _require_key(folder: Path, key: Mapping[str, Any]) -> None:
    """Write the key into a new folder of pieces. Raises UserError for a folder with another one."""
    if not (folder / _KEY).exists():
        write_json(folder / _KEY, dict(key))  # before the first piece
        return
    before = read_json(folder / _KEY)
    changed = sorted(name for name in before.keys() | key.keys() if before.get(name) != key.get(name))
    if changed:
        raise UserError(
            f"{folder} holds translations made with another {', '.join(changed)}: repeat the former command to "
            "continue them, or remove that folder to start again"
        )


@contextmanager
def _outcome_told(path: str, pieces: Pieces) -> Iterator[None]:
    """After an error, tell what is kept, if anything is."""
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
