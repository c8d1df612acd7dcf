"""Held-out sets: validation and test pairs taken from the training text, for corpora that come without such sets.

A pair has two keys, one for each side: the hash of its text without case, digits and punctuation. Pairs with a key
below a threshold are the validation set, pairs with one above another threshold the test set. The choice depends on
the text alone, not on order, file names or direction, and a pair that is held out stays so while the corpus grows,
until the sets have their full size. Training pairs of any corpus with a key of a held-out pair on either side are left
out, so that near-equal sentences, reversed corpora and back-translations do not leak into training.

A model of several target languages has sets of each direction, such as valid.en-de, from the direction's first corpus.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.data.corpus import CorpusConfig
from translate.data.readers import read_pairs_in_context
from translate.files import atomic_file, read_json, write_json
from translate.text import write_lines

VERSION = 1  # of the choice: raise it when the same text gives other pairs

SIDES = ("source", "target")

_HELD_OUT_FILE = "held_out.json"
_LEFT_OUT_FILE = "left_out.npy"


@dataclass(frozen=True)
class HeldOut:
    """Pairs of training corpora that are validation and test sets, as files in a directory.

    sizes        pairs of each set, by name
    left_out     number of further pairs that leave the training text, because they are like these
    corpus_ends  number of all pairs up to the end of each training corpus; [] for sets of one corpus
    """

    directory: Path
    sizes: dict[str, int]
    left_out: int
    corpus_ends: list[int] = field(default_factory=list)

    def corpus(self, name: str, *, tag: str, languages: tuple[str, str]) -> CorpusConfig:
        source, target = map(str, self.paths(name))
        return CorpusConfig(
            source=source, target=target, tag=tag, source_language=languages[0], target_language=languages[1]
        )

    def copy(self, folder: Path) -> HeldOut:
        """Write the files into another folder, unless they are there already."""
        folder.mkdir(parents=True, exist_ok=True)
        copied = replace(self, directory=folder)
        for name in self.sizes:
            for path, target in zip(self.paths(name), copied.paths(name), strict=True):
                _copy(path, target)
        return copied

    def describe(self) -> str:
        """A line for the log."""
        conjunction = " and " if len(self.sizes) == 2 else ", "
        sets = conjunction.join(f"{size:,} pairs as data.{name}" for name, size in self.sizes.items())
        alike = f", and {self.left_out:,} like them left out" if self.left_out else ""
        origin, own = "data.train", "data.valid.source=… data.valid.target=…"
        if any("." in name for name in self.sizes):  # sets of a direction, such as valid.en-de
            origin, own = "the training corpora", "data.valid and data.further_valid"
        return (
            f"data.valid is not given: {sets} held out from {origin}{alike}; they are in {self.directory} "
            f"(your own: {own})"
        )

    def paths(self, name: str) -> tuple[Path, Path]:
        """The source and the target file of a set."""
        source, target = (self.directory / file for file in held_out_files([name]))
        return source, target


def held_out_files(names: Iterable[str]) -> list[str]:
    """Names of the files of some sets."""
    return [f"{name}.{side}" for name in names for side in SIDES]


def load_held_out(directory: Path) -> HeldOut:
    """Open the sets of write_held_out."""
    return HeldOut(directory, **read_json(directory / _HELD_OUT_FILE))


def pairs_left_out(directory: Path) -> NDArray[np.int64]:
    """Ascending indices, among all pairs of all training corpora, of those held out or like them."""
    indices: NDArray[np.int64] = np.load(directory / _LEFT_OUT_FILE)
    return indices


@dataclass(frozen=True)
class Candidates:
    """A training corpus that sets are held out from; rows: of its pairs, among all pairs of all corpora."""

    key: str
    corpus: CorpusConfig
    rows: range

    def read(self, wanted: set[int]) -> dict[int, tuple[str, str]]:
        """The raw pairs in these rows, each source behind its context: evaluation sets are never changed."""
        # nothing is read after the last that is needed
        pairs = islice(read_pairs_in_context(self.corpus, key=self.key), max(wanted) + 1 - self.rows.start)
        return {row: pair for row, pair in zip(self.rows, pairs, strict=False) if row in wanted}


def write_held_out(
    directory: Path,
    candidates: Mapping[str, Candidates],
    chosen: Mapping[str, NDArray[np.int64]],
    left_out: NDArray[np.bool_],
    corpus_ends: list[int],
) -> None:
    """Write the raw lines of the chosen pairs of each set, given as rows, as text files in their order."""
    sizes = {name: len(rows) for name, rows in chosen.items()}
    num_chosen = len(np.unique(np.concatenate(list(chosen.values()))))
    held_out = HeldOut(directory, sizes, left_out=int(left_out.sum()) - num_chosen)
    for corpus in {each.rows: each for each in candidates.values()}.values():
        names = [name for name in chosen if candidates[name].rows == corpus.rows]
        raw = corpus.read({row for name in names for row in chosen[name].tolist()})
        for name in names:
            for side, path in enumerate(held_out.paths(name)):
                write_lines(path, [raw[row][side] for row in chosen[name].tolist()])
    content: dict[str, Any] = {"sizes": sizes, "left_out": held_out.left_out}
    if len({each.rows for each in candidates.values()}) > 1:  # else as earlier versions, which may share the cache
        content["corpus_ends"] = corpus_ends
    write_json(directory / _HELD_OUT_FILE, content)
    np.save(directory / _LEFT_OUT_FILE, np.flatnonzero(left_out))


def _copy(path: Path, target: Path) -> None:
    if target.exists() and filecmp.cmp(path, target, shallow=False):  # of a continued run: left alone
        return
    with open(path, "rb") as source, atomic_file(target) as copy:
        shutil.copyfileobj(source, copy)
