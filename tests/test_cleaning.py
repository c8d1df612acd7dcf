"""Pairs that cleaning drops, and its report of them."""

from __future__ import annotations

import numpy as np
import pytest

from translate.data.cleaning import (
    BLANK,
    COPY,
    RATIO,
    TOO_LONG,
    CleaningConfig,
    CleaningReport,
    example,
    first_occurrences,
    hash_lines,
    hash_pairs,
    reason_to_drop,
    shorten,
)

OFF = CleaningConfig(drop_blank=False, drop_copies=False, drop_duplicates=False, max_characters=0, max_ratio=0)


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("Hello.", "Hallo.", None),
        ("", "Hallo.", BLANK),
        ("Hello.", " \u3000 ", BLANK),
        ("Berlin", "Berlin", COPY),
        (" Berlin", "Berlin ", COPY),
        ("x" * 2000, "y" * 2000, None),
        ("x" * 2001, "y" * 2000, TOO_LONG),
        ("x", "y" * 40, None),
        ("x", "y" * 41, RATIO),
        ("y" * 41, "x", RATIO),
        ("x" * 25, "y" * 100, None),
        ("x" * 25, "y" * 101, RATIO),
        ("字" * 25, "y" * 100, None),
    ],
)
def test_a_pair_is_dropped_for_the_first_reason_that_applies(source: str, target: str, reason: str | None):
    assert reason_to_drop(source, target, CleaningConfig()) == reason
    assert reason_to_drop(source, target, OFF) is None


@pytest.mark.parametrize(
    ("field", "value", "pair"),
    [
        ("drop_blank", False, ("", "Hallo")),
        ("drop_copies", False, ("Berlin", "Berlin")),
        ("max_characters", 0, ("x" * 5000, "y" * 5000)),
        ("max_ratio", 0, ("x", "y" * 500)),
    ],
)
def test_each_filter_can_be_switched_off_alone(field: str, value: int, pair: tuple[str, str]):
    config = CleaningConfig()
    assert reason_to_drop(*pair, config) is not None
    setattr(config, field, value)
    assert reason_to_drop(*pair, config) is None


def test_first_occurrences_equal_a_python_set():
    values = np.random.default_rng(0).integers(0, 500, 2000).astype(np.uint64)
    seen: set[int] = set()
    expected = [not (value in seen or seen.add(value)) for value in values.tolist()]
    assert first_occurrences(values).tolist() == expected
    assert first_occurrences(np.empty(0, np.uint64)).tolist() == []


def test_hashes_depend_on_text_and_side_boundary():
    assert hash_lines(["a", "b", "a"])[0] == hash_lines(["a"])[0] != hash_lines(["b"])[0]
    assert hash_pairs(["ab"], ["c"])[0] != hash_pairs(["a"], ["bc"])[0]


def test_the_table_counts_everything_once():
    report = CleaningReport(total=1000)
    for line in range(10):
        report.drop(BLANK, [example("data.train", line, "", "Hallo")])
    report.drop(RATIO, [example("data.train", 50, "x", "y" * 100)])
    assert report.kept == 989
    assert len(report.examples[BLANK]) == 3
    assert report.table().splitlines() == [
        "pairs read             1,000  100.0%",
        "kept                     989   98.9%",
        "dropped: blank side       10    1.0%",
        "dropped: length ratio      1    0.1%",
    ]


def test_a_shortened_text_shows_its_first_control_character():
    assert shorten("short") == "short"
    assert len(shorten("x" * 100)) == 60
    assert "\x85" in shorten("x" * 500 + "\x85" + "y" * 500)
