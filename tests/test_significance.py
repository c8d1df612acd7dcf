"""p-values of differences: those of the sacrebleu command, equal systems, several seeds, several comparisons."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from compared_runs import noisy, write_test_set
from in_process import call_here
from translate.errors import UserError
from translate.evaluation.metrics import sentence_statistics
from translate.evaluation.scores import MetricName, Statistics
from translate.evaluation.significance import (
    BOOTSTRAP,
    RANDOMIZATION,
    holm,
    interval_of,
    paired_p_values,
    seed_errors,
    seed_errors_of_difference,
    two_sided_p_value,
)
from translate.text import read_lines, write_lines


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """References and three translations of them, of which the last equals the first."""
    folder = tmp_path_factory.mktemp("significance")
    target = list(read_lines(write_test_set(folder, lines=60) / "test.tgt"))
    for name, share, seed in (("a", 0.3, 1), ("b", 0.28, 2), ("c", 0.3, 1)):
        write_lines(folder / name, noisy(target, share, seed=seed))
    return folder


def sacrebleu_p_values(folder, *options):
    """p-values that the sacrebleu command prints for b by BLEU, chrF and TER, with four decimals."""
    words = [folder / "test.tgt", "-i", folder / "a", folder / "b", "-m", "bleu", "chrf", "ter", "-f", "text", *options]
    run = subprocess.run([sys.executable, "-m", "sacrebleu", *map(str, words)], capture_output=True, check=True)
    return [float(p) for p in re.findall(r"\(p = (\d\.\d{4})\)", run.stdout.decode())]


@pytest.mark.parametrize(
    ("test", "options"),
    [
        ("p_bootstrap", ["--paired-bs", "--paired-bs-n", "200"]),
        ("p_randomization", ["--paired-ar", "--paired-ar-n", "500"]),
    ],
)
def test_p_values_equal_those_of_the_sacrebleu_command(files, test, options):
    theirs = sacrebleu_p_values(files, *options)
    words = [f"{files / 'a'}", f"{files / 'b'}", f"reference={files / 'test.tgt'}", "bootstrap=200", "trials=500"]
    document = json.loads(call_here("compare", *words, "format=json").stdout)
    scores = document["systems"][1]["scores"].values()
    assert [round(score["difference"][test], 4) for score in scores] == theirs
    assert len(theirs) == 3


def statistics(files, name, metric=MetricName.bleu):
    return sentence_statistics(metric, list(read_lines(files / name)), [list(read_lines(files / "test.tgt"))])


@pytest.mark.parametrize("test", [BOOTSTRAP, RANDOMIZATION])
def test_equal_systems_do_not_differ(files, test):
    """sacreBLEU's bootstrap calls them different, with the least p-value that there is."""
    a, b, c = (statistics(files, name) for name in "abc")
    other, equal = paired_p_values(a, [b, c], test=test, samples=100)
    assert equal == 1
    assert 0 < other < 1


def test_more_memory_than_there_is_is_refused_by_the_option(files):
    a, b = statistics(files, "a"), statistics(files, "b")
    with pytest.raises(UserError, match=r"bootstrap=1000 of 60 lines, by BLEU, needs .*lower bootstrap"):
        paired_p_values(a, [b], test=BOOTSTRAP, samples=1000, memory=1_000_000)
    with pytest.raises(UserError, match=r"lower trials"):
        paired_p_values(a, [b], test=RANDOMIZATION, samples=10_000, memory=1_000_000)


def test_errors_of_seeds_have_the_quantiles_of_students_t():
    """Of three seeds, 95 % of the means lie within 4.303 standard errors; of a difference of two, within 2.776."""
    random, samples = np.random.default_rng(0), 200_000
    one = interval_of(seed_errors([1.0, 2.0, 3.0], samples, random))
    assert one.high == pytest.approx(4.303 / 3**0.5, rel=0.02)
    two = interval_of(seed_errors_of_difference([1.0, 2.0, 3.0], [5.0, 6.0, 7.0], samples, random))
    assert two.high == pytest.approx(2.776 * (2 / 3) ** 0.5, rel=0.02)
    single = interval_of(seed_errors_of_difference([4.0], [1.0, 2.0, 3.0], samples, random))
    assert single.high == pytest.approx(4.303 * (4 / 3) ** 0.5, rel=0.02)
    assert not seed_errors_of_difference([4.0], [1.0], 3, random).any()


def test_seeds_that_vary_have_the_nominal_false_positive_rate():
    random, found = np.random.default_rng(1), []
    for _ in range(300):
        first, second = random.normal(size=(2, 3))
        errors = seed_errors_of_difference(first, second, 400, random)
        found.append(two_sided_p_value(np.zeros(400), second.mean() - first.mean(), errors=errors))
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(np.array(found) <= 0.5) == pytest.approx(0.5, abs=0.1)


def test_p_values_of_several_comparisons_are_adjusted_as_by_holm():
    """The example of Holm's method in Wright (1992): the smallest is multiplied by the number of comparisons."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_value_of_statistics_equals_the_score_and_that_of_chosen_lines():
    counted = Statistics(np.array([[1, 1], [0, 1], [1, 1]], np.float32), lambda total: float(total[0] / total[1]))
    assert counted.value() == pytest.approx(2 / 3)
    assert counted.value([0, 2]) == 1
    assert counted.line_values() == [1, 0, 1]


def test_a_verdict_names_both_tests_and_the_interval(files):
    words = [str(files / "a"), str(files / "b"), str(files / "c"), f"reference={files / 'test.tgt'}"]
    out = call_here("compare", *words, "bootstrap=200", "trials=500", "metrics=[bleu]").stdout.decode()
    assert re.search(
        r"b is (better|worse) than a by \d+\.\d+ BLEU: the difference is (not )?significant at 0\.05 "
        r"\(95 % interval -?\d+\.\d to -?\d+\.\d; p = 0\.\d{4} by approximate randomization, 500 trials; "
        r"p = 0\.\d{4} by paired bootstrap, 200 resamples; "
        r"p = \d\.\d{4} by Holm's method for 2 comparisons\)\.",
        out,
    )
    assert "c and a have the same BLEU counts in every line: there is no difference." in out
