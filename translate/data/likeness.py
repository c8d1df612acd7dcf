"""Comparison of validation and test sets with the training text: lengths, script, characters, and what both contain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from translate.data.statistics import Side, Split

Values = dict[str, Any]

_FAR_MEDIAN = 1.5
_FAR_P95 = 2.0
_ENOUGH_FOR_P95 = 100  # pairs, of which five are above it
_MANY_UNSEEN = 0.01
_MUCH_OVERLAP = 0.05


def likeness(split: Split, train: Split) -> Values:
    """For each side, lengths in characters and scripts of both, and the share of characters that training lacks."""
    return {name: _side_likeness(side, train.sides[name]) for name, side in split.sides.items()}


def warnings(key: str, split: Split, train: Split, overlap: Values) -> list[str]:
    """Reasons why scores on a set (key: data.valid or data.test) mislead, a line each."""
    lines = []
    if unlike := [text for name in split.sides for text in _differences(name, split.sides[name], train.sides[name])]:
        lines.append(f"{key} is unlike the training text: {'; '.join(unlike)}")
    share = overlap["source"]["count"] / split.size
    if share > _MUCH_OVERLAP:
        lines.append(
            f"{share:.1%} of the sources of {key} are in the training text too "
            f"({overlap['pair']['count'] / split.size:.1%} with the same target): its scores are too high for new text"
        )
    return lines


def _side_likeness(side: Side, train: Side) -> Values:
    lengths, usual = _lengths(side), _lengths(train)
    return {
        "median": _percentile(lengths, 50),
        "train_median": _percentile(usual, 50),
        "p95": _percentile(lengths, 95),
        "train_p95": _percentile(usual, 95),
        "script": side.script,
        "train_script": train.script,
        "unseen_characters": _unseen(side, train),
    }


def _differences(name: str, side: Side, train: Side) -> Iterator[str]:
    found = _side_likeness(side, train)
    lengths, usual = _lengths(side), _lengths(train)
    if _has_far_median(lengths, usual):
        yield f"{name} has a median of {found['median']} characters, training {found['train_median']}"
    elif _has_far_p95(lengths, usual):
        yield f"95 % of {name} lines have up to {found['p95']} characters, of training lines up to {found['train_p95']}"
    if side.script and train.script and side.script != train.script:
        yield f"{name} is in {side.script} script, training in {train.script}"
    if found["unseen_characters"] > _MANY_UNSEEN:
        yield f"{found['unseen_characters']:.1%} of the characters of {name} never occur in training"


def _lengths(side: Side) -> NDArray[np.int32]:
    """Characters of each line that is not blank; [0] where all are blank."""
    lengths = side.profile.characters[side.profile.words > 0]
    return lengths if len(lengths) else np.zeros(1, np.int32)


def _has_far_median(lengths: NDArray[np.int32], usual: NDArray[np.int32]) -> bool:
    """True if medians differ by much, and by more than the chance of a small set (three standard deviations)."""
    median = _percentile(usual, 50)
    longer = float(np.mean(lengths > median) + np.mean(lengths == median) / 2)
    is_certain = abs(longer - 0.5) > 3 * 0.5 / np.sqrt(len(lengths))
    return is_certain and _factor(_percentile(lengths, 50), median) > _FAR_MEDIAN


def _has_far_p95(lengths: NDArray[np.int32], usual: NDArray[np.int32]) -> bool:
    return len(lengths) >= _ENOUGH_FOR_P95 and _factor(_percentile(lengths, 95), _percentile(usual, 95)) > _FAR_P95


def _factor(first: int, second: int) -> float:
    low, high = sorted((max(first, 1), max(second, 1)))
    return high / low


def _percentile(numbers: NDArray[np.int32], percent: int) -> int:
    return int(np.percentile(numbers, percent, method="lower"))


def _unseen(side: Side, train: Side) -> float:
    return float(side.counts[train.counts == 0].sum() / max(1, side.counts.sum()))
