"""Choice of held-out pairs by the hashes of their sides; held_out.py has its rules.

Letters: N pairs.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from translate.data.cleaning import combine_hashes, first_occurrences, hash_lines, hash_pairs
from translate.data.held_out import Candidates
from translate.errors import UserError

_SHARE = 0.02  # of the pairs for each set, on average
_LEAST_SHARE = 0.01  # in a small corpus by chance fewer hashes than expected may be beyond the threshold
_MOST_PAIRS = 1000
_FEWEST_USABLE = 20
# A sentence that many pairs share is not held out: all of them would have to leave the training text
_MOST_ALIKE = 20

Hashes = NDArray[np.uint64]


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
        self, candidates: Mapping[str, Candidates], *, unusable: NDArray[np.int64], dropped: str = ""
    ) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.bool_]]:
        """Rows of the pairs of each named set, and (N,) True for all pairs that must leave the training text.

        Only candidates may be held out, without those at the unusable rows. Raises UserError when they are too few or
        too much alike; dropped: why pairs are not usable, for its message.
        """
        source, target, pair, usable = (np.concatenate(parts) for parts in zip(*self._chunks, strict=True))
        usable[unusable] = False
        choosers: dict[range, tuple[NDArray[np.int64], _Chooser]] = {}
        chosen: dict[str, NDArray[np.int64]] = {}
        taken: dict[str, set[int]] = defaultdict(set)  # keys by kind
        for name, corpus in candidates.items():
            if corpus.rows not in choosers:
                start, stop = corpus.rows.start, corpus.rows.stop
                # the shares and minima below count different pairs, not copies of one
                rows = _distinct(source, target, pair, np.flatnonzero(usable[start:stop]) + start)
                if len(rows) < _FEWEST_USABLE:
                    own = ", and data.further_valid for the other directions" if "." in name else ""
                    raise UserError(
                        f"{corpus.key}: of {len(rows)} different usable pairs none can be held out for validation "
                        f"({_FEWEST_USABLE} are needed): set data.valid.source=… data.valid.target=…{own}"
                        f"{dropped and f'; {dropped}'}"
                    )
                choosers[corpus.rows] = rows, _Chooser(source[rows], target[rows], key=corpus.key)
            rows, chooser = choosers[corpus.rows]
            kind = name.partition(".")[0]
            # a reversed corpus may have the same pairs in its set, but none in a set of another kind
            others = set[int]().union(*(keys for other, keys in taken.items() if other != kind))
            found, new = chooser.take(kind, without=others)
            chosen[name] = rows[found]
            taken[kind] |= new
        # a key counts on either side: a reversed corpus has held-out targets as its sources
        every_key = set[int]().union(*taken.values())
        keys = np.fromiter(every_key, np.uint64, len(every_key))
        return chosen, np.isin(source, keys) | np.isin(target, keys)


class _Chooser:
    """Chooses among N different pairs by the hashes of their sides, each (N,).

    key  of the corpus in errors
    """

    def __init__(self, source: Hashes, target: Hashes, *, key: str) -> None:
        self._source = source
        self._target = target
        self._key = key
        self._least = min(_MOST_PAIRS, max(1, round(_LEAST_SHARE * len(source))))
        self._most_alike = min(_MOST_ALIKE, max(2, len(source) // 20))
        self._taken: set[int] = set()

    def take(self, name: str, *, without: set[int]) -> tuple[list[int], set[int]]:
        """Choose pairs for the set called valid or test, without a key of another set or in `without`; also their keys.

        Raises UserError if all are too much alike.
        """
        before = self._taken | without
        self._taken = set(before)
        found = self._beyond_threshold(name, self._source, self._target, most=_MOST_PAIRS)
        if len(found) < self._least:
            # answers and labels are shared by many pairs: there, rare sources have to do
            found += self._beyond_threshold(name, self._source, most=_MOST_PAIRS - len(found))
        if not found:
            raise UserError(
                f"{self._key}: its pairs are too similar, apart from case, digits and punctuation, to hold some "
                f"out as data.{name}: set data.{name}.source=… data.{name}.target=…"
            )
        new = self._taken - before
        self._taken = self._taken - without
        return found, new

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
                if self._taken.isdisjoint(keys):
                    self._taken |= keys
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
