"""Rows of sentence pairs, which the readers of all file formats yield."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from translate.data.corpus import CorpusConfig
from translate.errors import UserError

logger = logging.getLogger(__name__)
BLANK_LINE = "a blank line"  # as the problem of a row


class Row(NamedTuple):
    """A sentence pair with its file and line number, from 1; for JSON arrays, workbooks and Parquet the row number.

    problem  reason why the row is not a sentence pair, such as a missing column; source and target are then incomplete.
             Training text counts the row among the dropped pairs, validation and test sets leave it out
    """

    path: str
    line: int
    source: str
    target: str
    problem: str = ""


def matching_files(config: CorpusConfig) -> list[str]:
    """Distinct files that config.path names or matches; matches of a pattern in alphabetical order.

    Raises UserError if nothing matches.
    """
    return list(dict.fromkeys(path for pattern in config.paths for path in _matches(pattern)))


def _matches(pattern: str) -> list[str]:
    if Path(pattern).exists():
        return [pattern]
    if matches := sorted(glob.glob(pattern, recursive=True)):
        return matches
    raise UserError(f"{pattern}: no such file (from {Path.cwd()})")


def require_no_columns(config: CorpusConfig, path: str, file_format: str) -> None:
    """Raise UserError for options that name columns, of a file that has none: its languages say what the sides are."""
    if config.extra_column:
        raise UserError(f"{path}: {file_format} has no columns, so no {config.extra_column}={config.source}")
    if config.source or config.target:
        given = f"source={config.source} target={config.target}"
        raise UserError(
            f"{path}: {file_format} has no columns {given}; choose its sides by data.source_language and "
            "data.target_language"
        )


def as_line(text: str) -> str:
    """The text on one line: line breaks, with the white space and empty lines around them, become single spaces.

    A lone surrogate, which JSON can contain but UTF-8 cannot, becomes a question mark.
    """
    if "\n" in text:
        text = " ".join(filter(None, (line.strip(" \t\r") for line in text.split("\n"))))
    return text.encode("utf-8", "replace").decode("utf-8")


def mostly_pairs(rows: Iterable[Row]) -> Iterator[Row]:
    """Pass on the rows of a file. Raises UserError at its end if most rows, except blank lines, are not pairs."""
    count, problems, first = 0, 0, None
    for row in rows:
        count += 1
        if row.problem and row.problem != BLANK_LINE:
            problems += 1
            first = first or row
        yield row
    if first is not None and 2 * problems > count:
        raise UserError(
            f"{first.path}, line {first.line}: {first.problem}; {problems:,} of {count:,} rows are not sentence pairs"
        )


def aligned_rows(
    source_lines: Iterable[str], target_lines: Iterable[str], *, path: str, names: Sequence[str]
) -> Iterator[Row]:
    """Rows of line n of the source and line n of the target.

    path   of the rows
    names  of the source and the target file in errors

    Raises UserError at the end if the sides have different numbers of lines.
    """
    counts = [0, 0]
    for source, target in zip_longest(source_lines, target_lines):
        counts[0] += source is not None
        counts[1] += target is not None
        # when one side has ended, continue with the other to count its lines for the error
        if counts[0] == counts[1]:
            yield Row(path, counts[0], source, target)
    if counts[0] != counts[1]:
        listing = " and ".join(f"{name} has {count:,}" for name, count in zip(names, counts, strict=True))
        raise UserError(f"the two sides must have the same number of lines, but {listing}")


@cache
def log_once(message: str, level: int = logging.INFO) -> None:
    """Log a finding about a file, which is read several times in a run."""
    logger.log(level, message)
