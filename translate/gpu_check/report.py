"""Results of the stages as lines of text, JSON and a Markdown page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from translate.console import escape_markdown, markdown_table
from translate.files import write_json, write_text
from translate.gpu_check import Figure, Result, StageName, Verdict

JSON, PAGE = "gpu_check.json", "gpu_check.md"


def line_begun(name: StageName) -> str:
    """Beginning of a stage's line on the terminal, printed before the stage runs."""
    return f"{name:<{max(map(len, StageName))}} "


def line_ended(result: Result) -> str:
    """The rest of that line."""
    return f"{result.verdict:<8} {result.seconds:6.1f} s  {summary(result)}".rstrip()


def summary(result: Result) -> str:
    """The first failure, the reason for skipping, the last measurement, or the error closest to its tolerance."""
    if result.findings:
        return first_of(result.findings)
    if result.reason:
        return f"skipped: {result.reason}"
    if result.table:
        (_, case), *values = list(result.table[-1].items())[:3]
        return f"{case}: " + ", ".join(f"{name} {value}" for name, value in values)
    if not result.figures and result.unchecked:
        return f"not checked: {first_of(result.unchecked)}"
    if not result.figures:
        return "; ".join(f"{name}: {value}" for name, value in result.facts.items())
    name, figure = max(result.figures.items(), key=lambda item: item[1].share)
    count = sum(each.count for each in result.figures.values())
    comparisons = f"{count:,} comparison{'s' * (count > 1)}"
    return f"{comparisons}; {name}: {number(figure.value)}, at most {number(figure.tolerance)}"


def first_of(lines: Sequence[str]) -> str:
    """The first line, and the number of others."""
    return lines[0] + (f" (and {len(lines) - 1} more)" if len(lines) > 1 else "")


def write_results(results: Sequence[Result], folder: Path) -> None:
    """Write gpu_check.json and gpu_check.md, each atomically."""
    write_json(folder / JSON, {"verdict": overall(results), "stages": [plain(result) for result in results]})
    write_text(folder / PAGE, page(results))


def overall(results: Sequence[Result]) -> Verdict:
    """failed if any stage failed, else passed if any did, else skipped."""
    verdicts = [result.verdict for result in results]
    return next((each for each in (Verdict.failed, Verdict.passed) if each in verdicts), Verdict.skipped)


def plain(result: Result) -> dict[str, Any]:
    """A result in JSON types; NaN and infinity, which JSON lacks, become null."""
    values: dict[str, Any] = asdict(result)
    values["seconds"] = round(result.seconds, 1)
    for figure in values["figures"].values():
        figure["value"] = figure["value"] if math.isfinite(figure["value"]) else None
    return values


def page(results: Sequence[Result]) -> str:
    """The results as Markdown: verdicts, then for each stage facts, measurements, errors and what was not checked."""
    counts = ", ".join(f"{sum(r.verdict is verdict for r in results)} {verdict}" for verdict in Verdict)
    rows = [[r.name, r.verdict, f"{r.seconds:.1f}", summary(r)] for r in results]
    parts = [
        "# GPU check",
        f"{len(results)} stage{'s' * (len(results) > 1)}: {counts}.",
        markdown_table(["stage", "verdict", "seconds", "result"], rows),
        *(part for result in results for part in section(result)),
    ]
    return "\n\n".join(parts) + "\n"


def section(result: Result) -> list[str]:
    """Paragraphs about a stage; none if it has nothing beyond its row in the table of verdicts."""
    parts = []
    if result.findings:
        parts.append("\n".join(f"- **failed**: {escape_markdown(finding)}" for finding in result.findings))
    if result.facts:
        parts.append("\n".join(f"- {escape_markdown(f'{name}: {value}')}" for name, value in result.facts.items()))
    if result.table:
        parts.append(markdown_table(list(result.table[0]), [list(row.values()) for row in result.table]))
    if result.figures:
        header = ["largest error", "found", "tolerance", "comparisons", "input"]
        parts.append(markdown_table(header, [figure_row(name, figure) for name, figure in result.figures.items()]))
    if result.unchecked:
        parts.append("\n".join(f"- not checked: {escape_markdown(gap)}" for gap in result.unchecked))
    return [f"## {result.name}", *parts] if parts else []


def figure_row(name: str, figure: Figure) -> list[str]:
    return [name, number(figure.value), number(figure.tolerance), f"{figure.count:,}", figure.case]


def number(value: float) -> str:
    return f"{value:.3g}"
