"""translate.compare of run folders: what is compared, what is left out by name, tables, page and JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from compared_runs import noisy, unfinished, write_run, write_test_set
from in_process import call_here
from translate.comparison.page import marked_words
from translate.comparison.tables import shortened_names
from translate.text import read_lines, write_lines

LSTM = {"model.architecture": "lstm", "model.num_heads": None}
FAST = ["bootstrap=200", "trials=100", "metrics=[bleu,chrf]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two settings of three seeds, a single run, two trials of a sweep, and an unfinished run."""
    folder = tmp_path_factory.mktemp("compared")
    data = write_test_set(folder / "data")
    target = list(read_lines(data / "test.tgt"))
    for seed in (1, 2, 3):
        write_run(folder / f"runs/base-s{seed}", data, noisy(target, 0.3, seed=seed), seed=seed)
        better = noisy(target, 0.05, seed=10 + seed)
        write_run(folder / f"runs/dropout-s{seed}", data, better, seed=seed, settings={"model.dropout": 0.3})
    write_run(folder / "runs/lstm", data, noisy(target, 0.5, seed=20), settings=LSTM)
    for trial in (0, 1):
        settings = {"optimizer.learning_rate": (trial + 1) / 1000}
        write_run(folder / f"runs/sweep/trial-00{trial}", data, noisy(target, 0.2, seed=30 + trial), settings=settings)
    unfinished(write_run(folder / "runs/late", data, target, settings={"run.max_steps": 500}), step=60, best=30.0)
    (folder / "runs" / "train.log").write_text("no run\n")
    return folder / "runs"


def compare(*words: object) -> tuple[str, str]:
    """What the command prints on standard output and on standard error."""
    result = call_here("compare", *map(str, words))
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode(), result.stderr.decode()


def refused(*words: object) -> str:
    result = call_here("compare", *map(str, words))
    assert result.returncode == 1, result.stdout.decode()
    return result.stderr.decode()


@pytest.fixture(scope="module")
def everything(runs):
    """Output, notes, JSON and page of the comparison of all runs."""
    files = [f"page={runs.parent / 'page.html'}", f"json={runs.parent / 'result.json'}"]
    out, err = compare(runs / "*", f"baseline={runs / 'base-s2'}", *files, *FAST)
    document = json.loads((runs.parent / "result.json").read_text(encoding="utf-8"))
    return out, err, document, (runs.parent / "page.html").read_text(encoding="utf-8")


def test_seeds_of_a_setting_are_one_system_with_mean_and_spread(everything, runs):
    _, _, document, _ = everything
    systems = {system["name"]: system for system in document["systems"]}
    assert next(iter(systems)) == "base (3 seeds)"
    assert set(systems) == {"base (3 seeds)", "dropout (3 seeds)", "lstm", "sweep/trial-000", "sweep/trial-001"}
    base = systems["base (3 seeds)"]["scores"]["bleu"]
    reports = [json.loads((runs / f"base-s{seed}/evaluation/report.json").read_text()) for seed in (1, 2, 3)]
    values = [report["scores"]["bleu"]["value"] for report in reports]
    assert sorted(base["values"]) == pytest.approx(sorted(values))
    assert base["value"] == pytest.approx(sum(values) / 3)
    deviations = [(value - base["value"]) ** 2 for value in values]
    assert base["spread"] == pytest.approx((sum(deviations) / 2) ** 0.5)
    assert sorted(systems["base (3 seeds)"]["seeds"]) == [1, 2, 3]


def test_settings_that_differ_are_listed_and_no_others(everything):
    out, _, document, _ = everything
    assert document["settings"]["model.dropout"]["dropout (3 seeds)"] == "0.3"
    assert document["settings"]["optimizer.learning_rate"]["sweep/trial-001"] == "0.002"
    assert "model.architecture" in document["settings"]
    assert not {"run.seed", "run.dir", "model.num_heads", "batch.tokens"} & document["settings"].keys()
    assert "settings that differ" in out


def test_a_sentence_says_which_is_better_and_if_it_is_significant(everything):
    out, _, document, page = everything
    best, sentence, *_ = document["verdicts"]
    assert best.startswith("dropout (3 seeds) has the best BLEU of 5 systems, ")
    assert best.endswith("; differences below are from base (3 seeds) (baseline=dropout-s1: from this one).")
    assert sentence.startswith("dropout (3 seeds) is better than base (3 seeds) by ")
    assert "bootstrap over lines and seeds" in sentence
    assert "the difference is significant at 0.05 (95 % interval " in sentence
    assert "by Holm's method for 4 comparisons" in sentence
    assert sentence in out
    answer, _, grounds = sentence.partition(" (95 %")
    assert f"<b>{answer}</b> (95 %{grounds}".replace("'", "&#39;") in page
    [single] = [line for line in document["verdicts"] if line.startswith("lstm")]
    assert "lstm has a single seed" in single


def test_size_speed_time_and_status_are_shown(everything):
    out, _, document, _ = everything
    lstm = next(system for system in document["systems"] if system["name"] == "lstm")
    assert (lstm["parameters"], lstm["lines_per_second"], lstm["seconds"]) == (12, 20.0, 75.0)
    assert (lstm["status"], lstm["validation"]) == ("finished", 40.0)
    assert "1 min 15 s" in out


def test_unfinished_run_is_named_and_compared_by_validation(everything):
    out, err, document, page = everything
    [late] = document["left_out"]
    assert late["status"] == "unfinished at step 60 of 500"
    assert "late is not compared: no translations of its test set yet" in err
    assert "late has no test scores: by validation bleu, 30.00, it is not better than base (3 seeds) (40.00)." in out
    assert "unfinished at step 60 of 500" in page


def test_files_beside_runs_are_left_out_of_a_pattern_by_name(everything):
    assert "they are no runs: train.log" in everything[1]


def test_differences_by_length_and_label(everything, runs):
    out, _, document, _ = everything
    assert [group["name"] for group in document["by_label"]] == ["even", "first", "odd"]
    assert [group["lines"] for group in document["by_label"]] == [20, 20, 20]
    assert sum(group["lines"] for group in document["by_length"]) == 40
    assert "BLEU by label" in out


def test_wins_and_losses_have_source_and_reference(everything):
    _, _, document, _ = everything
    win = next(system for system in document["systems"] if system["name"].startswith("dropout"))["wins"][0]
    assert win["score"] > win["baseline_score"]
    assert win["source"] == win["reference"].upper()


def test_page_needs_no_other_file_and_escapes_hostile_text(tmp_path):
    write_lines(tmp_path / "ref", ["<script>alert(1)</script> one", "שלום עולם", "& and \" quotes'"])
    write_lines(tmp_path / "a <b> & ü", ["<img src=x onerror=alert(2)> two", "שלום", "\u202e</div>"])
    write_lines(tmp_path / "b", ["<script>alert(1)</script> one", "שלום עולם", "x"])
    compare(tmp_path / "a <b> & ü", tmp_path / "b", f"reference={tmp_path / 'ref'}", f"page={tmp_path / 'p'}", *FAST)
    page = (tmp_path / "p").read_text(encoding="utf-8")
    for text in ("<script", "<img", "http:", "https:", "a <b> & ü"):
        assert text not in page.replace("http-equiv", ""), text
    assert "a &lt;b&gt; &amp; ü" in page
    assert "<p dir=auto>שלום עולם</p>" in page
    assert "\\u202e&lt;/div&gt;" in page
    assert "\u202e" not in page
    assert "dir=auto" in page
    assert "prefers-color-scheme: dark" in page


def test_run_of_another_test_set_is_left_out_by_name(runs, tmp_path):
    data = write_test_set(tmp_path / "data", lines=40, seed=5)
    other = write_run(tmp_path / "other", data, list(read_lines(data / "test.tgt")))
    _, err = compare(runs / "base-s1", runs / "lstm", other, *FAST)
    assert f"{other} is not compared: scored against other references than {runs / 'base-s1'}" in err
    shorter = write_test_set(tmp_path / "shorter", lines=7)
    short = write_run(tmp_path / "short", shorter, list(read_lines(shorter / "test.tgt")))
    _, err = compare(runs / "base-s1", short, *FAST)
    assert "another test set: the test set of" in err
    assert "has 40 lines, but" in err


def test_copy_of_a_run_is_a_system_of_its_own_without_a_difference(runs, tmp_path):
    shutil.copytree(runs / "lstm", tmp_path / "lstm copy")
    out, _ = compare(runs / "lstm", tmp_path / "lstm copy", *FAST)
    assert "have the same BLEU counts in every line: there is no difference" in out
    assert "p = 1.000" in out


def test_runs_and_files_are_compared_with_the_references_of_the_runs(runs):
    hypotheses = runs / "base-s1" / "evaluation" / "hypotheses.txt"
    out, err = compare(hypotheses, runs / "lstm", *FAST, "format=json")
    document = json.loads(out)
    assert [len(system["paths"]) for system in document["systems"]] == [1, 1]
    assert "files of translations are scored against the references of" in err
    write_lines(runs.parent / "short", ["x"])
    assert "has 40 lines, but" in refused(runs.parent / "short", runs / "lstm", *FAST)


def test_moved_runs_are_compared_where_their_references_are_inside(runs, tmp_path):
    shutil.copytree(runs / "lstm", tmp_path / "moved")
    report = tmp_path / "moved" / "evaluation" / "report.json"
    report.write_text(report.read_text().replace(str(runs.parent / "data" / "test.tgt"), "gone/references.txt"))
    assert (
        "its references are not there any more (gone/references.txt"
        in compare(runs / "lstm", tmp_path / "moved", *FAST)[1]
    )
    given = f"reference={runs.parent / 'data' / 'test.tgt'}"
    assert "p = 1.000" in compare(runs / "lstm", tmp_path / "moved", given, *FAST)[0]
    assert "source= has 1 lines" in refused(runs / "lstm", f"source={runs / 'train.log'}", *FAST)
    shutil.copy(runs.parent / "data" / "test.tgt", tmp_path / "moved" / "evaluation" / "references.txt")
    assert "p = 1.000" in compare(runs / "lstm", tmp_path / "moved", *FAST)[0]


def test_report_of_other_files_is_noted(runs, tmp_path):
    shutil.copytree(runs / "lstm", tmp_path / "lstm")
    write_lines(tmp_path / "lstm" / "evaluation" / "hypotheses.txt", ["the cat"] * 40)
    _, err = compare(tmp_path / "lstm", *FAST)
    assert "translations or references have changed since" in err
    assert "changed since" not in compare(runs / "lstm", *FAST)[1]


def test_outputs_never_overwrite_what_is_compared(runs, tmp_path):
    hypotheses = runs / "lstm" / "evaluation" / "hypotheses.txt"
    before = hypotheses.read_bytes()
    for option in (f"page={hypotheses}", f"json={runs / 'lstm' / 'config.yaml'}"):
        assert "would be overwritten; name another" in refused(runs / "lstm", option)
    assert hypotheses.read_bytes() == before
    (tmp_path / "file").write_text("")
    assert "are one file" in refused(runs / "lstm", f"page={tmp_path / 'p'}", f"json={tmp_path / 'x' / '..' / 'p'}")
    for option in (f"page={tmp_path}", f"json={tmp_path}"):
        assert "that is a folder; name a file in it" in refused(runs / "lstm", option)
    assert "File name too long" in refused(runs / "lstm", f"page={tmp_path / ('p' * 300)}")
    assert "set page to a folder" in refused(runs / "lstm", f"page={tmp_path / 'file' / 'p.html'}")


def test_nothing_finished_is_a_table_of_validations(runs):
    out, err = compare(runs / "late")
    assert "unfinished at step 60 of 500" in out
    assert "no translations of its test set yet" in err


def test_page_and_json_of_nothing_scored_are_refused(runs, tmp_path):
    assert "page=p: nothing is scored" in refused(runs / "late", f"page={tmp_path / 'p'}").replace(f"{tmp_path}/", "")
    result = call_here("compare", str(runs / "late"), "format=json")
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"format=json: nothing is scored" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["nowhere/*"], "no file or folder matches this pattern"),
        ([], "systems is not set: name run folders or files"),
        (["README.md"], "reference is not set: add reference=FILE"),
        (["README.md", "systems=[LICENSE]"], "systems=[LICENSE] beside README.md"),
        (["translate"], "translate: no run, no report and no run in a folder there"),
        (["tests/*/*.py", "format=xml"], "format=xml must be text or json"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(words, message):
    assert message in refused(*words)


def test_file_names_may_hold_spaces_quotes_and_equals_signs(tmp_path):
    names = "a b's.txt", "dir=x/y=1,2.txt"
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_lines(tmp_path / name, ["one two three four"] * 5)
    out, _ = compare(
        *(tmp_path / name for name in ("a b's.txt", "dir=x/y=1,2.txt")), f"reference={tmp_path}/a b's.txt", *FAST
    )
    assert "a b's.txt" in out
    assert "dir=x/y=1,2.txt" in out


def test_short_and_empty_sets_are_scored_or_refused(tmp_path):
    write_lines(tmp_path / "one", ["a single line"])
    out, _ = compare(tmp_path / "one", f"reference={tmp_path / 'one'}")
    assert "100.0 ± 0.0" in out
    write_lines(tmp_path / "blank", ["", ""])
    compare(tmp_path / "blank", f"reference={tmp_path / 'blank'}")
    Path(tmp_path / "empty").write_bytes(b"")
    assert "there is nothing to score" in refused(tmp_path / "empty", f"reference={tmp_path / 'empty'}")


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["runs/last-week/a", "runs/last-week/b", "lstm"], ["runs/…week/a", "runs/…week/b", "lstm"]),
        (["dropout0.0 (3 seeds)", "dropout0.3 (3 seeds)"], ["dropout0.0 …", "dropout0.3 …"]),
        (["experiment-a-of-may", "experiment-b-of-may"], ["…nt-a-of-may", "…nt-b-of-may"]),
    ],
)
def test_shortened_names_stay_different(names, short):
    assert shortened_names(names, 12) == short


def test_words_and_characters_that_are_not_in_the_reference_are_marked():
    assert marked_words("a cat sat", "a dog sat") == [("a ", False), ("cat", True), (" sat", False)]
    assert marked_words("我们看城", "我们看长城") == [("我们看", False), ("城", False)]
    assert marked_words("x " * 5000, "y") == [("x " * 5000, False)]
