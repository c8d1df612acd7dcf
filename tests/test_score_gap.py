"""explain=true: reasons for differences in BLEU; comet=: scores by another Python, here a stub of its protocol."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from unicodedata import normalize

import pytest

from compared_runs import noisy, write_run, write_test_set
from in_process import call_here
from translate.comparison.score_gap import explain_gap
from translate.text import read_lines, write_lines

REFERENCES = 4 * [
    "He said: “Ça va – très bien”, and left (early).",
    "Élodie met Zoë in Köln, didn't she?",
    "A plain line.",
]


def gap_of(change):
    return explain_gap(("a", "b"), REFERENCES, [change(line) for line in REFERENCES], [REFERENCES], "13a")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (str.upper, "upper and lower case"),
        (lambda line: normalize("NFD", line), "Unicode form (NFC)"),
        (lambda line: line.replace("“", '"').replace("”", '"').replace("–", "-"), "quotation marks and dashes"),
        (lambda line: line.replace("“", "“ ").replace("”", " ”").replace("(", "( "), "spaces at punctuation"),
    ],
)
def test_a_change_of_form_explains_the_whole_difference(change, reason):
    gap = gap_of(change)
    assert gap.steps[0].first == pytest.approx(100)
    assert gap.steps[0].gap < -1
    assert gap.steps[-1].gap == pytest.approx(0, abs=1e-9)
    [found] = [finding for finding in gap.findings if reason in finding]
    part, whole = re.findall(r"[-+]\d+\.\d\d", found)
    assert float(part) / float(whole) > 0.9
    assert "Nothing else differs." in gap.findings


def test_other_words_are_left_and_lengths_are_named():
    gap = gap_of(lambda line: " ".join(line.split()[:-1]))
    assert any("brevity penalty" in finding for finding in gap.findings)
    assert gap.findings[-1].startswith("Other words, or another order: -")
    without = next(figures for figures in gap.settings if figures.title == "without brevity penalty")
    assert without.second > gap.steps[0].second


def test_shifted_lines_are_found():
    lines = [f"line {number}" for number in range(9)]
    gap = explain_gap(("a", "b"), lines, [*lines[1:], "x"], [lines], "13a")
    assert "The lines of b are shifted: 8 equal the line after theirs in a." in gap.findings


def test_tokenizers_and_smoothing_are_tried():
    titles = {figures.title for figures in gap_of(str.lower).settings}
    assert {"tok:none", "tok:intl", "tok:char", "smooth:none", "case:lc (lower case)"} <= titles
    assert "tok:13a" not in titles


def test_other_references_tokenizers_and_searches_of_runs_are_named(tmp_path):
    data, other = write_test_set(tmp_path / "data"), write_test_set(tmp_path / "other", seed=3)
    target = list(read_lines(data / "test.tgt"))
    write_run(tmp_path / "a", data, target)
    write_run(tmp_path / "b", data, noisy(target, 0.1))
    write_run(tmp_path / "c", other, target)
    report = tmp_path / "b" / "evaluation" / "report.json"
    report.write_text(report.read_text().replace('"13a"', '"intl"').replace("beam_size=5", "beam_size=1"))
    words = [str(tmp_path / name) for name in "abc"]
    result = call_here("compare", *words, "explain=true", "bootstrap=0", "examples=0", f"page={tmp_path / 'page'}")
    out = result.stdout.decode()
    assert "Their reports count by different tokenizers" in out
    assert "decoding.search: beam beam_size=5 in a, beam beam_size=1 in b." in out
    assert f"{tmp_path / 'c'} has other references than a: its BLEU is" in out
    assert "differ in BLEU" in (tmp_path / "page").read_text(encoding="utf-8")


STUB = """#!{python}
import json, sys
request = json.load(sys.stdin)
assert sys.argv[1].endswith("comet_worker.py"), sys.argv
rows = [list(zip(request["source"], lines, request["reference"])) for lines in request["systems"]]
scores = [[float(line == reference) - (source == "") for source, line, reference in own] for own in rows]
{answer}
"""
ANSWER = 'json.dump({"scores": scores, "version": "2.2.7"}, sys.stdout)'


def stub(folder: Path, answer: str = ANSWER) -> Path:
    """An interpreter that does not run the worker, but answers its request: unbabel-comet itself is not installed."""
    path = folder / "stub"
    path.write_text(STUB.format(python=sys.executable, answer=answer))
    path.chmod(0o755)
    return path


def test_comet_of_another_python_is_one_of_the_metrics(tmp_path):
    data = write_test_set(tmp_path / "data")
    target = list(read_lines(data / "test.tgt"))
    write_run(tmp_path / "a", data, target[:10] + noisy(target[10:], 1.0))
    write_run(tmp_path / "b", data, target)
    words = [str(tmp_path / "a"), str(tmp_path / "b"), f"comet={stub(tmp_path)}", "metrics=[bleu]", "bootstrap=200"]
    result = call_here("compare", *words, "format=json")
    assert result.returncode == 0, result.stderr.decode()
    scores = [system["scores"]["comet"] for system in json.loads(result.stdout)["systems"]]
    assert [score["value"] for score in scores] == pytest.approx([25, 100])
    assert scores[0]["signature"] == "model:Unbabel/wmt22-comet-da|nrefs:1|version:unbabel-comet 2.2.7"
    assert scores[1]["difference"]["p_randomization"] < 0.01


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("sys.exit('No module named comet: install unbabel-comet')", "No module named comet: install unbabel-comet"),
        ("print('loading')", "the answer is no JSON"),
        ('json.dump({"scores": [[1.0]]}, sys.stdout)', "does not have a score for each line of each system"),
        ('json.dump({"scores": [[float("nan")] * 40] * 2}, sys.stdout)', "does not have a score for each line"),
    ],
)
def test_comet_that_fails_is_one_line(tmp_path, answer, message):
    data = write_test_set(tmp_path / "data")
    write_lines(tmp_path / "b", ["x"] * 40)
    words = [data / "test.tgt", tmp_path / "b", f"reference={data / 'test.tgt'}", f"source={data / 'test.src'}"]
    result = call_here("compare", *map(str, words), f"comet={stub(tmp_path, answer)}")
    assert (result.returncode, result.stdout) == (1, b"")
    assert message in result.stderr.decode()
    assert result.stderr.count(b"\n") == 1


def test_comet_without_interpreter_or_source_says_what_is_missing(tmp_path):
    data = write_test_set(tmp_path / "data")
    words = [str(data / "test.tgt"), f"reference={data / 'test.tgt'}"]
    result = call_here("compare", *words, f"source={data / 'test.src'}", f"comet={tmp_path / 'nowhere'}")
    assert "make an environment for it: python -m venv comet-env" in result.stderr.decode()
    result = call_here("compare", *words, f"comet={sys.executable}")
    assert "reads the source, which the runs do not have: add source=FILE" in result.stderr.decode()
