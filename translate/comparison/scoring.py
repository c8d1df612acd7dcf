"""Scores of systems on one test set, and the significance of their differences from the first."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sacrebleu.significance import estimate_ci

from translate.comparison.lines import compare_lines, score_groups
from translate.comparison.results import Comparison, Difference, ScoredSystem, ScoringSettings, SharedTest, SystemScore
from translate.comparison.systems import System
from translate.evaluation.evaluate import group_by_label, group_by_length
from translate.evaluation.metrics import sentence_statistics
from translate.evaluation.scores import MIN_RESAMPLES, SEED, MetricName, Statistics
from translate.evaluation.significance import (
    BOOTSTRAP,
    RANDOMIZATION,
    holm,
    interval_of,
    paired_p_values,
    seed_errors,
    seed_errors_of_difference,
    two_sided_p_value,
)

_ROUNDING = 0.01  # reports round scores to two decimals
Measured = list[list[Statistics]]  # by one metric, of each entry of each system


def compare_systems(
    systems: Sequence[System],
    test: SharedTest,
    settings: ScoringSettings,
    *,
    further: Mapping[str, Measured] | None = None,
) -> Comparison:
    """Score systems on a test set and compare each with the first.

    further  statistics by metrics that are not computed here, such as COMET

    Raises UserError where a test of significance needs more memory than there is.
    """
    measured: dict[str, Measured] = {
        metric.value: [
            [
                sentence_statistics(metric, entry.hypotheses, test.references, tokenize=test.tokenize)
                for entry in system.entries
            ]
            for system in systems
        ]
        for metric in settings.metrics
    }
    measured |= further or {}
    scores = {metric: _scores(found, settings) for metric, found in measured.items()}
    compared = [
        ScoredSystem(system=system, scores={metric: found[number] for metric, found in scores.items()})
        for number, system in enumerate(systems)
    ]
    first = next(iter(measured.values()))
    return Comparison(
        test=test,
        settings=settings,
        systems=compare_lines(compared, test, examples=settings.examples, chrf=measured.get(MetricName.chrf)),
        by_length=score_groups(first, group_by_length(test.source.source)) if test.source else [],
        by_label=score_groups(first, group_by_label(test.source.labels or [])) if test.source else [],
    )


def outdated_reports(comparison: Comparison) -> list[str]:
    """Notes on runs whose own scores are others, although they were made in the same way: files have changed since."""
    notes = {}
    for compared in comparison.systems:
        for metric, score in compared.scores.items():
            for entry, value in zip(compared.system.entries, score.values, strict=True):
                own = entry.scores.get(metric)
                if own is None or entry.tokenize != comparison.test.tokenize or abs(own - value) <= _ROUNDING:
                    continue
                notes[entry.path] = (
                    f"{entry.path}: its report has {own:.2f} {score.name}, and its files give {value:.2f}: "
                    "translations or references have changed since"
                )
    return list(notes.values())


def _scores(measured: Measured, settings: ScoringSettings) -> list[SystemScore]:
    """Score of each system by one metric, with its difference from the first."""
    resampled = _resampled(measured, settings.resamples)
    # fixed seeds: the same comparison prints the same intervals and p-values
    random, scores = np.random.default_rng(SEED), []
    for number, own in enumerate(measured):
        values = [each.value() for each in own]
        score = SystemScore(
            name=own[0].name,
            signature=own[0].signature,
            values=values,
            spread=statistics.stdev(values) if len(values) > 1 else None,
        )
        if resampled:
            # two sources of error: which lines the test set has, and which seeds were trained
            means = resampled[number] + seed_errors(values, settings.resamples, random)
            score = replace(score, interval=float(estimate_ci(means)[1]))
        scores.append(score)
    return [scores[0], *_with_differences(scores, measured, resampled, settings)]


def _resampled(measured: Measured, resamples: int) -> list[NDArray[np.float64]]:
    """Scores of each system on resampled lines, (resamples,), of several seeds the means."""
    if resamples < MIN_RESAMPLES:
        return []
    return [np.mean([counted.resampled_scores(resamples) for counted in own], axis=0) for own in measured]


def _with_differences(
    scores: Sequence[SystemScore],
    measured: Measured,
    resampled: Sequence[NDArray[np.float64]],
    settings: ScoringSettings,
) -> list[SystemScore]:
    """Scores of all systems but the first with their differences from it, p-values adjusted for their number."""
    pooled, random = [_pooled(own) for own in measured], np.random.default_rng(SEED + 1)
    bootstrap = _p_values(pooled, BOOTSTRAP, settings.resamples if resampled else 0)
    randomization = _p_values(pooled, RANDOMIZATION, settings.trials)
    differences = []
    for number in range(1, len(scores)):
        values = scores[0].values, scores[number].values
        difference = Difference(
            value=scores[number].value - scores[0].value,
            p_bootstrap=bootstrap[number - 1],
            p_randomization=randomization[number - 1],
            is_equal=np.array_equal(pooled[number].counts, pooled[0].counts),
            has_seeds=max(map(len, values)) > 1,
        )
        if resampled:
            # paired: resample i has the same lines for both systems
            gaps = resampled[number] - resampled[0]
            errors = seed_errors_of_difference(*values, settings.resamples, random)
            difference = replace(difference, interval=interval_of(gaps + errors))
            if difference.has_seeds:
                # sacreBLEU's test is of single models
                p = two_sided_p_value(gaps, difference.value, errors=errors)
                difference = replace(difference, p_bootstrap=p)
        differences.append(difference)
    decisive = [each.p_value for each in differences]
    # without a test, or with one for some only, there is nothing to adjust
    known = [p for p in decisive if p is not None]
    adjusted = holm(known) if len(known) == len(decisive) else decisive
    return [
        replace(score, difference=replace(difference, adjusted=p))
        for score, difference, p in zip(scores[1:], differences, adjusted, strict=True)
    ]


def _pooled(own: Sequence[Statistics]) -> Statistics:
    """Counts of each line, of several seeds their mean (as Clark et al. 2011 pool the runs of an optimizer)."""
    return replace(own[0], counts=np.mean([each.counts for each in own], axis=0))


def _p_values(pooled: Sequence[Statistics], test: str, samples: int) -> list[float] | list[None]:
    if not samples or len(pooled) < 2:
        return [None] * (len(pooled) - 1)
    return paired_p_values(pooled[0], pooled[1:], test=test, samples=samples)
