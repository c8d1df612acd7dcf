"""Held-out sets: validation and test pairs taken from the training text, for corpora that come without such sets.

A pair has two keys, one for each side: the hash of its text without case, digits and punctuation. Pairs with a key
below a threshold are the validation set, pairs with one above another threshold the test set. The choice depends on
the text alone, not on order, file names or direction, and a pair that is held out stays so while the corpus grows,
until the sets have their full size. Training pairs of any corpus with a key of a held-out pair on either side are left
out, so that near-equal sentences, reversed corpora and back-translations do not leak into training.

Letters: N pairs.
"""

from __future__ import annotations

import filecmp
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from translate.data.cleaning import combine_hashes, first_occurrences, hash_lines, hash_pairs
from translate.data.corpus import CorpusConfig
from translate.data.readers import read_pairs
from translate.errors import UserError
from translate.files import atomic_file, read_json, write_json
from translate.text import write_lines

VERSION = 1  # of the choice: raise it when the same text gives other pairs

_SHARE = 0.02  # of the pairs for each set, on average
_LEAST_SHARE = 0.01  # in a small corpus by chance fewer hashes than expected may be beyond the threshold
_MOST_PAIRS = 1000
_FEWEST_USABLE = 20
# A sentence that many pairs share is not held out: all of them would have to leave the training text
_MOST_ALIKE = 20

SIDES = ("source", "target")
HELD_OUT_FILES = tuple(f"{name}.{side}" for name in ("valid", "test") for side in SIDES)

_HELD_OUT_FILE = "held_out.json"
_LEFT_OUT_FILE = "left_out.npy"

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class HeldOut:
    """Pairs of data.train that are the validation or test set, as files in a directory.

    sizes     pairs of each set, by name
    left_out  number of further pairs that leave the training text, because they are like these
    """

    directory: Path
    sizes: dict[str, int]
    left_out: int

    def corpus(self, name: str, *, tag: str) -> CorpusConfig:
        source, target = self.paths(name)
        return CorpusConfig(source=str(source), target=str(target), tag=tag)

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
        sets = " and ".join(f"{size:,} pairs as data.{name}" for name, size in self.sizes.items())
        alike = f", and {self.left_out:,} like them left out" if self.left_out else ""
        return (
            f"data.valid is not given: {sets} held out from data.train{alike}; they are in {self.directory} "
            "(your own: data.valid.source=… data.valid.target=…)"
        )

    def paths(self, name: str) -> tuple[Path, Path]:
        """The source and the target file of a set."""
        source, target = (self.directory / f"{name}.{side}" for side in SIDES)
        return source, target


def load_held_out(directory: Path) -> HeldOut:
    """Open the sets of write_held_out."""
    return HeldOut(directory, **read_json(directory / _HELD_OUT_FILE))


def pairs_left_out(directory: Path) -> NDArray[np.int64]:
    """Ascending indices, among all pairs of all training corpora, of those held out or like them."""
    indices: NDArray[np.int64] = np.load(directory / _LEFT_OUT_FILE)
    return indices


def write_held_out(
    directory: Path,
    corpus: tuple[str, CorpusConfig],
    chosen: dict[str, NDArray[np.int64]],
    left_out: NDArray[np.bool_],
) -> None:
    """Write the raw lines of the chosen pairs, given as indices among all pairs, as text files in their order."""
    key, config = corpus
    wanted = {index for indices in chosen.values() for index in indices.tolist()}
    # raw lines, since evaluation sets are never changed; nothing is read after the last that is needed
    pairs = islice(read_pairs(config, key=key), max(wanted) + 1)
    raw = {index: pair for index, pair in enumerate(pairs) if index in wanted}
    sizes = {name: len(indices) for name, indices in chosen.items()}
    held_out = HeldOut(directory, sizes, left_out=int(left_out.sum()) - sum(sizes.values()))
    for name, indices in chosen.items():
        for side, path in enumerate(held_out.paths(name)):
            write_lines(path, [raw[index][side] for index in indices.tolist()])
    write_json(directory / _HELD_OUT_FILE, {"sizes": held_out.sizes, "left_out": held_out.left_out})
    np.save(directory / _LEFT_OUT_FILE, np.flatnonzero(left_out))


class _Categories(dict[int, int | None]):
    """Table for str.translate: keep letters and marks, drop invisible format characters, make the rest spaces."""

    def __missing__(self, code: int) -> int | None:
        # once for each character, however often it occurs
        category = unicodedata.category(chr(code))
        self[code] = code if category[0] in "LM" else None if category == "Cf" else ord(" ")
        return self[code]


_CATEGORIES = _Categories()


def sentence_key(line: str) -> str:
    """Text without case, digits and punctuation; if nothing is left of it, the text itself."""
    # ASCII is NFKC already
    folded = (line if line.isascii() else unicodedata.normalize("NFKC", line)).casefold()
    return " ".join(folded.translate(_CATEGORIES).split()) or " ".join(line.split())


class PairKeys:
    """Keys of all pairs of the training text, collected in the order of reading: some 25 bytes a pair."""

    def __init__(self) -> None:
        self._chunks: list[tuple[Hashes, Hashes, Hashes, NDArray[np.bool_]]] = []

    def add(self, sources: Sequence[str], targets: Sequence[str], usable: Sequence[bool]) -> None:
        """Add the normalised sides of some pairs; usable: True for those that may be held out."""
        keys = (hash_lines([sentence_key(line) for line in side]) for side in (sources, targets))
        self._chunks.append((*keys, hash_pairs(sources, targets), np.array(usable, bool)))  # type: ignore[arg-type]

    def choose(
        self, names: Sequence[str], num_candidates: int, *, unusable: NDArray[np.int64]
    ) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.bool_]]:
        """Indices of the pairs of each named set, and (N,) True for all pairs that must leave the training text.

        Only the first num_candidates pairs may be held out, without those at the unusable indices. Raises UserError
        when they are too few or too much alike.
        """
        source, target, pair, usable = (np.concatenate(parts) for parts in zip(*self._chunks, strict=True))
        usable[num_candidates:] = False
        usable[unusable] = False
        # the shares and minima below count different pairs, not copies of one
        rows = _distinct(source, target, pair, np.flatnonzero(usable))
        if len(rows) < _FEWEST_USABLE:
            raise UserError(
                f"data.train: of {len(rows)} different usable pairs none can be held out for validation "
                f"({_FEWEST_USABLE} are needed): set data.valid.source=… data.valid.target=…"
            )
        chooser = _Chooser(source[rows], target[rows])
        chosen = {name: rows[chooser.take(name)] for name in names}
        # a key counts on either side: a reversed corpus has held-out targets as its sources
        keys = np.fromiter(chooser.taken, np.uint64, len(chooser.taken))
        return chosen, np.isin(source, keys) | np.isin(target, keys)


class _Chooser:
    """Chooses among N different pairs by the hashes of their sides, each (N,).

    taken  keys of the pairs chosen so far
    """

    def __init__(self, source: Hashes, target: Hashes) -> None:
        self._source = source
        self._target = target
        self._least = min(_MOST_PAIRS, max(1, round(_LEAST_SHARE * len(source))))
        self._most_alike = min(_MOST_ALIKE, max(2, len(source) // 20))
        self.taken: set[int] = set()

    def take(self, name: str) -> list[int]:
        """Choose pairs for the set called valid or test. Raises UserError if all are too much alike."""
        found = self._beyond_threshold(name, self._source, self._target, most=_MOST_PAIRS)
        if len(found) < self._least:
            # answers and labels are shared by many pairs: there, rare sources have to do
            found += self._beyond_threshold(name, self._source, most=_MOST_PAIRS - len(found))
        if not found:
            raise UserError(
                f"data.train: its pairs are too similar, apart from case, digits and punctuation, to hold some "
                f"out as data.{name}: set data.{name}.source=… data.{name}.target=…"
            )
        return found

    def _beyond_threshold(self, name: str, *sides: Hashes, most: int) -> list[int]:
        """Take pairs with one of these sides beyond the threshold, and all of them rare and not taken yet."""
        # Each end of the range of hashes belongs to one set: neither depends on whether the other is needed.
        distance = np.min(sides, axis=0) if name == "valid" else ~np.max(sides, axis=0)
        # furthest beyond the threshold first: by the text alone, not by the order of the corpus
        order = np.argsort(distance)
        num_beyond = int((distance < _threshold(len(sides))).sum())
        found: list[int] = []
        # occurrences cost a pass over all pairs: counted only as far as the search gets
        for start, end in _blocks(len(order), 4 * self._least):
            rows = order[start:end]
            often = np.max([_occurrences(side[rows], self._source, self._target) for side in sides], axis=0)
            for index in np.flatnonzero(often <= self._most_alike).tolist():
                # beyond the threshold as many as there is room for, within it only until there are enough
                if len(found) == most or (start + index >= num_beyond and len(found) >= self._least):
                    return found
                row = int(rows[index])
                keys = {int(side[row]) for side in sides}
                # no key is chosen twice, in one set or in two
                if self.taken.isdisjoint(keys):
                    self.taken |= keys
                    found.append(row)
        return found


def _threshold(num_sides: int) -> np.uint64:
    """Threshold that the lowest of num_sides independent uniform hashes falls below with probability _SHARE."""
    return np.uint64((1 - (1 - _SHARE) ** (1 / num_sides)) * 2**64)


def _distinct(source: Hashes, target: Hashes, pair: Hashes, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """One row for each pair of keys: that with the lowest hash of its text, so that the order does not matter."""
    rows = rows[np.argsort(pair[rows], kind="stable")]
    # rows are in the order of their hashes now, so that the first is the one with the lowest
    return rows[first_occurrences(combine_hashes(source[rows], target[rows]))]


def _blocks(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Bounds of blocks of growing size, since each costs a pass over all pairs."""
    start = 0
    while start < count:
        yield start, min(start + size, count)
        start, size = start + size, 4 * size


def _occurrences(keys: Hashes, source: Hashes, target: Hashes) -> NDArray[np.int64]:
    """Number of pairs with each of the keys on the source side, plus that of pairs with it on the target side."""
    known, inverse = np.unique(keys, return_inverse=True)
    counts = np.zeros(len(known), np.int64)
    for side in (source, target):
        # searchsorted gives len(known) for keys above all known ones
        nearest = np.minimum(np.searchsorted(known, side), len(known) - 1)
        counts += np.bincount(nearest[known[nearest] == side], minlength=len(known))
    return counts[inverse]


def _copy(path: Path, target: Path) -> None:
    if target.exists() and filecmp.cmp(path, target, shallow=False):  # of a continued run: left alone
        return
    with open(path, "rb") as source, atomic_file(target) as copy:
        shutil.copyfileobj(source, copy)
