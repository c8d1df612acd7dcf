"""A comparison of a log with the baseline, as text for a terminal, JSON and metrics for Prometheus."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from translate.comparison.tables import table, width_of, wrapped
from translate.errors import import_extra
from translate.monitoring.baseline import Baseline
from translate.monitoring.drift import Window
from translate.monitoring.log import ServiceLog
from translate.monitoring.measures import MEASURES

_SHOWN_WINDOWS = 12
_SMALLEST_P = 0.0001  # that is printed as a number


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """Windows of a service's log, oldest first, against the baseline.

    level     of significance, for each window
    size      of windows, in lines
    """

    baseline: Baseline
    log: ServiceLog
    windows: Sequence[Window]
    level: float
    size: int
    notes: Sequence[str] = field(default_factory=list)

    @property
    def newest(self) -> Window:
        return self.windows[-1]

    @property
    def num_lines(self) -> int:
        return sum(len(window.lines) for window in self.windows)

    def summary(self) -> str:
        """The state of the newest window in one sentence."""
        drifts = self.newest.drifts
        if not drifts:
            return f"No drift in the newest {len(self.newest.lines):,} lines."
        titles = ", ".join(finding.measure.title for finding in drifts)
        count = f"{len(drifts)} of {len(self.newest.findings)} measures"
        return f"Drift in {count} of the newest {len(self.newest.lines):,} lines: {titles}."

    def keys(self) -> list[tuple[str, int]]:
        """API keys of the newest window and their numbers of lines, most first; [] if the service has none."""
        counts = Counter(line.key for line in self.newest.lines)
        return [(key or "no key", count) for key, count in counts.most_common()] if any(counts) else []


def describe_baseline(baseline: Baseline) -> str:
    """The baseline, in one line."""
    settings = ", ".join(f"{name} {value}" for name, value in baseline.decoding.items() if value != "none")
    model = f"model {baseline.model[:12]}" if baseline.model else ""
    details = "; ".join(filter(None, [model, settings]))
    return f"{len(baseline.lines):,} lines of {baseline.text}" + (f" ({details})" if details else "")


def describe_span(start: datetime, end: datetime) -> str:
    """A span of time, in UTC."""
    last = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M} to {last} UTC"


def describe_p(p_value: float) -> str:
    return f"{p_value:.4f}" if p_value >= _SMALLEST_P else f"< {_SMALLEST_P}"


def describe_statuses(log: ServiceLog) -> str:
    """Numbers of requests by status, in one line."""
    counts = [f"{count:,} with status {status}" for status, count in sorted(log.statuses.items()) if status]
    return f"{log.entries:,} requests" + (f" ({', '.join(counts)})" if counts else "")


def report_text(report: DriftReport, *, width: int | None) -> str:
    """The newest window as a table, and the windows in which something drifted; width of the terminal or None."""
    window = report.newest
    blocks = [
        wrapped(f"{report.baseline.direction}: {report.num_lines:,} lines of {describe_statuses(report.log)}", width),
        wrapped(f"baseline: {describe_baseline(report.baseline)}", width),
        wrapped(f"newest window: {len(window.lines):,} lines, {describe_span(window.start, window.end)}", width),
        "",
        _measures(window, width),
        *[f"{title}: not compared, {reason}" for title, reason in not_compared(report)],
        "",
        wrapped(report.summary(), width),
    ]
    if len(report.windows) > 1:
        blocks += ["", _history(report, width)]
    return "\n".join(blocks)


def _measures(window: Window, width: int | None) -> str:
    """The findings as a table; in a narrow terminal medians and most frequent scripts, without p-values."""
    rows = [["measure", "baseline", "newest window", "distance", "p", ""]]
    rows += [
        [
            finding.measure.title,
            finding.difference.before,
            finding.difference.now,
            f"{finding.difference.distance:.3f}",
            describe_p(finding.p_value),
            "DRIFT" if finding.is_drift else "",
        ]
        for finding in window.findings
    ]
    if width is None or width_of(rows) <= width:
        return table(rows, width, right=(3, 4))
    short = [[title, *(re.split(r" \(|, ", cell)[0] for cell in row[:2]), row[2], row[4]] for title, *row in rows]
    return table(short, width, right=(3,))


def _history(report: DriftReport, width: int | None) -> str:
    drifted = [(number, each) for number, each in enumerate(report.windows, start=1) if each.drifts]
    first = f"{len(drifted):,} of {len(report.windows):,} windows have drifted"
    rows = [
        [f"{number}", describe_span(each.start, each.end), ", ".join(finding.measure.name for finding in each.drifts)]
        for number, each in drifted[-_SHOWN_WINDOWS:]
    ]
    if not rows:
        return first
    shown = f", the last {len(rows)} of them" if len(rows) < len(drifted) else ""
    return f"{first}{shown}:\n{table(rows, width)}"


def not_compared(report: DriftReport) -> list[tuple[str, str]]:
    """Titles of measures that the newest window lacks, with reasons."""
    compared = {finding.measure.name for finding in report.newest.findings}
    unknown = "no line of the log has it"
    left_out = report.baseline.left_out
    return [(each.title, left_out.get(each.name, unknown)) for each in MEASURES if each.name not in compared]


def report_json(report: DriftReport) -> dict[str, Any]:
    """All results in JSON's own types."""
    return {
        "direction": report.baseline.direction,
        "baseline": {
            "text": report.baseline.text,
            "lines": len(report.baseline.lines),
            "model": report.baseline.model,
            "decoding": report.baseline.decoding,
        },
        "log": {
            "files": report.log.files,
            "requests": report.log.entries,
            "lines": report.num_lines,
            "statuses": {str(status): count for status, count in sorted(report.log.statuses.items())},
        },
        "level": report.level,
        "window": report.size,
        "summary": report.summary(),
        "windows": [_window(window) for window in report.windows],
        "not_compared": dict(not_compared(report)),
        "notes": list(report.notes),
    }


def _window(window: Window) -> dict[str, Any]:
    return {
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "lines": len(window.lines),
        "drift": [finding.measure.name for finding in window.drifts],
        "measures": {
            finding.measure.name: {
                "distance": round(finding.difference.distance, 6),
                "p_value": finding.p_value,
                "drift": finding.is_drift,
                "baseline": finding.difference.before,
                "window": finding.difference.now,
            }
            for finding in window.findings
        },
    }


def metrics_text(report: DriftReport) -> bytes:
    """The newest window in Prometheus' text format, for a file that node_exporter's textfile collector reads.

    Raises UserError where prometheus-client is missing.
    """
    client = import_extra("prometheus_client", extra="monitoring", purpose="metrics=")
    registry = client.CollectorRegistry()

    def gauge(name: str, help_text: str, *labels: str) -> Any:
        return client.Gauge(f"translate_drift_{name}", help_text, ["direction", *labels], registry=registry)

    direction, window = report.baseline.direction, report.newest
    detected = gauge("detected", "1 if a measure has drifted in the newest window of lines", "measure")
    distance = gauge("distance", "Distance of the newest window from the baseline, 0 to 1", "measure")
    p_value = gauge("p_value", "P-value of the distance, adjusted for all measures", "measure")
    for finding in window.findings:
        labels = direction, finding.measure.name
        detected.labels(*labels).set(finding.is_drift)
        distance.labels(*labels).set(finding.difference.distance)
        p_value.labels(*labels).set(finding.p_value)
    gauge("window_lines", "Lines of the newest window").labels(direction).set(len(window.lines))
    gauge("window_end_timestamp_seconds", "Time of its last line").labels(direction).set(window.end.timestamp())
    gauge("baseline_lines", "Lines of the baseline").labels(direction).set(len(report.baseline.lines))
    text: bytes = client.generate_latest(registry)
    return text
