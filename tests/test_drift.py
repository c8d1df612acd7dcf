"""Drift is found where it was planted, and hardly ever where there is none; the tests against exact probabilities."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from monitored import SHIPPED, START, features, shipped_features
from small_runs import REPOSITORY
from translate.evaluation.significance import holm
from translate.monitoring.drift import compare_values, find_drift, values_of, windows_of
from translate.monitoring.features import LineFeatures
from translate.monitoring.log import LoggedLine
from translate.monitoring.two_sample_tests import fisher_p_value, ks_distance, ks_p_value, precedence_p_value
from translate.text import read_lines

LEVEL = 0.01


def drifted(baseline: list[LineFeatures], window: list[LineFeatures]) -> set[str]:
    findings = compare_values(values_of(baseline), values_of(window), level=LEVEL)
    return {finding.measure.name for finding in findings if finding.is_drift}


def halves(seed: int) -> tuple[list[LineFeatures], list[LineFeatures]]:
    """The shipped test set, divided at random."""
    lines = shipped_features()
    shuffled = random.Random(seed).sample(lines, len(lines))
    return shuffled[: len(lines) // 2], shuffled[len(lines) // 2 :]


def test_at_most_one_per_cent_of_the_pieces_of_one_text_raise_an_alarm():
    values, alarms, pieces = values_of(shipped_features()), 0, 0
    for seed in range(100):
        rows = random.Random(seed).sample(range(1044), 1044)
        baseline, *windows = (
            {name: [column[row] for row in part] for name, column in values.items()}
            for part in (rows[:522], rows[522:772], rows[772:872], rows[872:])
        )
        for window in windows:
            alarms += any(finding.is_drift for finding in compare_values(baseline, window, level=LEVEL))
            pieces += 1
    assert pieces == 300
    assert alarms <= 3


def planted() -> dict[str, tuple[list[LineFeatures], set[str]]]:
    """Other lines, and measures that must find them."""
    english, german = (list(read_lines(SHIPPED / f"test.{side}"))[:150] for side in ("en", "de"))
    prose = "\n".join(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "docs").glob("*.md"))[:3])
    manual = [line for line in prose.split("\n") if len(line) > 40][:150]
    greek = ["Η λάμπα είναι παλιά, αλλά λειτουργεί ακόμα."] * 150
    return {
        "capitals": (features([line.upper() for line in english], german), {"capitals", "lines_in_capitals"}),
        "language": (features(german, english), {"length_ratio", "capitals"}),
        "domain": (features(manual, manual), {"tokens_per_character", "source_characters"}),
        "script": (features(greek, german), {"script", "unknown_characters", "byte_tokens"}),
    }


def test_other_lines_are_found_in_a_window_that_is_half_full_of_them():
    baseline, rest = halves(1)
    for name, (others, measures) in planted().items():
        assert measures <= drifted(baseline, rest[:150] + others), name


def test_measures_without_values_on_either_side_are_not_compared():
    baseline, rest = halves(2)
    known = values_of(baseline)
    assert "confidence" in {each.measure.name for each in compare_values(known, values_of(rest), level=LEVEL)}
    unscored = [LineFeatures.from_json(line.to_json() | {"log_prob": None}) for line in rest]
    assert "confidence" not in {each.measure.name for each in compare_values(known, values_of(unscored), level=LEVEL)}


def test_a_difference_too_small_to_matter_is_no_drift_in_any_number_of_lines():
    drawing = np.random.default_rng(1)
    lengths = [drawing.normal(mean, 10, 20_000).clip(1).astype(int).tolist() for mean in (50, 51)]
    sides = [
        [LineFeatures(source_characters=length, source_tokens=9, segments=1) for length in each] for each in lengths
    ]
    [found] = [
        each for each in compare_values(*map(values_of, sides), level=LEVEL) if each.measure.name == "source_characters"
    ]
    assert found.p_value < 1e-6
    assert found.difference.distance == pytest.approx(0.04, abs=0.015)
    assert not found.is_drift


def test_windows_have_all_lines_in_order():
    lines = [LoggedLine(LineFeatures(source_characters=n), START, "") for n in range(1249)]
    parts = windows_of(lines, 500)
    assert [len(part) for part in parts] == [624, 625]
    assert list(itertools.chain(*parts)) == lines
    assert [len(part) for part in windows_of(lines[:80], 500)] == [80]
    found = find_drift(shipped_features(), lines, window=300, level=LEVEL)
    assert sorted(len(window.lines) for window in found) == [312, 312, 312, 313]


def test_distances_by_hand():
    assert ks_distance(np.array([1.0, 2, 3, 4]), np.array([3.0, 4, 5, 6])) == 0.5
    assert ks_distance(np.array([1.0, 1, 1]), np.array([1.0])) == 0
    assert ks_distance(np.array([0.0, 0, 0, 1]), np.array([1.0, 1])) == 0.75


@pytest.mark.parametrize(("sizes", "distance"), [((1000, 500), 0.075), ((60, 60), 0.25), ((200, 50), 0.24)])
def test_p_values_are_those_of_random_permutations(sizes, distance):
    """Of numbers without ties; the asymptotic formula may be off by a few per cent."""
    drawing, far, total = np.random.default_rng(3), 0, 2000
    values = np.arange(sum(sizes), dtype=np.float64)
    for _ in range(total):
        drawing.shuffle(values)
        far += ks_distance(values[: sizes[0]], values[sizes[0] :]) >= distance - 1e-9
    assert ks_p_value(distance, *sizes) == pytest.approx(far / total, abs=0.012)


def test_p_values_at_critical_points_of_the_table():
    # Smirnov 1948: K(1.3581) = 0.95, K(1.6276) = 0.99
    many = 10**8
    for point, probability in ((1.3581, 0.05), (1.6276, 0.01), (0.1, 1.0), (10.0, 0.0)):
        assert ks_p_value(point / math.sqrt(many / 2), many, many) == pytest.approx(probability, abs=1e-4)


def test_fisher_is_exact():
    assert fisher_p_value(3, 4, 1, 4) == pytest.approx(34 / 70)  # Fisher's tea tasting, two-sided
    assert fisher_p_value(0, 500, 0, 1000) == 1
    for first_size, second_size in ((5, 7), (12, 3)):
        for first, second in itertools.product(range(first_size + 1), range(second_size + 1)):
            both = first + second
            ways = {
                k: math.comb(first_size, k) * math.comb(second_size, both - k)
                for k in range(max(0, both - second_size), min(both, first_size) + 1)
            }
            exact = sum(n for n in ways.values() if n <= ways[first]) / sum(ways.values())
            assert fisher_p_value(first, first_size, second, second_size) == pytest.approx(exact)


def test_precedence_is_exact():
    """Against all orders of a small pooled sample."""
    first_size, second_size = 4, 5
    for rank, below in itertools.product(range(1, first_size + 1), range(second_size + 1)):
        found = []
        for positions in itertools.combinations(range(first_size + second_size), first_size):
            found.append(positions[rank - 1] - (rank - 1) >= below)
        assert precedence_p_value(below, rank, first_size, second_size) == pytest.approx(np.mean(found))


def test_a_few_lines_of_low_confidence_are_found():
    baseline, rest = halves(3)
    odd = [LineFeatures.from_json(line.to_json() | {"log_prob": -5.0}) for line in rest[:20]]
    assert drifted(baseline, rest[20:] + odd) == {"low_confidence"}


def test_p_values_are_adjusted_for_several_tests():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
