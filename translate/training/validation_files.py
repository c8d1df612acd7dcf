"""Hypotheses of every validation, in the run's folder: validation/step-00001000.txt has a line for each source line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from translate.text import write_lines
from translate.training.validation import Validation

MOST_BYTES = 64 * 2**20  # of all files of a run
_PATTERN = "step-????????.txt"


def write_hypotheses(folder: Path, validation: Validation, *, step: int, best_step: int) -> None:
    """Write the translations of a validation; those of several directions into folders of their names.

    Where the files of a run exceed MOST_BYTES, the oldest are removed, except for those of the best step.
    """
    for each in validation.sets:
        if each.evaluation is not None:
            directory = folder / each.name if len(validation.sets) > 1 else folder
            directory.mkdir(parents=True, exist_ok=True)
            write_lines(directory / f"step-{step:08}.txt", each.evaluation.hypotheses)
    for path in _outdated(folder, kept={step, best_step}):
        path.unlink(missing_ok=True)


def _outdated(folder: Path, *, kept: set[int]) -> Iterator[Path]:
    """The oldest files, until the others fit."""
    files = sorted([*folder.glob(_PATTERN), *folder.glob(f"*/{_PATTERN}")], key=lambda path: path.name)
    excess = sum(path.stat().st_size for path in files) - MOST_BYTES
    names = {f"step-{step:08}.txt" for step in kept}
    for path in files:
        if excess > 0 and path.name not in names:
            excess -= path.stat().st_size
            yield path
