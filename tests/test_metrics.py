"""Scores against an independent answer: what the sacrebleu command prints for the same files."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from in_process import call_here
from translate.errors import UserError
from translate.evaluation.metrics import METRICS, SACREBLEU, command, p_value, score
from translate.evaluation.scores import MetricName, Statistics
from translate.evaluation.significance import paired_p_value
from translate.text import read_lines, write_lines

REFERENCES = [
    "The cat sat on the mat.",
    "A line with a\x85next-line character in it, and more.",
    "Separated by\u2028a line separator, no less.",
    "Carriage\rreturn inside the line, and at its end\r",
    "trailing space and no-break space \xa0",
    "\ufeffByte order mark first.",
    "",
    "It costs 1,234.50 € – “really”?",
    "x\x1cy\x0bz\x0cend",
    "Vier Hunde schlafen unter dem alten Tisch.",
]
HYPOTHESES = [
    "The cat sat on a mat.",
    "A line with a next-line character in it and more.",
    "Separated by\u2028a line separator, no more.",
    "Carriage return inside the line, and at its end",
    "trailing space and no-break space",
    "Byte order mark first.",
    "something",
    "It costs 1,234.50 € – “indeed”?",
    "x y z end\x85",
    "",
]
CHINESE = (
    ["我们今天去北京看长城。", "他说：“好的，没问题。”"],
    ["我们今天去北京看看长城。", "他说好的没问题。"],
)


def sacrebleu(arguments: list[str], *, stdin: bytes | None = None) -> list[dict]:
    run = subprocess.run([sys.executable, "-m", "sacrebleu", *arguments], capture_output=True, check=True, input=stdin)
    answer = json.loads(run.stdout)
    return answer if isinstance(answer, list) else [answer]


@pytest.mark.parametrize(
    ("references", "hypotheses", "tokenize"),
    [(REFERENCES, HYPOTHESES, "13a"), (REFERENCES, HYPOTHESES, "intl"), (*CHINESE, "zh"), (*CHINESE, "char")],
)
def test_scores_equal_the_sacrebleu_command(tmp_path, references, hypotheses, tokenize):
    write_lines(tmp_path / "ref", references)
    write_lines(tmp_path / "hyp", hypotheses)
    metrics = [*SACREBLEU, MetricName.chrfpp]
    line = command(list(MetricName), tokenize, references=[str(tmp_path / "ref")], hypotheses=str(tmp_path / "hyp"))
    theirs = [answer for each in line.split(" && ") for answer in sacrebleu([*each.split()[1:], "-w", "9"])]
    sides = list(read_lines(tmp_path / "hyp")), [list(read_lines(tmp_path / "ref"))]
    ours = score(*sides, metrics=metrics, tokenize=tokenize)
    assert [s.name for s in ours.values()] == ["BLEU", "chrF2", "TER", "chrF2++"]
    assert {s.name: (round(s.value, 9), s.signature) for s in ours.values()} == {
        answer["name"]: (answer["score"], answer["signature"]) for answer in theirs
    }


def test_default_bleu_equals_the_sacrebleu_default(tmp_path):
    write_lines(tmp_path / "ref", REFERENCES)
    write_lines(tmp_path / "hyp", HYPOTHESES)
    [answer] = sacrebleu([str(tmp_path / "ref"), "-i", str(tmp_path / "hyp")])
    assert sacrebleu([str(tmp_path / "ref")], stdin=(tmp_path / "hyp").read_bytes()) == [answer]
    bleu = score(HYPOTHESES, [REFERENCES])[MetricName.bleu]
    assert f"{bleu.value:.1f}" == str(answer["score"])
    assert str(bleu) == f"BLEU = {answer['score']}  {answer['signature']}"


@pytest.mark.parametrize("metric", ["bleu", "chrf", "ter"])
def test_confidence_interval_equals_sacrebleu(tmp_path, metric):
    write_lines(tmp_path / "ref", REFERENCES)
    write_lines(tmp_path / "hyp", HYPOTHESES)
    files = [str(tmp_path / "ref"), "-i", str(tmp_path / "hyp")]
    [answer] = sacrebleu([*files, "-m", metric, "--confidence", "-w", "6"])
    [found] = score(HYPOTHESES, [REFERENCES], metrics=[MetricName(metric)], bootstrap=1000).values()
    assert round(found.interval, 6) == answer["confidence_var"]
    # the settings of the bootstrap are no part of the signature that people compare
    assert found.signature == answer["signature"].replace("bs:1000|seed:12345|", "")


def test_less_is_better_for_error_rates_only():
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["ter"]
    assert METRICS[MetricName.ter].is_better(40, 50)
    assert METRICS[MetricName.bleu].is_better(50, 40)
    assert not any(metric.is_better(40, 40) for metric in METRICS.values())


def test_perfect_and_empty_translations():
    perfect = score(["A small test of it."] * 2, [["A small test of it."] * 2])
    assert [round(s.value, 6) for s in perfect.values()] == [100.0, 100.0, 0.0]
    nothing = score(["", ""], [["A small test of it."] * 2])
    assert [s.value for s in nothing.values()] == [0.0, 0.0, 100.0]
    assert nothing[MetricName.bleu].details["length_ratio"] == 0.0


def test_invalid_scoring_input_is_refused():
    with pytest.raises(UserError, match="2 hypotheses cannot be scored against 1 references"):
        score(["a", "b"], [["a"]])
    with pytest.raises(UserError, match="nothing to score"):
        score([], [[]])
    with pytest.raises(UserError, match="tokenize=zhh"):
        score(["a"], [["a"]], tokenize="zhh")


def test_paired_bootstrap_has_the_nominal_false_positive_rate():
    """sacreBLEU's own is not: it calls equal systems different (p = 1 / 1,001), and looks at one side only."""
    random, found = np.random.default_rng(0), []
    for _ in range(200):
        difficulty = random.random((100, 1))
        systems = [np.hstack([random.random((100, 1)) < difficulty, np.ones((100, 1))]) for _ in range(2)]
        statistics = (
            Statistics(system.astype(np.float32), lambda total: float(total[0] / total[1])) for system in systems
        )
        found.append(paired_p_value(*statistics, resamples=200))
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=0.1)
    assert np.mean(np.array(found) <= 0.05) <= 0.1


def test_paired_bootstrap_finds_a_difference_and_none_between_equals():
    baseline = [line.replace("o", "0") for line in REFERENCES]
    assert p_value(MetricName.bleu, baseline * 3, baseline * 3, [REFERENCES * 3], resamples=100) == 1
    assert p_value(MetricName.bleu, REFERENCES * 3, baseline * 3, [REFERENCES * 3], resamples=100) < 0.05


@pytest.mark.parametrize("bootstrap", [0, 1, 99])
def test_fewer_than_100_resamples_give_no_p_value_and_no_interval(tmp_path, bootstrap):
    for name, lines in {"ref": ["Rome"] * 30, "a": ["Rome", "Oslo"] * 15, "b": ["Rome"] * 30}.items():
        write_lines(tmp_path / name, lines)
    paths = [f"reference={tmp_path / 'ref'}", f"baseline={tmp_path / 'a'}", f"systems=[{tmp_path / 'b'}]"]
    result = call_here("compare", *paths, "metrics=[exact_match]", f"bootstrap={bootstrap}")
    assert result.returncode == 0, result.stderr.decode()
    rows = [line.split() for line in result.stdout.decode().splitlines()]
    assert (rows[1][1:], rows[2][1:]) == (["50.0"], ["100.0"])
    assert f"bootstrap={bootstrap}: confidence intervals and p-values need at least 100" in result.stderr.decode()
    assert score(["a b"], [["a b"]], bootstrap=bootstrap)[MetricName.chrf].interval is None


def test_100_resamples_are_enough_and_negative_ones_are_refused(tmp_path):
    assert score(["a b"], [["a b"]], bootstrap=100)[MetricName.chrf].interval == 0
    assert p_value(MetricName.chrf, ["a"] * 9, ["b"] * 9, [["a"] * 9], resamples=100) == pytest.approx(1 / 101)
    with pytest.raises(UserError, match=r"bootstrap \(-1\) must be at least 0"):
        score(["a"], [["a"]], bootstrap=-1)


def test_systems_are_compared_by_any_metric(tmp_path):
    for name, lines in {"ref": ["Rome"] * 30, "a": ["Rome", "Oslo"] * 15, "b": ["Rome"] * 28 + ["x", "y"]}.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    paths = [f"reference={tmp_path / 'ref'}", f"baseline={tmp_path / 'a'}", f"systems=[{tmp_path / 'b'}]"]
    result = call_here("compare", *paths, "metrics=[exact_match]", "bootstrap=200", "trials=0")
    assert result.returncode == 0, result.stderr.decode()
    lines = result.stdout.decode().splitlines()
    assert "50.0 ± " in lines[1]
    assert "93.3 ± " in lines[2]
    assert "p = 0.005" in lines[2]
    assert lines[-1] == "EM: squad:1.1"
    (tmp_path / "b").write_text("Rome\n")
    result = call_here("compare", *paths)
    assert result.returncode == 1
    assert b"ref has 30 lines, but" in result.stderr
