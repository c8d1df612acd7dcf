"""Rows of sentence pairs, as the readers of all forms of corpora yield them."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from translate.data.corpus import CorpusConfig
from translate.errors import UserError

logger = logging.getLogger(__name__)
BLANK_LINE = "a blank line"  # as the problem of a row


class Row(NamedTuple):
    """A sentence pair with its file and its line there, from 1; of records and table rows their number.

    problem  reason why it is no pair, such as a missing column: its sides are then what could be read of them. Training
             text counts it among the dropped pairs, validation and test sets leave it out
    """

    path: str
    line: int
    source: str
    target: str
    problem: str = ""


def matching_files(config: CorpusConfig) -> list[str]:
    """The files that config.path names or matches, each once; those of a pattern in alphabetical order.

    Raises UserError if there is none.
    """
    return list(dict.fromkeys(path for pattern in config.paths for path in _matches(pattern)))


def _matches(pattern: str) -> list[str]:
    if Path(pattern).exists():
        return [pattern]
    if matches := sorted(glob.glob(pattern, recursive=True)):
        return matches
    raise UserError(f"{pattern}: no such file (from {Path.cwd()})")


def require_no_columns(config: CorpusConfig, path: str, form: str) -> None:
    """Raise UserError for options that name columns, of a file that has none: its languages say what the sides are."""
    if config.has_scores_as_sides:
        raise UserError(f"{path}: {form} has no columns, so no score={config.score}")
    if config.source or config.target:
        given = f"source={config.source} target={config.target}"
        raise UserError(
            f"{path}: {form} has no columns {given}; choose its sides by data.source_language and data.target_language"
        )


def as_line(text: str) -> str:
    """Text on one line: each line break becomes a space, with the indentation and empty lines around it.

    Half a surrogate pair, which JSON can hold but UTF-8 cannot, becomes a question mark.
    """
    if "\n" in text:
        text = " ".join(filter(None, (line.strip(" \t\r") for line in text.split("\n"))))
    return text.encode("utf-8", "replace").decode("utf-8")


def mostly_pairs(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows of a file. Raises UserError at its end if most of them, blank lines apart, are no pairs."""
    count, problems, first = 0, 0, None
    for row in rows:
        count += 1
        if row.problem and row.problem != BLANK_LINE:
            problems += 1
            first = first or row
        yield row
    if first is not None and 2 * problems > count:
        raise UserError(
            f"{first.path}, line {first.line}: {first.problem}; {problems:,} of its {count:,} rows are no pairs"
        )


@cache
def log_once(message: str, level: int = logging.INFO) -> None:
    """Log a finding about a file, which is read several times in a run."""
    logger.log(level, message)
