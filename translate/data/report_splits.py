"""Splits of the data report: the training text, or that of each direction, and each validation and test set.

Letters: N pairs of a split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate.data.cleaning import combine_hashes, hash_lines
from translate.data.corpora import DataConfig, KeyedCorpora
from translate.data.held_out import HeldOut, pairs_left_out
from translate.data.readers import CHUNK_PAIRS, Row, chunks, name_in_reports, read_rows
from translate.data.text_profile import Side, SideReader


@dataclass
class Split:
    """A split of N pairs.

    sizes     pairs of each of its corpora, in order
    left_out  indices, among all pairs of the corpora, of those that are not part of the split
    copies    (N,) True where source and target are equal
    tags      (N,) hash of the tag of each pair's corpus
    """

    name: str
    corpora: KeyedCorpora
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
                break  # the rest of the files need not be read
            if number in rows:
                key, corpus = self.corpora[index]
                found[number] = name_in_reports(key, corpus, row), row
        return found


def gather(name: str, corpora: KeyedCorpora, *, left_out: NDArray[np.int64]) -> Split:
    """Read a split's corpora once, without the pairs at the indices left_out; takes some 70 bytes of memory a pair."""
    source, target = SideReader(len(corpora)), SideReader(len(corpora))
    copies, corpus_indices = [], []
    # a profile needs some hundred bytes a character of its lines: small chunks
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


def _rows(corpora: KeyedCorpora, left_out: NDArray[np.int64]) -> Iterator[tuple[int, Row]]:
    """All rows that are not left out, each with the index of its corpus in the list."""
    without = set(left_out.tolist())
    rows = ((index, row) for index, (key, corpus) in enumerate(corpora) for row in read_rows(corpus, key=key))
    return (found for number, found in enumerate(rows) if number not in without)


def training_splits(data: DataConfig, held_out: HeldOut | None) -> dict[str, Split]:
    """The training text without what is held out; that of each direction, by its name, where there are several."""
    corpora = data.training_corpora
    left_out = pairs_left_out(held_out.directory) if held_out else np.empty(0, np.int64)
    if not data.directions:
        return {"": gather("train", corpora, left_out=left_out)}
    ends = held_out.corpus_ends if held_out else [0] * len(corpora)
    return {
        each.name: gather(
            f"train.{each.name}",
            [corpora[index] for index in each.corpora],
            left_out=_rows_among(left_out, [(ends[index - 1] if index else 0, ends[index]) for index in each.corpora]),
        )
        for each in data.directions
    }


def _rows_among(rows: NDArray[np.int64], corpora: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Rows of all corpora as rows of some of them; corpora: first row of each, and the row after its last."""
    found, before = [], 0
    for start, end in corpora:
        found.append(rows[(rows >= start) & (rows < end)] - start + before)
        before += end - start
    return np.concatenate(found)
