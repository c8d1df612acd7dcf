"""Everything about the pairs of one split that the data report speaks of, gathered in one pass."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate.data.clean_text import CHUNK_PAIRS, chunks
from translate.data.cleaning import combine_hashes, hash_lines
from translate.data.corpora import CorpusConfig, Row, name_in_reports, read_rows
from translate.data.profile import Profile, Profiler
from translate.text import normalise

_MIN_RATIO_CHARACTERS = 40
_FAR_RATIO = 4.0
_FAR_LENGTH = 5.0

Corpora = Sequence[tuple[str, CorpusConfig]]


@dataclass
class Side:
    """One side of a split: profile, 64-bit hashes (N,) of the normalised lines, and the usual script.

    not_nfc (N,)        True for lines that are not Unicode NFC
    counts (0x110000,)  occurrences of each character
    carriage_returns    lines of each corpus that end with one, as in CRLF files; these do not count as characters
    """

    profile: Profile
    hashes: NDArray[np.uint64]
    not_nfc: NDArray[np.bool_]
    script: str
    wrong_script: NDArray[np.bool_]
    counts: NDArray[np.int64]
    carriage_returns: list[int]


@dataclass
class Split:
    """A split of N pairs; sizes are those of its corpora, in order.

    left_out  indices, among all pairs of the corpora, of those that are not part of the split
    tags      (N,) hash of the tag of each pair's corpus
    """

    name: str
    corpora: Corpora
    left_out: NDArray[np.int64]
    sizes: list[int]
    source: Side
    target: Side
    copies: NDArray[np.bool_]
    tags: NDArray[np.uint64]

    @property
    def size(self) -> int:
        return sum(self.sizes)

    @property
    def sides(self) -> dict[str, Side]:
        return {"source": self.source, "target": self.target}

    def hashes(self) -> dict[str, NDArray[np.uint64]]:
        """Of each side and of the pairs, (N,)."""
        pair = combine_hashes(self.source.hashes, self.target.hashes)
        return {"source": self.source.hashes, "target": self.target.hashes, "pair": pair}

    def hashes_by_tag(self) -> dict[str, NDArray[np.uint64]]:
        """Like hashes, but the same text with another tag differs: it asks for another translation."""
        return {name: hashes ^ self.tags for name, hashes in self.hashes().items()}

    def fetch(self, rows: set[int]) -> dict[int, tuple[str, Row]]:
        """Some rows and their corpora's names in reports, from another pass over the files."""
        found: dict[int, tuple[str, Row]] = {}
        last = max(rows, default=-1)
        for number, (index, row) in enumerate(_rows(self.corpora, self.left_out)):
            if number > last:
                break
            if number in rows:
                key, corpus = self.corpora[index]
                found[number] = name_in_reports(key, corpus, row), row
        return found


def gather(name: str, corpora: Corpora, *, left_out: NDArray[np.int64]) -> Split:
    """Read a split's corpora once, without the pairs at the indices left_out; memory is some 70 bytes a pair."""
    profilers = Profiler(), Profiler()
    profiles: tuple[list[Profile], list[Profile]] = ([], [])
    hashes: tuple[list[NDArray[np.uint64]], list[NDArray[np.uint64]]] = ([], [])
    not_nfc: tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]] = ([], [])
    carriage_returns = [0] * len(corpora), [0] * len(corpora)
    copies, places = [], []
    for chunk in chunks(_rows(corpora, left_out), CHUNK_PAIRS // 5):
        places.append(np.array([index for index, _ in chunk]))
        copies.append(np.array([row.source == row.target for _, row in chunk]))
        for side in (0, 1):
            raw = [(row.source, row.target)[side] for _, row in chunk]
            for (index, _), line in zip(chunk, raw, strict=True):
                carriage_returns[side][index] += line.endswith("\r")
            lines = [line.removesuffix("\r") for line in raw]
            profiles[side].append(profilers[side](lines))
            hashes[side].append(hash_lines([normalise(line) for line in lines]))
            not_nfc[side].append(np.array([not unicodedata.is_normalized("NFC", line) for line in lines]))
    place = np.concatenate(places)
    source, target = (
        _side(profiles[side], hashes[side], not_nfc[side], profilers[side], carriage_returns[side]) for side in (0, 1)
    )
    return Split(
        name=name,
        corpora=corpora,
        left_out=left_out,
        sizes=np.bincount(place, minlength=len(corpora)).tolist(),
        source=source,
        target=target,
        copies=np.concatenate(copies),
        tags=hash_lines([corpus.tag for _, corpus in corpora])[place],
    )


def _rows(corpora: Corpora, left_out: NDArray[np.int64]) -> Iterator[tuple[int, Row]]:
    """All rows that are not left out, each with the index of its corpus in the list."""
    without = set(left_out.tolist())
    number = 0
    for index, (key, corpus) in enumerate(corpora):
        for row in read_rows(corpus, key=key):
            if number not in without:
                yield index, row
            number += 1


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
    carriage_returns: list[int],
) -> Side:
    profile = Profile.concatenate(profiles)
    counts = np.bincount(profile.script, minlength=2)
    counts[0] = 0
    usual = int(counts.argmax()) if counts.any() else 0
    wrong = (profile.script != 0) & (profile.script != usual)
    return Side(
        profile=profile,
        hashes=np.concatenate(hashes),
        not_nfc=np.concatenate(not_nfc),
        script=profiler.script_names()[usual],
        wrong_script=wrong,
        counts=profiler.counts,
        carriage_returns=carriage_returns,
    )
