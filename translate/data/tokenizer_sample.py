"""The sample of training pairs that the vocabulary is learned from, drawn in proportion to the corpora's weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate.data.clean_text import CHUNK_PAIRS
from translate.data.corpora import CorpusConfig
from translate.data.storage import Ragged


def sampling_weights(corpora: list[tuple[str, CorpusConfig]]) -> list[float]:
    """Copies of a pair of each corpus in the sample, if there is room for all of them."""
    weights = [corpus.weight for _, corpus in corpora]
    if min(weights) == max(weights):
        return [1.0] * len(weights)
    return [weight / min(1.0, max(weights)) for weight in weights]


def sample_rows(corpus: NDArray[np.integer], weights: Sequence[float], size: int, seed: int) -> NDArray[np.int64]:
    """About `size` ascending row numbers, drawn with the seed; corpus (N,) is the index of each row's corpus.

    weights  copies of a row of each corpus where there is room for all: 2 is twice, 0.1 every tenth row
    """
    random = np.random.default_rng(seed)
    wanted = np.bincount(corpus, minlength=len(weights)) @ np.array(weights)
    times = np.zeros(len(corpus), np.int32)
    for number, weight in enumerate(weights):
        rows = np.flatnonzero(corpus == number)
        copies, share = divmod(weight * min(1.0, size / wanted), 1)
        times[rows] = int(copies)
        times[random.choice(rows, round(share * len(rows)), replace=False)] += 1
    return np.repeat(np.arange(len(corpus)), times)


@dataclass(frozen=True)
class RowTexts:
    """The texts of some rows, (n,), which can be read several times."""

    text: Ragged
    rows: NDArray[np.int64]

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self.rows), CHUNK_PAIRS):
            yield from self.text.texts(self.rows[start : start + CHUNK_PAIRS])
            self.text.release()
