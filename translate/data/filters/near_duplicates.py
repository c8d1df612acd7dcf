"""Near-duplicate pairs by MinHash and LSH banding (Broder 1997; Leskovec et al., Mining of Massive Datasets, 3.4).

The signature of a pair has the minimal hash of its character 4-grams under each of 40 permutations, in ten bands of
four. Pairs with an equal band are candidates: each is compared, by its text, with the first and with the previous pair
of the same band. Pairs with a Jaccard similarity of 0.8 share a band with probability 99.5 %, pairs with 0.7 with 94 %.
Memory: 56 bytes per pair.

Letters: N pairs.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from translate.data.dataset import Ragged
from translate.data.filters.pair_rules import Mask
from translate.errors import import_extra

_GRAM = 4  # characters
_BANDS, _ROWS = 10, 4
_SEED = 1
_PAIRS_AT_ONCE = 5_000  # limits memory to some MB
_MIXER = np.uint64(0x9E3779B97F4A7C15)  # multiplicative hashing (Knuth): 2^64 / golden ratio
Sides = tuple[Sequence[str], Sequence[str]]  # of N pairs


class NearDuplicates:
    """Collects the bands of pairs, and finds pairs that are similar to an earlier one with the same tag."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.int64]] = []
        self._bands: list[NDArray[np.uint32]] = []  # (N, bands) each
        self._least: list[NDArray[np.float64]] = []

    def add(self, sources: Sequence[str], targets: Sequence[str], *, first_row: int, least: float, tag: str) -> None:
        """Add N consecutive pairs, without their tag.

        first_row  row of the first pair in the clean text
        least      minimal similarity of near-duplicates
        """
        texts = [_joined(*pair) for pair in zip(sources, targets, strict=True)]
        parts = [texts[start : start + _PAIRS_AT_ONCE] for start in range(0, len(texts), _PAIRS_AT_ONCE)]
        # equal texts with different tags have different translations: make their bands differ
        self._bands += [_bands(part) ^ np.uint32(zlib.crc32(tag.encode())) for part in parts]
        self._rows.append(np.arange(first_row, first_row + len(sources)))
        self._least.append(np.full(len(sources), least))

    def find(self, kept: Mask, sources: Ragged, targets: Ragged) -> NDArray[np.int64]:
        """Ascending rows of kept pairs that are similar to an earlier kept pair.

        kept              mask over all rows of the clean text
        sources, targets  the clean text, with tags
        """
        if not self._bands:
            return np.empty(0, np.int64)
        rows, bands, least = np.concatenate(self._rows), np.concatenate(self._bands), np.concatenate(self._least)
        self._bands.clear()  # frees memory: they have been copied
        judged = kept[rows]
        rows, bands, least = rows[judged], bands[judged], least[judged]
        similar = np.zeros(len(rows), bool)
        for band in range(_BANDS):
            for earlier in _equal_before(bands[:, band]):
                candidates = np.flatnonzero((earlier >= 0) & ~similar)
                for start in range(0, len(candidates), _PAIRS_AT_ONCE):
                    later = candidates[start : start + _PAIRS_AT_ONCE]
                    found = [rows[earlier[later]], rows[later]]
                    pairs = ((sources.texts(each), targets.texts(each)) for each in found)
                    similar[later] = _similarities(*pairs) >= least[later]
                    sources.release()
                    targets.release()
        return rows[similar]


def _joined(source: str, target: str) -> str:
    """Both sides as one case-folded text without repeated spaces, padded to the length of a 4-gram."""
    return " ".join(f"{source} | {target}".casefold().split()).ljust(_GRAM)


def _bands(texts: Sequence[str]) -> NDArray[np.uint32]:
    """(N, bands) hash of each band of the signatures of N texts."""
    rensa = import_extra("rensa", extra="cleaning", purpose="data.cleaning.filters.near_duplicates")
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), "<u4").astype(np.uint64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    # hashes of all 4-grams of the concatenated texts; those in the last three characters of a text span two texts
    hashes = np.zeros(len(codes) - _GRAM + 1, np.uint64)
    for offset in range(_GRAM):
        hashes = (hashes + codes[offset : len(codes) - _GRAM + 1 + offset]) * _MIXER
        hashes ^= hashes >> np.uint64(32)
    ends = np.cumsum(lengths)
    is_gram = np.ones(len(codes), bool)
    for offset in range(1, _GRAM):
        is_gram[ends - offset] = False
    grams = hashes[is_gram[: len(hashes)]]
    offsets = np.concatenate([[0], np.cumsum(lengths - _GRAM + 1)]).astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(grams, offsets, _BANDS * _ROWS, _SEED)
    minima = np.array(matrix.to_rows(), np.uint64).reshape(len(texts), _BANDS, _ROWS)
    bands = np.zeros((len(texts), _BANDS), np.uint64)
    for row in range(_ROWS):
        bands = (bands + minima[:, :, row]) * _MIXER
        bands ^= bands >> np.uint64(32)
    # 32 bits suffice: a collision only costs a comparison of texts
    return bands.astype(np.uint32)


def _equal_before(values: NDArray[np.uint32]) -> Iterator[NDArray[np.int64]]:
    """Yield (N,) indices of the first, then of the previous equal element before each element; -1 if there is none."""
    # two comparisons per pair, however many pairs share a band
    order = np.argsort(values, kind="stable")
    indices = np.arange(len(values))
    starts = np.ones(len(values), bool)
    starts[1:] = values[order][1:] != values[order][:-1]
    group_start = np.maximum.accumulate(np.where(starts, indices, 0))
    for before in (group_start, indices - 1):
        found = np.full(len(values), -1)
        found[order] = np.where(starts, -1, order[before])
        yield found


def _similarities(first: Sides, second: Sides) -> NDArray[np.float64]:
    """(N,) Jaccard similarities of the 4-grams of N pairs to those of N other pairs."""
    pairs = zip(zip(*first, strict=True), zip(*second, strict=True), strict=True)
    return np.array([_jaccard(_grams(*one), _grams(*other)) for one, other in pairs])


def _grams(source: str, target: str) -> set[str]:
    text = _joined(source, target)
    return {text[start : start + _GRAM] for start in range(len(text) - _GRAM + 1)}


def _jaccard(first: set[str], second: set[str]) -> float:
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)
