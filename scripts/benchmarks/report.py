"""Measurements as a table: their median over the rounds, their range, and the ratio to ours."""

from collections.abc import Sequence
from statistics import median

from translate.console import markdown_table

Cell = str | float | int | None
OURS = "ours"
Values = dict[str, list[float]]  # of each system, one per round
STATISTICS = ("lowest", "highest", "ours / it")


def summarise(values: Values) -> dict[str, dict[str, float | None]]:
    """Each system's median, range, and median of the ratios ours / its within each round, if ours took part."""
    summaries: dict[str, dict[str, float | None]] = {}
    for system, own in values.items():
        ratios = [mine / other for mine, other in zip(values.get(OURS, ()), own, strict=OURS in values)]
        ratio = median(ratios) if ratios else None
        summaries[system] = {"median": median(own), "lowest": min(own), "highest": max(own), "ratio": ratio}
    return summaries


def table(headings: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    return markdown_table(headings, [[readable(value) for value in row] for row in rows])


def readable(value: Cell) -> str:
    """Three significant digits of a float below 100, all digits of other numbers; a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 or isinstance(value, int) else f"{value:.3g}"
