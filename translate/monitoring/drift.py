"""Drift: windows of a service's lines against the baseline, by all measures."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from translate.evaluation.significance import holm
from translate.monitoring.features import LineFeatures
from translate.monitoring.log import LoggedLine
from translate.monitoring.measures import MEASURES, Difference, Measure

LEAST_LINES = 50  # of a window
Values = dict[str, list[Any]]  # of lines, by the name of the measure


def values_of(lines: Sequence[LineFeatures]) -> Values:
    """Values of lines by all measures."""
    return {measure.name: measure.values(lines) for measure in MEASURES}


@dataclass(frozen=True)
class Finding:
    """The difference by a measure; p_value: adjusted for all measures of the window (Holm)."""

    measure: Measure
    difference: Difference
    p_value: float
    is_drift: bool


@dataclass(frozen=True)
class Window:
    """Lines that follow each other in the log, and their findings, in the order of MEASURES."""

    lines: Sequence[LoggedLine]
    findings: list[Finding]

    @property
    def start(self) -> datetime:
        return self.lines[0].time

    @property
    def end(self) -> datetime:
        return self.lines[-1].time

    @property
    def drifts(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_drift]


def compare_values(before: Values, now: Values, *, level: float) -> list[Finding]:
    """Findings of the measures that both sides have values of.

    A measure has drifted if its adjusted p-value is below the level, so that the probability of any false alarm in the
    window is at most the level, and its distance is large enough to matter.
    """
    measures = [measure for measure in MEASURES if before.get(measure.name) and now.get(measure.name)]
    compared = [(measure, measure.compare(before[measure.name], now[measure.name])) for measure in measures]
    adjusted = holm([difference.p_value for _, difference in compared])
    return [
        Finding(measure, difference, p_value, p_value < level and difference.distance >= measure.least)
        for (measure, difference), p_value in zip(compared, adjusted, strict=True)
    ]


def windows_of(lines: Sequence[LoggedLine], size: int) -> list[Sequence[LoggedLine]]:
    """Consecutive parts of at least `size` lines that differ by one line at most; all lines, if they are fewer."""
    count = max(1, len(lines) // size)
    bounds = [round(index * len(lines) / count) for index in range(count + 1)]
    return [lines[start:end] for start, end in pairwise(bounds)]


def find_drift(
    before: Sequence[LineFeatures],
    lines: Sequence[LoggedLine],
    *,
    window: int,
    level: float,
    left_out: Collection[str] = (),
) -> list[Window]:
    """The windows of a log's lines, oldest first, compared with those of the baseline."""
    known = {name: values for name, values in values_of(before).items() if name not in left_out}
    return [
        Window(part, compare_values(known, values_of([line.features for line in part]), level=level))
        for part in windows_of(lines, window)
    ]
