"""Results of a comparison: what terminal, page and JSON show."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from translate.comparison.systems import System
from translate.comparison.test_sets import References, SourceText
from translate.evaluation.metrics import METRICS
from translate.evaluation.scores import MetricName
from translate.evaluation.significance import Interval


@dataclass(frozen=True, kw_only=True)
class SharedTest:
    """N lines that all systems translated.

    source  None where it is not known, so that there are no groups of lines
    """

    name: str
    references: References
    tokenize: str
    source: SourceText | None = None


@dataclass(frozen=True, kw_only=True)
class ScoringSettings:
    """Metrics and tests of a comparison.

    resamples  of the bootstrap, for intervals and p-values; 0: neither
    trials     of approximate randomization; 0: none
    examples   number of largest wins, and of largest losses
    """

    metrics: Sequence[MetricName]
    resamples: int
    trials: int
    examples: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A system's score less the baseline's, by one metric.

    p_bootstrap, p_randomization  None where there was no such test; of several seeds the bootstrap has their errors,
                                  and randomization is that of the counts of all seeds together
    adjusted   p_value by Holm's method for the number of systems
    is_equal   all lines count the same as the baseline's
    has_seeds  at least one of the two systems has several seeds
    """

    value: float
    interval: Interval | None = None
    p_bootstrap: float | None = None
    p_randomization: float | None = None
    adjusted: float | None = None
    is_equal: bool = False
    has_seeds: bool = False

    @property
    def p_value(self) -> float | None:
        """The p-value that a verdict rests on; None without a test.

        Of single models that of randomization, which counts both tails, unlike sacreBLEU's bootstrap.
        """
        # randomization swaps outputs of two models line by line: it knows no variance of seeds
        if self.has_seeds or self.p_randomization is None:
            return self.p_bootstrap
        return self.p_randomization


@dataclass(frozen=True, kw_only=True)
class SystemScore:
    """A system's score by one metric: the mean of its seeds.

    values    of each seed
    spread    their standard deviation; None for one
    interval  half the width of the 95 % confidence interval of the mean
    """

    name: str
    signature: str
    values: list[float]
    spread: float | None = None
    interval: float | None = None
    difference: Difference | None = None

    @property
    def value(self) -> float:
        return statistics.fmean(self.values)

    @property
    def rounded(self) -> str:
        """Mean and interval with one decimal."""
        return f"{self.value:.1f}" + ("" if self.interval is None else f" ± {self.interval:.1f}")


@dataclass(frozen=True, kw_only=True)
class GroupScores:
    """Scores of all systems, in their order, on the lines that have a length or a label in common."""

    name: str
    lines: int
    values: list[float]


@dataclass(frozen=True, kw_only=True)
class Example:
    """A line that a system translates better or worse than the baseline, by sentence chrF; number counts from 1."""

    number: int
    source: str
    reference: str
    baseline: str
    hypothesis: str
    baseline_score: float
    score: float


@dataclass(frozen=True, kw_only=True)
class ScoredSystem:
    """A system with its scores by metric, and the lines where it differs most from the baseline.

    num_equal               number of lines with the translation of the baseline
    num_better, num_worse   by sentence chrF
    """

    system: System
    scores: Mapping[str, SystemScore]
    wins: list[Example] = field(default_factory=list)
    losses: list[Example] = field(default_factory=list)
    num_equal: int = 0
    num_better: int = 0
    num_worse: int = 0


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Systems on one test set, the baseline first.

    groups  by length, and by label; by the first metric
    """

    test: SharedTest
    settings: ScoringSettings
    systems: list[ScoredSystem]
    by_length: list[GroupScores] = field(default_factory=list)
    by_label: list[GroupScores] = field(default_factory=list)

    @property
    def metrics(self) -> list[str]:
        # of any system: all have the same
        return list(self.systems[0].scores)

    def is_better(self, metric: str, difference: float) -> bool:
        """True if a difference from the baseline is for the better."""
        return difference > 0 if higher_is_better(metric) else difference < 0


def higher_is_better(metric: str) -> bool:
    """False for error rates and the loss; a metric that is not in METRICS, such as COMET, is neither."""
    return metric != "loss" and (metric not in list(MetricName) or METRICS[MetricName(metric)].higher_is_better)
