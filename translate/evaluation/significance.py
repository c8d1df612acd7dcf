"""How far a score would move on another test set of the same kind: bootstrap resampling (Koehn 2004)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SEED = 12345  # sacreBLEU's own, so that the intervals are those of `sacrebleu --confidence`


def confidence_interval(
    statistics: NDArray[np.float32], compute: Callable[[NDArray[np.float32]], float], *, resamples: int
) -> float:
    """Half the width of a score's 95 % confidence interval.

    statistics (sentences, counts) add up over a corpus; compute makes a score of such a sum. One resample at a
    time: memory does not grow with their number.
    """
    random = np.random.default_rng(SEED)
    count = len(statistics)
    scores = sorted(
        float(compute(statistics[random.choice(count, size=count, replace=True)].sum(0))) for _ in range(resamples)
    )
    tail = resamples // 40
    return (scores[-1 - tail] - scores[tail]) / 2
