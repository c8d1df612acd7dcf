"""Bootstrap confidence intervals of scores, and p-values of their differences (Koehn 2004).

Statistics (sentences, counts) add up over a corpus; compute makes a score of such a sum. One resample at a time:
memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000  # by default
MIN_RESAMPLES = 100  # fewer say nothing about the tails: the least p of 99 is 0.01
SEED = 12345  # sacreBLEU's own, so that the intervals are those of `sacrebleu --confidence`


Statistics = NDArray[np.float32]
Compute = Callable[[Statistics], float]


def confidence_interval(statistics: Statistics, compute: Compute, *, resamples: int) -> float:
    """Half the width of a score's 95 % confidence interval."""
    assert resamples >= MIN_RESAMPLES
    scores = sorted(compute(statistics[chosen].sum(0)) for chosen in _resamples(len(statistics), resamples))
    tail = resamples // 40
    return (scores[-1 - tail] - scores[tail]) / 2


def paired_p_value(first: Statistics, second: Statistics, compute: Compute, *, resamples: int) -> float:
    """Two-sided p-value of the difference between two systems, by paired bootstrap.

    Both are resampled alike; the differences, less their mean, are the distribution of differences under the null
    hypothesis (Riezler and Maxwell 2005). Equal systems have p = 1.
    """
    assert resamples >= MIN_RESAMPLES
    observed = compute(first.sum(0)) - compute(second.sum(0))
    found = np.array(
        [compute(first[chosen].sum(0)) - compute(second[chosen].sum(0)) for chosen in _resamples(len(first), resamples)]
    )
    by_chance = np.abs(found - found.mean()) >= abs(observed)
    return float((by_chance.sum() + 1) / (resamples + 1))


def _resamples(sentences: int, count: int) -> Iterator[NDArray[np.int64]]:
    random = np.random.default_rng(SEED)
    return (random.choice(sentences, size=sentences, replace=True) for _ in range(count))
