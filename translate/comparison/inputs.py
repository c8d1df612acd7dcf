"""Run folders, report folders and files that a command line names, also by patterns."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from translate.errors import UserError, excerpt
from translate.evaluation.report import HYPOTHESES
from translate.folders import is_marked, listing
from translate.training.saved_states import CONFIG


def find_inputs(words: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Paths that words name, each once, and notes about others that patterns match, a line each.

    A word is a path or a pattern such as runs/*. A folder that is no run stands for the runs in it, as that of a sweep.
    Raises UserError where a word names nothing that can be compared.
    """
    # by the real path: a run that is named twice would be compared with itself
    found: dict[Path, Path] = {}
    notes, repeated = [], False
    for word in words:
        paths, others = _expanded(word)
        if others:
            notes.append(f"{word}: left out, because they are no runs: {listing([path.name for path in others])}")
        for path in paths:
            repeated |= path.resolve() in found
            found.setdefault(path.resolve(), path)
    if repeated:
        notes.append("a folder or file that is named several times is compared once")
    return list(found.values()), notes


def is_run(folder: Path) -> bool:
    """True for the folder of a run, finished or not."""
    return folder.is_dir() and (is_marked(folder, "run") or (folder / CONFIG).is_file())


def is_report(folder: Path) -> bool:
    """True for a folder that translate.evaluate has written, or the evaluation folder of a run."""
    return (folder / HYPOTHESES).is_file()


def _expanded(word: str) -> tuple[list[Path], list[Path]]:
    """Paths that a word names, and paths that it matches as a pattern but that hold nothing to compare."""
    path = Path(word)
    if path.exists() or not glob.has_magic(word):
        if not path.exists():
            raise UserError(f"{word}: no such file or folder (from {Path.cwd()})")
        if paths := list(_within(path)):
            return paths, []
        raise UserError(f"{word}: no run, no report and no run in a folder there; name runs, or files of translations")
    matching = [Path(name) for name in sorted(glob.glob(word), key=natural)]
    if not matching:
        raise UserError(f"{excerpt(word)}: no file or folder matches this pattern (from {Path.cwd()})")
    within = {path: list(_within(path)) for path in matching}
    has_folders = any(paths and path.is_dir() for path, paths in within.items())
    # runs/* also matches reports and logs beside the runs; files are compared only where no folder is a run
    chosen = {path: paths for path, paths in within.items() if paths and (path.is_dir() or not has_folders)}
    if not chosen:
        raise UserError(f"{excerpt(word)}: none of the {len(matching):,} matches is a run or has runs in it")
    return [each for paths in chosen.values() for each in paths], [path for path in matching if path not in chosen]


def _within(path: Path) -> Iterator[Path]:
    """The path itself, or the runs in a folder that is none."""
    if not path.is_dir() or is_run(path) or is_report(path):
        yield path
        return
    yield from sorted(filter(is_run, path.iterdir()), key=lambda child: natural(child.name))


def natural(name: str) -> list[tuple[int, str]]:
    """Key of an order in which trial-2 comes before trial-10."""
    # pairs of one form: numbers and texts could not be compared with each other
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]
