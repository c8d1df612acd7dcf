"""The table of what is compared: values of lines, and the test that compares those of two sets of lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.monitoring.features import MEASURED_FLAGS, LineFeatures
from translate.monitoring.two_sample_tests import fisher_p_value, ks_distance, ks_p_value, precedence_p_value

# the least differences that count as drift: with many lines, a test finds differences without consequence
LEAST_DISTANCE, LEAST_SHARE = 0.1, 0.03
_IN_CAPITALS = 0.5  # capitals, as share of letters that have case
_MOST_NAMES = 20  # that are compared, the most frequent
_TAIL = 0.01  # of the baseline's lines, the least confident ones
CONFIDENCE, LOW_CONFIDENCE, PARTS = "confidence", "low_confidence", "split_lines"


@dataclass(frozen=True)
class Difference:
    """Distance between two sets of lines, 0 to 1, and its p-value; before and now: the two in words."""

    distance: float
    p_value: float
    before: str
    now: str


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A property of lines.

    value    of a line; None: not known of it
    compare  values of two sets of lines
    least    distance that counts as drift
    meaning  reasons for a drift, for people
    is_distribution  the values are numbers, whose distributions are compared
    """

    name: str
    title: str
    meaning: str
    value: Callable[[LineFeatures], Any]
    compare: Callable[[Sequence[Any], Sequence[Any]], Difference]
    least: float
    is_distribution: bool = False

    def values(self, lines: Sequence[LineFeatures]) -> list[Any]:
        """Values of the lines of which they are known."""
        return [value for value in map(self.value, lines) if value is not None]


def compare_numbers(before: Sequence[float], now: Sequence[float], *, form: str) -> Difference:
    """Kolmogorov–Smirnov test of two samples of numbers."""
    samples = np.array(before, np.float64), np.array(now, np.float64)
    distance = ks_distance(*samples)
    return Difference(distance, ks_p_value(distance, len(before), len(now)), *(_quartiles(s, form) for s in samples))


def _quartiles(numbers: NDArray[np.float64], form: str) -> str:
    low, median, high = np.percentile(numbers, (25, 50, 75))
    return f"{median:{form}} ({low:{form}} to {high:{form}})"


def compare_shares(before: Sequence[bool], now: Sequence[bool]) -> Difference:
    """Fisher's exact test of two shares of lines."""
    return _compare_counts(sum(before), len(before), sum(now), len(now))


def _compare_counts(before: int, all_before: int, now: int, all_now: int) -> Difference:
    shares = before / all_before, now / all_now
    p_value = fisher_p_value(before, all_before, now, all_now)
    return Difference(abs(shares[0] - shares[1]), p_value, *(f"{share:.1%}" for share in shares))


def compare_tails(before: Sequence[float], now: Sequence[float]) -> Difference:
    """Precedence test of the shares of numbers below the lowest per cent of those before."""
    rank = max(1, round(_TAIL * len(before)))
    bound = sorted(before)[rank - 1]
    below = sum(value < bound for value in now)
    shares = (rank - 1) / len(before), below / len(now)
    p_value = precedence_p_value(below, rank, len(before), len(now))
    return Difference(max(0.0, shares[1] - shares[0]), p_value, *(f"{share:.1%}" for share in shares))


def compare_names(before: Sequence[str], now: Sequence[str]) -> Difference:
    """Fisher's exact test of the share of each name, with Bonferroni's correction for the number of names."""
    counts = Counter(before), Counter(now)
    names = [name for name, _ in (counts[0] + counts[1]).most_common(_MOST_NAMES)]
    found = [_compare_counts(counts[0][name], len(before), counts[1][name], len(now)) for name in names]
    # the distance of a name that differs by chance alone must not go with the p-value of another one
    best = min(found, key=lambda each: (each.p_value, -each.distance))
    p_value = min(1.0, best.p_value * len(names))
    return Difference(best.distance, p_value, *map(_most_common, counts))


def _most_common(counts: Counter[str]) -> str:
    total = counts.total()
    return ", ".join(f"{name or 'none'} {count / total:.1%}" for name, count in counts.most_common(3))


def _numbers(name: str, title: str, meaning: str, value: Callable[[LineFeatures], float | None], form: str) -> Measure:
    return Measure(
        name=name,
        title=title,
        meaning=meaning,
        value=value,
        compare=partial(compare_numbers, form=form),
        least=LEAST_DISTANCE,
        is_distribution=True,
    )


def _share(name: str, title: str, meaning: str, value: Callable[[LineFeatures], bool]) -> Measure:
    return Measure(name=name, title=title, meaning=meaning, value=value, compare=compare_shares, least=LEAST_SHARE)


def _has_flag(flag: str, line: LineFeatures) -> bool:
    return flag in line.flags


MEASURES = (
    _numbers(
        "source_characters",
        "characters of a line",
        "other kinds of lines: headings, paragraphs instead of sentences",
        lambda line: line.source_characters,
        ".0f",
    ),
    _numbers(
        "tokens_per_character",
        "tokens per character",
        "unusual words: another language or domain, misspellings, identifiers",
        lambda line: line.source_tokens / max(1, line.source_characters),
        ".3f",
    ),
    _numbers(
        "length_ratio",
        "target tokens per source token",
        "translations that stop early, repeat or copy; another language",
        lambda line: line.target_tokens / max(1, line.source_tokens),
        ".2f",
    ),
    _numbers(
        CONFIDENCE,
        "confidence",
        "mean log probability: text that the model was not trained on, or another engine or search",
        lambda line: line.log_prob,
        ".3f",
    ),
    Measure(
        name=LOW_CONFIDENCE,
        title="lines of low confidence",
        meaning="less than of 99 % of the baseline: some text that the model was not trained on",
        value=lambda line: line.log_prob,
        compare=compare_tails,
        least=LEAST_SHARE,
    ),
    _numbers(
        "capitals", "capitals among letters", "headings, names, text in capitals", lambda line: line.capitals, ".3f"
    ),
    _numbers("digits", "digits among characters", "tables, lists, identifiers", lambda line: line.digits, ".3f"),
    Measure(
        name="script",
        title="scripts",
        meaning="another language",
        value=lambda line: line.script,
        compare=compare_names,
        least=LEAST_SHARE,
    ),
    _share(
        "unknown_characters",
        "lines with unknown characters",
        "characters that the vocabulary lacks: another script, symbols, emoji",
        lambda line: line.unknown_characters > 0,
    ),
    _share(
        "byte_tokens",
        "lines with byte tokens",
        "as unknown characters",
        lambda line: line.byte_tokens > 0,
    ),
    _share(
        "lines_in_capitals",
        "lines in capitals",
        "headings, shouting, exports of old systems",
        lambda line: line.capitals > _IN_CAPITALS,
    ),
    _share(
        PARTS,
        "lines translated in parts",
        "paragraphs instead of sentences, or very long lines",
        lambda line: line.segments > 1,
    ),
    *(
        _share(
            f"flag_{flag}",
            f"lines flagged {flag}",
            "translations that are wrong more often",
            partial(_has_flag, flag),
        )
        for flag in MEASURED_FLAGS
    ),
)
