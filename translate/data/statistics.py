"""Everything about the pairs of one split that the data report speaks of, gathered in one pass."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from translate.data.clean_text import CHUNK_PAIRS, chunks
from translate.data.cleaning import hash_lines
from translate.data.corpora import CorpusConfig, Pair, read_pairs
from translate.data.profile import Profile, Profiler
from translate.text import normalise

_MIXER = np.uint64(0x9E3779B97F4A7C15)
_MIN_RATIO_CHARACTERS = 40
_FAR_RATIO = 4.0
_FAR_LENGTH = 5.0

Corpora = Sequence[tuple[str, CorpusConfig]]


@dataclass
class Side:
    """One side of a split: profile, 64-bit hashes (N,) of the normalised lines, which lines (N,) are not Unicode NFC,
    and the usual script."""

    profile: Profile
    hashes: NDArray[np.uint64]
    not_nfc: NDArray[np.bool_]
    script: str
    wrong_script: NDArray[np.bool_]


@dataclass
class Split:
    """A split of N pairs; sizes are those of its corpora, in order."""

    name: str
    corpora: Corpora
    sizes: list[int]
    source: Side
    target: Side
    copies: NDArray[np.bool_]

    @property
    def size(self) -> int:
        return sum(self.sizes)

    @property
    def sides(self) -> dict[str, Side]:
        return {"source": self.source, "target": self.target}

    def hashes(self) -> dict[str, NDArray[np.uint64]]:
        """Of each side and of the pairs, (N,)."""
        pair = self.source.hashes * _MIXER + self.target.hashes
        return {"source": self.source.hashes, "target": self.target.hashes, "pair": pair}

    def place(self, row: int) -> tuple[str, int]:
        """The corpus and line, from 1, of a row."""
        for (key, _), size in zip(self.corpora, self.sizes, strict=True):
            if row < size:
                return key, row + 1
            row -= size
        raise AssertionError("no such row")

    def fetch(self, rows: set[int]) -> dict[int, Pair]:
        """The text of some rows, from another pass over the files."""
        found: dict[int, Pair] = {}
        start = 0
        for (key, corpus), size in zip(self.corpora, self.sizes, strict=True):
            wanted = [row - start for row in rows if start <= row < start + size]
            pairs = islice(read_pairs(corpus, key=key), max(wanted, default=-1) + 1)
            found.update({start + row: pair for row, pair in enumerate(pairs) if start + row in rows})
            start += size
        return found


def gather(name: str, corpora: Corpora) -> Split:
    """Read a split's corpora once; memory is some 60 bytes for each pair."""
    profilers = Profiler(), Profiler()
    profiles: tuple[list[Profile], list[Profile]] = ([], [])
    hashes: tuple[list[NDArray[np.uint64]], list[NDArray[np.uint64]]] = ([], [])
    not_nfc: tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]] = ([], [])
    copies, sizes = [], []
    for key, corpus in corpora:
        size = 0
        for chunk in chunks(read_pairs(corpus, key=key), CHUNK_PAIRS // 5):
            size += len(chunk)
            copies.append(np.array([source == target for source, target in chunk]))
            for side in (0, 1):
                lines = [pair[side] for pair in chunk]
                profiles[side].append(profilers[side](lines))
                hashes[side].append(hash_lines([normalise(line) for line in lines]))
                not_nfc[side].append(np.array([not unicodedata.is_normalized("NFC", line) for line in lines]))
        sizes.append(size)
    source, target = (_side(profiles[side], hashes[side], not_nfc[side], profilers[side]) for side in (0, 1))
    return Split(name, corpora, sizes, source, target, np.concatenate(copies))


def far_lengths(profile: Profile) -> NDArray[np.int64]:
    """Rows several times longer than nearly all others, the longest first."""
    characters = profile.characters
    rows = np.flatnonzero(characters > _FAR_LENGTH * np.percentile(characters, 95))
    return rows[np.argsort(-characters[rows], kind="stable")]


def far_ratios(split: Split) -> NDArray[np.int64]:
    """Rows whose sides' lengths are far from the usual ratio of this split, the furthest first."""
    source = split.source.profile.characters.astype(float)
    target = split.target.profile.characters.astype(float)
    judged = (np.minimum(source, target) > 0) & (np.maximum(source, target) > _MIN_RATIO_CHARACTERS)
    ratio = np.zeros(len(source))
    ratio[judged] = np.log(target[judged] / source[judged])
    distance = np.where(judged, np.abs(ratio - np.median(ratio[judged])), 0.0) if judged.any() else ratio
    rows = np.flatnonzero(distance > np.log(_FAR_RATIO))
    return rows[np.argsort(-distance[rows], kind="stable")]


def repeated(hashes: NDArray[np.uint64]) -> tuple[int, list[tuple[int, int]]]:
    """How many rows repeat an earlier one; the most frequent ones as (first row, times)."""
    _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    common = [index for index in np.argsort(-counts, kind="stable")[:3] if counts[index] > 1]
    return len(hashes) - len(counts), [(int(first[index]), int(counts[index])) for index in common]


def shared_with(hashes: NDArray[np.uint64], train: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows that also stand in the training text, whose hashes come sorted."""
    places = np.minimum(np.searchsorted(train, hashes), len(train) - 1)
    return np.flatnonzero(train[places] == hashes)


def _side(
    profiles: Sequence[Profile],
    hashes: Sequence[NDArray[np.uint64]],
    not_nfc: Sequence[NDArray[np.bool_]],
    profiler: Profiler,
) -> Side:
    profile = Profile.concatenate(profiles)
    counts = np.bincount(profile.script, minlength=2)
    counts[0] = 0
    usual = int(counts.argmax()) if counts.any() else 0
    wrong = (profile.script != 0) & (profile.script != usual)
    return Side(profile, np.concatenate(hashes), np.concatenate(not_nfc), profiler.script_names()[usual], wrong)
