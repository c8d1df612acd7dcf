"""Significance of differences between systems that translated the same N lines.

Of single models: paired bootstrap resampling (Koehn 2004) and approximate randomization (Riezler and Maxwell 2005) by
sacreBLEU's own code, with the p-values that `sacrebleu --paired-bs` and `--paired-ar` print. Its bootstrap counts one
tail of the distribution, so that its p-values are about half of a two-sided test's; its randomization counts both.

Of several models of one setting, which differ in their seeds: scores vary with the seed as well as with the sentences
(Clark et al. 2011). Sentences are resampled; to the mean of each resample an error is added that is drawn from
Student's t distribution, as in Welch's test, which fits few seeds (Colas et al. 2018), where resampling them would not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import stdev, variance
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sacrebleu.significance import PairedTest

from translate.evaluation.scores import MIN_RESAMPLES, Statistics
from translate.memory import machine_memory, require_memory

TRIALS = 10_000  # of approximate randomization, by default, as in sacreBLEU
BOOTSTRAP, RANDOMIZATION = "bs", "ar"  # tests, as sacreBLEU calls them
_OPTIONS = {BOOTSTRAP: "bootstrap", RANDOMIZATION: "trials"}
_LARGEST_IN_FP32 = 2**24  # integers up to it are exact
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """Bounds of a 95 % confidence interval."""

    low: float
    high: float


def paired_p_values(
    baseline: Statistics, systems: Sequence[Statistics], *, test: str, samples: int, memory: int | None = None
) -> list[float]:
    """p-value of each system's difference from the baseline, by sacreBLEU's PairedTest and its seed.

    A system whose counts equal the baseline's has p = 1, for which the bootstrap of sacreBLEU prints 1 / (samples + 1).

    test     BOOTSTRAP or RANDOMIZATION
    samples  resamples or trials
    memory   of this machine, in bytes; None: found out

    Raises UserError where the test needs more memory than there is.
    """
    arrays = [_smallest(each.counts) for each in (baseline, *systems)]
    lines, counts = baseline.counts.shape
    # sacreBLEU holds the counts of all resamples, or a mask of the lines of all trials and its product's operand
    per_line = 4 * counts + 8 if test == BOOTSTRAP else 2 + max(array.itemsize for array in arrays)
    require_memory(
        lines * samples * per_line,
        machine_memory() if memory is None else memory,
        purpose=f"{_OPTIONS[test]}={samples} of {lines:,} lines, by {baseline.name or 'this metric'},",
        remedy=f"lower {_OPTIONS[test]}",
    )
    named = [(str(number), array) for number, array in enumerate(arrays)]
    _, results = PairedTest(named, {"": _Counted(baseline)}, None, test, samples)()  # type: ignore[arg-type,dict-item]
    found = [float(result.p_value) for result in results[_Counted.NAME][1:]]  # type: ignore[union-attr,arg-type]
    equal = [np.array_equal(each.counts, baseline.counts) for each in systems]
    return [1.0 if is_equal else p for p, is_equal in zip(found, equal, strict=True)]


def _smallest(counts: NDArray[Any]) -> NDArray[Any]:
    """The counts in fp32 where any sum of them is exact in it, else in fp64."""
    is_exact = counts.sum(0, dtype=np.float64).max() < _LARGEST_IN_FP32 and bool((counts == np.trunc(counts)).all())
    return counts.astype(np.float32 if is_exact else np.float64)


class _Counted:
    """A metric as PairedTest calls it; its hypotheses are counts that are there already, (N, C)."""

    NAME = "score"

    def __init__(self, statistics: Statistics) -> None:
        self._score = statistics.score

    def _extract_corpus_statistics(self, hypotheses: NDArray[Any], references: None) -> NDArray[Any]:
        return hypotheses

    def _compute_score_from_stats(self, counts: NDArray[Any]) -> Any:
        return SimpleNamespace(name=self.NAME, score=self._score(counts))

    def _aggregate_and_compute(self, counts: NDArray[Any]) -> Any:
        return self._compute_score_from_stats(np.asarray(np.sum(counts, axis=0, dtype=np.float64)))

    def get_signature(self) -> Any:
        return SimpleNamespace(update=lambda key, value: None)


def seed_errors(values: Sequence[float], samples: int, random: np.random.Generator) -> Scores:
    """Random errors of the mean of R seeds' scores, (samples,), from their standard deviation; 0 for a single seed."""
    if len(values) == 1:
        return np.zeros(samples)
    return stdev(values) / sqrt(len(values)) * random.standard_t(len(values) - 1, size=samples)


def seed_errors_of_difference(
    first: Sequence[float], second: Sequence[float], samples: int, random: np.random.Generator
) -> Scores:
    """Random errors of the difference between the means of two systems, (samples,), with Welch's degrees of freedom.

    A single seed is taken to vary as those of the other system do.
    """
    if min(len(first), len(second)) == 1:
        several = max(first, second, key=len)
        return sqrt(len(several) + 1) * seed_errors(several, samples, random)
    parts = [variance(values) / len(values) for values in (first, second)]
    squares = [part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True)]
    if not sum(squares):
        return np.zeros(samples)
    return sqrt(sum(parts)) * random.standard_t(sum(parts) ** 2 / sum(squares), size=samples)


def interval_of(values: Scores) -> Interval:
    """Bounds that 2.5 % of resampled values lie below and above."""
    ordered, cut = np.sort(values), len(values) // 40
    return Interval(float(ordered[cut]), float(ordered[-1 - cut]))


def two_sided_p_value(differences: Scores, observed: float, *, errors: Scores | float = 0.0) -> float:
    """p-value of an observed difference between two systems, given that of each pair of resampled scores.

    The resampled differences, less their mean, are the distribution of differences under the null hypothesis (Riezler
    and Maxwell 2005). Equal systems have p = 1.

    errors  of seeds, for each resample
    """
    at_least_as_large = np.abs(differences - differences.mean() + errors) >= abs(observed)
    # the observed difference counts as one of the draws, so that p is never 0
    return float((at_least_as_large.sum() + 1) / (len(differences) + 1))


def paired_p_value(first: Statistics, second: Statistics, *, resamples: int) -> float:
    """Two-sided p-value of the difference between two systems, by paired bootstrap; 1 for equal systems."""
    assert resamples >= MIN_RESAMPLES
    observed = first.score(first.counts.sum(0)) - second.score(second.counts.sum(0))
    # the same draws for both systems: easy and hard samples cancel out
    return two_sided_p_value(first.resampled_scores(resamples) - second.resampled_scores(resamples), observed)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of several tests, adjusted so that an error among all has the level's probability (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted
