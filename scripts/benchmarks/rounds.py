"""Systems measured in turns, so that whatever else the machine does hits them alike, and what the turns say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.protocol import AbsentError


@dataclass(frozen=True)
class Summary:
    """Of one system's values over all rounds; ratio is the median of ours / its within each round, if we took part."""

    median: float
    low: float
    high: float
    ratio: float | None

    @property
    def ratio_text(self) -> str | None:
        return None if self.ratio is None else f"{self.ratio:.2f}"


def take_turns(
    systems: Sequence[str], rounds: int, measure: Callable[[str], float]
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Values of each system, one a round, and why some left: those that raised AbsentError have no values.

    Every second round goes backwards: what drifts steadily is then no advantage to anybody.
    """
    values: dict[str, list[float]] = {system: [] for system in systems}
    left: dict[str, str] = {}
    for number in range(rounds):
        for system in systems if number % 2 == 0 else reversed(systems):
            if system in left:
                continue
            try:
                values[system].append(measure(system))
            except AbsentError as reason:
                left[system] = str(reason)
                del values[system]
    return values, left


def summarise(values: Mapping[str, Sequence[float]], *, ours: str) -> dict[str, Summary]:
    """Each system's median and range, and the median of the ratios to it within each round."""
    summaries = {}
    for system, own in values.items():
        ratio = None
        if ours in values:
            ratio = median(mine / other for mine, other in zip(values[ours], own, strict=True))
        summaries[system] = Summary(median(own), min(own), max(own), ratio)
    return summaries
