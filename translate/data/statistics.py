"""Everything about the pairs of one split that the data report speaks of, gathered in one pass."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate.data.corpora import CorpusConfig
from translate.data.readers import CHUNK_PAIRS, Row, chunks, name_in_reports, read_rows
from translate.data.text_profile import Profile, Profiler, combine_hashes, hash_lines
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
        """Hashes of the lines of each side, and of the pairs: (N,) each."""
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
    source, target = _SideReader(len(corpora)), _SideReader(len(corpora))
    copies, corpus_indices = [], []
    for chunk in chunks(_rows(corpora, left_out), CHUNK_PAIRS // 5):
        indices = [index for index, _ in chunk]
        corpus_indices.append(np.array(indices))
        copies.append(np.array([row.source == row.target for _, row in chunk]))
        source.add([row.source for _, row in chunk], indices)
        target.add([row.target for _, row in chunk], indices)
    corpus = np.concatenate(corpus_indices)
    return Split(
        name=name,
        corpora=corpora,
        left_out=left_out,
        sizes=np.bincount(corpus, minlength=len(corpora)).tolist(),
        source=source.side(),
        target=target.side(),
        copies=np.concatenate(copies),
        tags=hash_lines([config.tag for _, config in corpora])[corpus],
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
    """Number of rows that repeat an earlier one, and the most frequent rows as (first row, times)."""
    _, first, counts = np.unique(hashes, return_index=True, return_counts=True)
    common = [index for index in np.argsort(-counts, kind="stable")[:3] if counts[index] > 1]
    return len(hashes) - len(counts), [(int(first[index]), int(counts[index])) for index in common]


def shared_with(hashes: NDArray[np.uint64], train: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Rows that also stand in the training text, whose hashes come sorted."""
    places = np.minimum(np.searchsorted(train, hashes), len(train) - 1)
    return np.flatnonzero(train[places] == hashes)


class _SideReader:
    """Collects the statistics of one side, chunk by chunk."""

    def __init__(self, num_corpora: int) -> None:
        self._profiler = Profiler()
        self._profiles: list[Profile] = []
        self._hashes: list[NDArray[np.uint64]] = []
        self._not_nfc: list[NDArray[np.bool_]] = []
        self._carriage_returns = [0] * num_corpora

    def add(self, raw: Sequence[str], corpora: Sequence[int]) -> None:
        """Take raw lines, each with the index of its corpus."""
        for index, line in zip(corpora, raw, strict=True):
            self._carriage_returns[index] += line.endswith("\r")
        lines = [line.removesuffix("\r") for line in raw]
        self._profiles.append(self._profiler(lines))
        self._hashes.append(hash_lines([normalise(line) for line in lines]))
        self._not_nfc.append(np.array([not unicodedata.is_normalized("NFC", line) for line in lines]))

    def side(self) -> Side:
        profile = Profile.concatenate(self._profiles)
        counts = np.bincount(profile.script, minlength=2)
        counts[0] = 0
        usual = int(counts.argmax()) if counts.any() else 0
        return Side(
            profile=profile,
            hashes=np.concatenate(self._hashes),
            not_nfc=np.concatenate(self._not_nfc),
            script=self._profiler.script_names()[usual],
            wrong_script=(profile.script != 0) & (profile.script != usual),
            counts=self._profiler.counts,
            carriage_returns=self._carriage_returns,
        )
