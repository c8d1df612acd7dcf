"""python -m translate.monitor: from a model and the log of its service to a verdict, a page, metrics and samples."""

from __future__ import annotations

import json
import random
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from in_process import call_here
from monitored import entries, sample_file, write_log
from trained_model import trained_model
from translate.errors import UserError
from translate.folders import replaced_directory
from translate.model_directory import MODEL_FILES, MONITORING, content_hash
from translate.monitor import MonitorConfig, compare, monitor
from translate.monitoring.baseline import load_baseline
from translate.monitoring.measures import MEASURES
from translate.monitoring.results import report_text

NAMES = {measure.name for measure in MEASURES}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run with a baseline of lines of its training text."""
    folder = shutil.copytree(trained_model(), tmp_path_factory.mktemp("monitored") / "run")
    source = trained_model().parent / "corpus" / "train.src"
    done = call_here(
        "monitor", f"model={folder}", "make_baseline=true", f"source={source}", "lines=150", "search=greedy"
    )
    assert done.returncode == 0, done.stderr.decode()
    assert f"{folder / 'best' / MONITORING}: ?-?, 150 lines of {source}" in done.stderr.decode()
    return folder


def logged(run: Path, path: Path, *, changed: int = 0, **fields) -> Path:
    """A log of 400 lines of the baseline, of which the last ones have another script and no confidence."""
    lines = random.Random(1).choices(load_baseline(run / "best" / MONITORING, direction="").lines, k=400)
    for index in range(400 - changed, 400):
        values = lines[index].to_json() | {"script": "Greek", "unknown_characters": 0.5, "log_prob": -9.0}
        lines[index] = type(lines[index]).from_json(values)
    return write_log(path, entries(lines, version=content_hash(str(run)), source="", target="", **fields))


def test_no_drift_in_lines_of_the_baseline(run, tmp_path):
    done = call_here("monitor", str(logged(run, tmp_path / "log")), f"model={run}", "window=200")
    assert done.returncode == 0, done.stderr.decode()
    output = done.stdout.decode()
    assert "No drift in the newest 200 lines." in output
    assert "0 of 2 windows have drifted" in output
    assert done.stderr == b""


def test_drift_in_the_newest_window_is_printed_and_written(run, tmp_path):
    log = logged(run, tmp_path / "log", changed=100, key='<img src="x">')
    files = {name: tmp_path / f"drift.{name}" for name in ("page", "json", "metrics")}
    done = call_here("monitor", str(log), f"model={run}", "window=200", *(f"{k}={v}" for k, v in files.items()))
    assert done.returncode == 0, done.stderr.decode()
    output = done.stdout.decode()
    assert "scripts, lines with unknown characters" in output
    assert "1 of 2 windows have drifted" in output

    results = json.loads(files["json"].read_text())
    first, second = results["windows"]
    assert first["drift"] == []
    assert {"confidence", "script", "unknown_characters"} <= set(second["drift"])
    assert set(second["measures"]) == NAMES
    assert results["baseline"]["model"] == content_hash(str(run))

    families = {each.name: each for each in text_string_to_metric_families(files["metrics"].read_text())}
    detected = {each.labels["measure"]: each.value for each in families["translate_drift_detected"].samples}
    assert {name for name, value in detected.items() if value} == set(second["drift"])
    assert families["translate_drift_window_lines"].samples[0].value == 200

    page = files["page"].read_text()
    assert "&lt;img src=&#34;x&#34;&gt;" in page
    assert "<img" not in page
    assert not re.search(r"https?://|<script|url\(", page)
    assert page.count("<b class=drift>drift</b>") == len(second["drift"])


def test_results_fit_a_narrow_terminal(run, tmp_path):
    report = compare(MonitorConfig(log=str(logged(run, tmp_path / "log", changed=100)), model=str(run), window=200))
    lines = report_text(report, width=80).split("\n")
    assert max(map(len, lines)) <= 80
    assert all(any(line.startswith(f"{measure.title} ") for line in lines) for measure in MEASURES)
    wide = report_text(report, width=None)
    assert all(f"{finding.difference.now}  " in wide for finding in report.newest.findings)


def test_training_has_kept_the_baseline_that_the_command_makes(tmp_path):
    kept = load_baseline(trained_model() / "best" / MONITORING, direction="")
    again = tmp_path / "again.json"
    done = call_here("monitor", f"model={trained_model()}", "make_baseline=true", "search=greedy", f"baseline={again}")
    assert done.returncode == 0, done.stderr.decode()
    made = load_baseline(again, direction="")
    assert kept.decoding == made.decoding
    assert (kept.text, kept.model, kept.direction) == (made.text, made.model, made.direction)
    confidence = [line.log_prob for line in made.lines]
    assert [line.log_prob for line in kept.lines] == pytest.approx(confidence, abs=2e-4)  # of another batch size
    assert [replace(line, log_prob=0) for line in kept.lines] == [replace(line, log_prob=0) for line in made.lines]


def test_a_run_without_a_baseline_is_compared_by_its_translations(run, tmp_path):
    old = shutil.copytree(run, tmp_path / "old")
    (old / "best" / MONITORING).unlink()
    log = logged(run, tmp_path / "log")
    few = call_here("monitor", str(log), f"model={old}")
    assert "test has 20 lines with text" in few.stderr.decode()
    corpus = trained_model().parent / "corpus"
    text = (corpus / "train.src").read_text().splitlines(keepends=True)[:300]
    (tmp_path / "held_out").mkdir()
    config = (old / "config.yaml").read_text()
    for side in ("src", "tgt"):
        (tmp_path / f"test.{side}").write_text("".join(text))
        config = config.replace(str(corpus / f"test.{side}"), str(tmp_path / f"test.{side}"))
    (old / "config.yaml").write_text(config)
    (old / "evaluation" / "hypotheses.txt").write_text("".join(text))
    done = call_here("monitor", str(log), f"model={old}", f"json={tmp_path / 'json'}")
    assert done.returncode == 0, done.stderr.decode()
    results = json.loads((tmp_path / "json").read_text())
    assert set(results["windows"][0]["measures"]) == NAMES - {"confidence", "low_confidence", "split_lines"}
    assert len(results["not_compared"]) == 3
    assert "confidence: not compared" in done.stdout.decode()


def test_a_model_directory_alone_needs_a_baseline_or_an_earlier_log(run, tmp_path):
    alone = shutil.copytree(run / "best", tmp_path / "model")
    (alone / MONITORING).unlink()
    log, earlier = logged(run, tmp_path / "log"), logged(run, tmp_path / "earlier.gz")
    refused = call_here("monitor", str(log), f"model={alone}")
    assert refused.returncode == 1
    assert "make_baseline=true source=FILE" in refused.stderr.decode()
    done = call_here("monitor", str(log), f"baseline={earlier}")
    assert done.returncode == 0, done.stderr.decode()
    assert "No drift in the newest 400 lines" in done.stdout.decode()


def test_directions_are_kept_beside_each_other_and_damage_is_told(run, tmp_path):
    kept = tmp_path / "kept.json"
    shutil.copy(run / "best" / MONITORING, kept)
    content = json.loads(kept.read_text())
    content["directions"]["en-de"] = content["directions"]["?-?"]
    kept.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"direction=…, but of \?-\?, en-de"):
        load_baseline(kept, direction="")
    assert len(load_baseline(kept, direction="en-de").lines) == 150
    for damage in ({"features": {}}, {"features": {"digits": [2.0]}}, {"features": 1}, {"text": None}):
        content["directions"]["en-de"] = content["directions"]["?-?"] | damage
        kept.write_text(json.dumps(content))
        with pytest.raises(UserError, match="is damaged"):
            load_baseline(kept, direction="en-de")
    kept.write_text('{"format": 99}')
    with pytest.raises(UserError, match="another version"):
        load_baseline(kept, direction="")


def test_a_model_that_replaces_another_does_not_inherit_its_baseline(tmp_path):
    for name in (MONITORING, "notes-of-a-user.txt"):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / name).write_text("{}")
    with replaced_directory(tmp_path / "model", owned=MODEL_FILES) as new:
        (new / "model.yaml").write_text("")
    assert {path.name for path in (tmp_path / "model").iterdir()} >= {"model.yaml", "notes-of-a-user.txt"}
    assert not (tmp_path / "model" / MONITORING).exists()


def test_a_baseline_replaces_no_other_file(run, tmp_path):
    kept = tmp_path / "notes.json"
    kept.write_text('{"a": 1}')
    done = call_here("monitor", f"model={run}", "make_baseline=true", f"baseline={kept}")
    assert done.returncode == 1
    assert "was written by another version; delete it" in done.stderr.decode()
    assert kept.read_text() == '{"a": 1}'


def test_a_sheet_is_drawn_without_a_model(tmp_path):
    samples = sample_file(tmp_path / "samples.jsonl", [f"line {n}" for n in range(30)])
    done = call_here("monitor", f"samples={samples}", "sample=10", f"sheet={tmp_path / 'judge.csv'}")
    assert done.returncode == 0, done.stderr.decode()
    assert "10 translations to judge" in done.stderr.decode()
    assert (tmp_path / "judge.csv").read_text(encoding="utf-8-sig").count("\n") == 11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "log is not set"),
        ({"log": "log"}, "model is not set"),
        ({"make_baseline": True}, "set model="),
        ({"log": "log", "model": "m", "window": 10}, "window .10. must be at least 50"),
        ({"log": "log", "model": "m", "level": 0.0}, "level"),
        ({"log": "missing", "model": "m"}, "log=missing: no such file"),
        ({"log": "log", "model": "m", "page": "log"}, "page=log: that is the input itself"),
        ({"log": "log", "model": "m", "json": "no/json"}, "no such folder"),
        ({"log": "log", "model": "m", "json": "new", "page": "new"}, "another option names that file"),
        ({"make_baseline": True, "model": "m", "page": "p"}, "page=p has the results of a log"),
        ({"sample": 5, "samples": "log"}, "belong together"),
        ({"log": "log", "model": "m"}, "no entry of a request"),
    ],
)
def test_wrong_options_are_refused(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("log").write_text("{}\n")
    with pytest.raises(UserError, match=message):
        monitor(MonitorConfig(**options))
    assert Path("log").read_text() == "{}\n"


def test_too_few_lines_are_no_window(run, tmp_path):
    log = write_log(tmp_path / "log", entries(load_baseline(run / "best" / MONITORING, direction="").lines[:20]))
    with pytest.raises(UserError, match="the log has 20 lines with text"):
        monitor(MonitorConfig(log=str(log), model=str(run)))
