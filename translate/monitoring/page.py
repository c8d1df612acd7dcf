"""A comparison of a log with the baseline as one HTML page, which needs no other file, no script and no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from translate.html_pages import render
from translate.monitoring.drift import Finding
from translate.monitoring.results import (
    DriftReport,
    describe_baseline,
    describe_p,
    describe_span,
    describe_statuses,
    not_compared,
)

WIDTH, HEIGHT = 150, 40  # of a picture, in pixels
_POINTS = 60  # of a curve
_SHOWN_PERCENT = (0.5, 99.5)  # a few far values would press the curves together
_MOST_WINDOWS = 200  # in the table of windows


@dataclass(frozen=True)
class Curves:
    """Cumulative shares of lines with a value of at most x, as points of SVG, and the bounds of x in words."""

    before: str
    now: str
    low: str
    high: str


@dataclass(frozen=True)
class Row:
    """A finding of the newest window with its pictures; curves: None for shares of lines.

    history   points of SVG: distance in each window
    drifts    (x, y) of the windows in which the measure has drifted
    least     y of the distance that counts as drift
    highest   distance at the upper edge
    """

    finding: Finding
    p_value: str
    curves: Curves | None
    history: str
    drifts: list[tuple[float, float]]
    least: float
    highest: float


def drift_page(report: DriftReport) -> str:
    """The page of a comparison."""
    windows = [
        (number, describe_span(window.start, window.end), len(window.lines), window.drifts)
        for number, window in enumerate(report.windows, start=1)
    ]
    return render(
        "monitoring.html.jinja",
        report=report,
        rows=[_row(report, index) for index in range(len(report.newest.findings))],
        baseline=describe_baseline(report.baseline),
        requests=describe_statuses(report.log),
        span=describe_span(report.newest.start, report.newest.end),
        whole=describe_span(report.windows[0].start, report.newest.end),
        windows=windows[-_MOST_WINDOWS:][::-1],
        drifted=sum(bool(window.drifts) for window in report.windows),
        not_compared=not_compared(report),
        width=WIDTH,
        height=HEIGHT,
    )


def _row(report: DriftReport, index: int) -> Row:
    finding = report.newest.findings[index]
    measure = finding.measure
    curves = None
    if measure.is_distribution:
        now = [line.features for line in report.newest.lines]
        curves = _curves(measure.values(report.baseline.lines), measure.values(now))
    # a window without a value of the measure has no point
    found = [
        (number, each)
        for number, window in enumerate(report.windows)
        for each in window.findings
        if each.measure is measure
    ]
    highest = max(2 * measure.least, *(each.difference.distance for _, each in found))
    step = WIDTH / max(1, len(report.windows) - 1)
    points = [
        (round(number * step, 1), _y(each.difference.distance / highest), each.is_drift) for number, each in found
    ]
    return Row(
        finding=finding,
        p_value=describe_p(finding.p_value),
        curves=curves,
        history=_points([(x, y) for x, y, _ in points]),
        drifts=[(x, y) for x, y, is_drift in points if is_drift],
        least=_y(measure.least / highest),
        highest=highest,
    )


def _curves(before: Sequence[float], now: Sequence[float]) -> Curves:
    samples = [np.sort(np.array(values, np.float64)) for values in (before, now)]
    low, high = np.percentile(np.concatenate(samples), _SHOWN_PERCENT)
    shown = np.linspace(low, high, _POINTS)
    drawn = [
        _points(list(zip(np.linspace(0, WIDTH, _POINTS), _shares(sample, shown), strict=True))) for sample in samples
    ]
    return Curves(drawn[0], drawn[1], f"{low:.3g}", f"{high:.3g}")


def _shares(sample: NDArray[np.float64], values: NDArray[np.float64]) -> list[float]:
    return [_y(share) for share in np.searchsorted(sample, values, side="right") / len(sample)]


def _y(share: float) -> float:
    """Pixels from the upper edge."""
    return round(float(HEIGHT * (1 - share)), 1)


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
