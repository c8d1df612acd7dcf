"""Contract of a metric, its score, and confidence intervals by bootstrap resampling.

Intervals are those of `sacrebleu --confidence`, whose own code holds the counts of all resamples in memory at once (1.5
GiB for chrF of 20,000 lines, where this takes 0.2 GiB), and knows no metrics but its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.significance import estimate_ci

RESAMPLES = 1000  # by default
MIN_RESAMPLES = 100  # fewer say nothing about the tails: the least p of 99 is 0.01
SEED = 12345  # sacreBLEU's own, so that the intervals are the same
Counts = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Statistics:
    """Counts of each of N sentences that add up over a corpus, (N, C), and the function that scores their sum, (C,).

    name, signature  of the metric, as those of a Score
    """

    counts: Counts
    score: Callable[[NDArray[Any]], float]
    name: str = ""
    signature: str = ""

    def value(self, lines: Sequence[int] | None = None) -> float:
        """Score of the corpus, or of some of its lines alone."""
        counts = self.counts if lines is None else self.counts[lines]
        # fp64: an fp32 sum of many lines would round
        return self.score(counts.sum(0, dtype=np.float64))

    def line_values(self) -> list[float]:
        """Score of each line as a corpus of its own, N numbers."""
        return [self.score(row) for row in self.counts]

    def resampled_scores(self, resamples: int) -> NDArray[np.float64]:
        """Scores of corpora of N sentences drawn with replacement, (resamples,); every system gets the same draws."""
        assert resamples >= MIN_RESAMPLES
        random, size = np.random.default_rng(SEED), len(self.counts)
        # one at a time: the counts of all resamples at once would need gigabytes
        draws = (random.choice(size, size=size, replace=True) for _ in range(resamples))
        return np.array([self.score(self.counts[draw].sum(0)) for draw in draws])


def confidence_interval(statistics: Statistics, *, resamples: int) -> float:
    """Half the width of a score's 95 % confidence interval (Koehn 2004)."""
    _, half_width = estimate_ci(statistics.resampled_scores(resamples))
    return float(half_width)


Lines = Sequence[str]


class MetricName(StrEnum):
    """A metric as options and reports name it."""

    bleu = "bleu"
    chrf = "chrf"
    chrfpp = "chrfpp"
    ter = "ter"
    rouge1 = "rouge1"
    rouge2 = "rouge2"
    rougeL = "rougeL"  # noqa: N815 - the usual spelling
    exact_match = "exact_match"
    f1 = "f1"


@dataclass(frozen=True, kw_only=True)
class Score:
    """A corpus's score.

    name       as it is printed: BLEU, chrF2, chrF2++, TER, ROUGE-1, …
    value      0 to 100; more is better, except for TER, an error rate in percent
    interval   half the width of its 95 % confidence interval; None if there was no bootstrap
    signature  how it was computed
    details    of BLEU: brevity_penalty, and length_ratio (tokens of hypotheses / of references)
    """

    name: str
    value: float
    signature: str
    interval: float | None = None
    details: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name} = {self.rounded}  {self.signature}"

    @property
    def rounded(self) -> str:
        """Value and interval with one decimal."""
        return f"{self.value:.1f}" + ("" if self.interval is None else f" ± {self.interval:.1f}")


Scores = dict[MetricName, Score]


class Metric(ABC):
    """A metric of a corpus: N hypotheses against one or several references of N lines each.

    tokenize, in all methods, is BLEU's tokenizer; other metrics find words without spaces by it, or ignore it.

    higher_is_better  False for error rates
    has_alternatives  True if a line of the reference may hold several right answers, separated by TAB
    """

    higher_is_better: bool = True
    has_alternatives: bool = False

    @abstractmethod
    def score(self, hypotheses: Lines, references: Sequence[Lines], *, tokenize: str, resamples: int) -> Score:
        """Score the corpus, with a confidence interval from so many resamples (0: without)."""

    @abstractmethod
    def statistics(self, hypotheses: Lines, references: Sequence[Lines], *, tokenize: str) -> Statistics:
        """Counts of each sentence, for bootstrap resampling."""

    def is_better(self, value: float, best: float) -> bool:
        """True if a value is strictly better than the best one so far."""
        return value > best if self.higher_is_better else value < best
