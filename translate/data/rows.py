"""Rows of sentence pairs, as the readers of all forms of corpora yield them."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import NamedTuple

from translate.data.corpus import CorpusConfig
from translate.errors import UserError


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
    """The files that config.path names or matches, in alphabetical order. Raises UserError if there is none."""
    if Path(config.path).exists():
        return [config.path]
    if matches := sorted(glob.glob(config.path, recursive=True)):
        return matches
    raise UserError(f"{config.path}: no such file (from {Path.cwd()})")


def as_line(text: str) -> str:
    """Text on one line; half a surrogate pair, which JSON can hold but UTF-8 cannot, becomes a question mark."""
    return text.replace("\n", " ").encode("utf-8", "replace").decode("utf-8")
