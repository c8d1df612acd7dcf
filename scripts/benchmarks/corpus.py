"""A tokenised corpus as one NumPy file, and the plain ways of making batches of it: for peers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.work import BOS, EOS, PAD, PairLengths

Ids = NDArray[np.int64]

NO_TARGET = -100  # what PyTorch's cross entropy ignores


@dataclass(eq=False)
class Corpus:
    """Sentence pairs as token ids, without BOS and EOS."""

    source: list[Ids]
    target: list[Ids]

    def __len__(self) -> int:
        return len(self.source)

    def lengths(self) -> PairLengths:
        return PairLengths.of((len(s) + 1, len(t) + 1) for s, t in zip(self.source, self.target, strict=True))

    def save(self, path: Path) -> None:
        np.savez(
            path,
            source=np.concatenate(self.source),
            source_lengths=np.array([len(ids) for ids in self.source]),
            target=np.concatenate(self.target),
            target_lengths=np.array([len(ids) for ids in self.target]),
        )

    @classmethod
    def load(cls, path: str | Path) -> Corpus:
        with np.load(path) as arrays:
            sides = [np.split(arrays[name], np.cumsum(arrays[f"{name}_lengths"])[:-1]) for name in ("source", "target")]
        return cls(*sides)


@dataclass(eq=False)
class PlainBatch:
    """source (B, S) ended by EOS, target (B, T) begun by BOS, labels (B, T) ended by EOS, NO_TARGET where padded."""

    source: Ids
    target: Ids
    labels: Ids

    @property
    def target_tokens(self) -> int:
        """Real ones, EOS counted."""
        return int((self.labels != NO_TARGET).sum())


def plain_batch(corpus: Corpus, pairs: Ids) -> PlainBatch:
    sources = [np.append(corpus.source[pair], EOS) for pair in pairs]
    targets = [np.insert(corpus.target[pair], 0, BOS) for pair in pairs]
    labels = [np.append(corpus.target[pair], EOS) for pair in pairs]
    return PlainBatch(padded(sources, PAD), padded(targets, PAD), padded(labels, NO_TARGET))


def padded(rows: list[Ids], filling: int) -> Ids:
    result = np.full((len(rows), max(map(len, rows))), filling, dtype=np.int64)
    for row, ids in zip(result, rows, strict=True):
        row[: len(ids)] = ids
    return result


def endless_batches(corpus: Corpus, *, tokens: int, by_length: bool, seed: int) -> Iterator[PlainBatch]:
    """Epoch after epoch of random batches within the budget, padding counted; by_length: of similar lengths."""
    random = np.random.default_rng(seed)
    lengths = np.array([(len(s) + 1, len(t) + 1) for s, t in zip(corpus.source, corpus.target, strict=True)])
    while True:
        order = random.permutation(len(corpus))
        if by_length:
            order = order[np.lexsort(lengths[order].T)]
        batches = list(cut(order, lengths.max(axis=1), tokens))
        for number in random.permutation(len(batches)):
            yield plain_batch(corpus, batches[number])


def cut(order: Ids, lengths: Ids, tokens: int) -> Iterator[Ids]:
    """Pieces of the order as long as their number times their longest length fits; one pair at least."""
    start, longest = 0, 0
    for place, pair in enumerate(order):
        longest = max(longest, int(lengths[pair]))
        if place > start and longest * (place + 1 - start) > tokens:
            yield order[start:place]
            start, longest = place, int(lengths[pair])
    if start < len(order):
        yield order[start:]
