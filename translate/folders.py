"""Folders that appear complete or not at all, and never replace files of the user.

As in translate.files, a folder is filled under a private name. A process killed at any moment leaves the old folder or
the new one, and at most folders of the form NAME.0123abcd.new or .old.
"""

from __future__ import annotations

import errno
import fnmatch
import logging
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from translate.checksums import CHECKSUMS, finding, write_checksums
from translate.disk_space import is_full, size_of, write_error
from translate.errors import UserError
from translate.files import NAME_LENGTH, flush, private_name, read_json, write_json
from translate.locks import ProcessLock

MARKER = ".made-by-translate-seq2seq"  # lists the kinds of folder that the program has made here
_PARTIAL = "." + "[0-9a-f]" * 8 + ".partial"  # suffix of temporary files, which a killed process may leave
_PRIVATE_FOLDER = re.compile(r"(?P<name>.+)\.[0-9a-f]{8}\.(?P<kind>new|old)")
_CANNOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

logger = logging.getLogger(__name__)


@contextmanager
def replaced_directory(directory: Path, *, owned: Collection[str], needed: int = 0) -> Iterator[Path]:
    """Context with a new folder to fill, which then replaces `directory`; after an error the old one stays.

    owned   name patterns of this program's files in such a folder; other files in the old folder are moved to the new
            one
    needed  size of the new folder in bytes, for the message on a full disk; 0: as the old one

    Raises UserError if the folder cannot be written. restore_directory recovers from a killed replacement.
    """
    directory = Path(os.path.realpath(directory))
    new, old = private_name(directory, "new"), private_name(directory, "old")
    try:
        new.mkdir(parents=True)
        yield new
        write_checksums(new)
        _flush_all(new)
        # a folder cannot be renamed over one with files; each of these two steps can be undone by name
        if directory.exists():
            directory.rename(old)
        new.rename(directory)
        flush(directory.parent)
    except OSError as error:
        before = "the one before stays" if directory.exists() else ""
        shutil.rmtree(new, ignore_errors=True)  # before the message, which reports the free space
        raise write_error(directory, error, outcome=before, needed=needed or size_of([directory])) from None
    finally:
        # the second rename failed
        if old.exists() and not directory.exists():
            old.rename(directory)
        shutil.rmtree(new, ignore_errors=True)
    _discard(old, directory, owned)


def restore_directory(directory: Path, *, owned: Collection[str]) -> None:
    """Finish or undo an interrupted replacement. No other process may be using the folder."""
    directory = Path(os.path.realpath(directory))
    if not directory.exists():
        legacy = directory.with_name(directory.name + ".old")  # of earlier versions
        candidates = [*_private_folders(directory, "old"), *([legacy] if _holds_only(legacy, owned) else [])]
        if candidates:
            # killed between the two renames: the old folder is complete, the new one may not be
            candidates[0].rename(directory)
    for old in _private_folders(directory, "old"):
        _discard(old, directory, owned)
    for new in _private_folders(directory, "new"):
        shutil.rmtree(new, ignore_errors=True)


def interrupted(parent: Path) -> list[Path]:
    """Folders in `parent` whose replacement or removal was interrupted: see restore_directory."""
    if not parent.is_dir():
        return []
    found = [_PRIVATE_FOLDER.fullmatch(path.name) for path in parent.iterdir() if path.is_dir()]
    return sorted({parent / match["name"] for match in found if match})


def remove_directory(directory: Path, *, owned: Collection[str]) -> None:
    """Remove this program's files from a folder, and the folder if it is then empty."""
    if not _holds_only(directory, owned):
        for path in _matching(directory, owned):
            if path.is_file():
                path.unlink()
        return
    # rename first, so that a partly removed folder is never taken for a complete one
    removed = private_name(directory, "new")
    directory.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)


def check_replaceable(
    directory: Path, *, complete: Collection[str], owned: Collection[str], option: str = "output"
) -> None:
    """Raise UserError unless a folder, restored after a killed replacement, is missing, empty, or complete and our own.

    complete  names that such a folder always has
    owned     patterns of all names that it may have
    """
    folder = Path(os.path.realpath(directory))
    if folder == Path.cwd() or folder in Path.cwd().parents:
        raise UserError(f"{option}={directory}: that is the current folder or a parent of it; name a new folder")
    restore_directory(folder, owned=owned)
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UserError(f"{option}={directory}: that is a file; name a new folder")
    names = sorted(path.name for path in folder.iterdir())
    foreign = foreign_names(folder, owned)
    if names and (foreign or not set(complete) <= set(names)):
        raise UserError(
            f"{option}={directory}: this folder is not replaced, because it holds {listing(foreign or names)}; "
            "name a new folder, or move that one away"
        )


def foreign_names(directory: Path, owned: Collection[str]) -> list[str]:
    """Sorted names in a folder that match none of the patterns `owned`."""
    return sorted(path.name for path in directory.iterdir() if not _matches(path.name, owned))


@contextmanager
def claimed(
    directory: Path, names: Collection[str], *, kind: str, option: str, may_have: Collection[str] = ()
) -> Iterator[None]:
    """Claim a folder for writing these files; it may be new, or have none or all of them from an earlier call.

    names     files that are always written
    may_have  further files
    kind, option  kind of the folder for its marker, and option that names it for messages

    Raises UserError if the folder has the report of a run, or only some of the files: these are the user's, unless the
    marker of an interrupted call is there. The marker is removed at the end.
    """
    found = _existing(directory, [*names, *may_have])
    if found and is_marked(directory.parent if directory.name == "evaluation" else directory, "run"):
        raise UserError(f"{option}={directory}: this folder has the report of a run; name another folder")
    if found and not set(names) <= set(found) and not is_marked(directory, kind):
        raise UserError(
            f"{option}={directory}: {listing(found)} exists in that folder and would be overwritten; "
            "name another folder"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{option}={directory}: that is a file, or a link to nothing; name a folder") from None
    # before any file, so that files of a killed process are not taken for the user's
    mark(directory, kind)
    try:
        yield
    finally:
        found = _existing(directory, [*names, *may_have])
        # with none or all of the files, the next call needs no marker
        if not found or set(names) <= set(found):
            _unmark(directory, kind)
        if not any(directory.iterdir()):
            directory.rmdir()


def _existing(directory: Path, names: Collection[str]) -> list[str]:
    return [name for name in names if os.path.lexists(directory / name)]


def mark(directory: Path, kind: str) -> None:
    """Mark a folder as made by this program, with its kind; called before other files are written to it."""
    if kind not in (kinds := _kinds(directory)):
        write_json(directory / MARKER, {"kinds": [*kinds, kind]})


def is_marked(directory: Path, kind: str) -> bool:
    """True if this program has made the folder, with this kind."""
    return kind in _kinds(directory)


def _unmark(directory: Path, kind: str) -> None:
    kinds = [other for other in _kinds(directory) if other != kind]
    if kinds:
        write_json(directory / MARKER, {"kinds": kinds})
    else:
        (directory / MARKER).unlink(missing_ok=True)


def _kinds(directory: Path) -> list[str]:
    with suppress(OSError, UserError, TypeError):
        return list(read_json(directory / MARKER).get("kinds", []))
    return []


def listing(names: Iterable[str]) -> str:
    """The first three names and the number of further ones, for a message."""
    shown = [name if name.isprintable() else ascii(name) for name in names]
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


@contextmanager
def building(directory: Path, *, option: str, waiting_for: str, contents: bool = True) -> Iterator[Path | None]:
    """Context with a folder to fill that atomically becomes `directory`; None if `directory` is there, undamaged.

    One process builds while others that need the same folder wait. A damaged folder is made again, with a log message.

    option       option that names the cache, for messages
    waiting_for  description of the other process's work, for the log
    contents     verify the contents of files by their checksums; otherwise only their sizes, which is instant

    Raises UserError if the folder cannot be written.
    """
    if directory.exists() and not finding(directory, contents=contents):
        yield None
        return
    lock = ProcessLock(directory.with_name(f".{directory.name}.lock"))
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        lock.wait(lambda holder: logger.info(f"waiting for another process to {waiting_for} ({holder})"))
        try:
            # check again, now that no other process can be building it
            damage = finding(directory, contents=contents) if directory.exists() else None
            if damage == "":
                yield None
                return
            if damage:
                logger.warning(f"{directory} is damaged ({damage}): it is made again")
            with _filled(directory) as new:
                yield new
        finally:
            lock.release()
    except OSError as error:
        if not is_full(error) and error.errno not in _CANNOT_WRITE:
            raise
        outcome = f"{'make room, or ' if is_full(error) else ''}set {option} to another folder"
        raise write_error(directory.parent, error, option=option, outcome=outcome) from None


@contextmanager
def _filled(directory: Path) -> Iterator[Path]:
    """Context with a temporary folder to fill, which becomes `directory`; the caller holds the lock."""
    # left by killed processes, since this one has the lock; earlier versions used .NAME.partial
    for left in (*_private_folders(directory, "new"), directory.with_name(f".{directory.name}.partial")):
        shutil.rmtree(left, ignore_errors=True)
    new = private_name(directory, "new")
    try:
        new.mkdir()
        yield new
        write_checksums(new)
        _flush_all(new)
        shutil.rmtree(directory, ignore_errors=True)  # incomplete
        new.rename(directory)
        flush(directory.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _private_folders(directory: Path, kind: str) -> list[Path]:
    """Folders left by interrupted replacements of this one, the newest first."""
    found = []
    for path in directory.parent.iterdir() if directory.parent.is_dir() else ():
        match = _PRIVATE_FOLDER.fullmatch(path.name)
        if match and match["name"] == directory.name[:NAME_LENGTH] and match["kind"] == kind and path.is_dir():
            found.append(path)
    return sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _discard(old: Path, directory: Path, owned: Collection[str]) -> None:
    """Remove a replaced folder, after moving the user's files in it to the new one."""
    if not old.exists():
        return
    for path in old.iterdir():
        if not _matches(path.name, owned) and not os.path.lexists(directory / path.name):
            path.rename(directory / path.name)
    shutil.rmtree(old, ignore_errors=True)


def _holds_only(directory: Path, owned: Collection[str]) -> bool:
    """True if a folder is not empty and contains only the program's files."""
    return directory.is_dir() and 0 < len(list(directory.iterdir())) == len(_matching(directory, owned))


def _matching(directory: Path, owned: Collection[str]) -> list[Path]:
    return [path for path in directory.iterdir() if _matches(path.name, owned)]


def _matches(name: str, patterns: Collection[str]) -> bool:
    # the checksums are written here, whoever fills the folder
    forms = (form for pattern in patterns for form in (pattern, pattern + _PARTIAL))
    return name == CHECKSUMS or any(fnmatch.fnmatchcase(name, form) for form in forms)


def _flush_all(directory: Path) -> None:
    for path in (*directory.rglob("*"), directory):
        flush(path)
