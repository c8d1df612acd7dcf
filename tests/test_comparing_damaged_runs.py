"""translate.compare of runs with damaged or hostile files: these are named, and the others are compared."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from compared_runs import noisy, write_run, write_test_set
from in_process import call_here
from translate.text import read_lines

FAST = ["bootstrap=200", "trials=100", "metrics=[bleu,chrf]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("compared")
    data = write_test_set(folder / "data")
    target = list(read_lines(data / "test.tgt"))
    for seed, name in enumerate(("base-s1", "base-s2", "lstm")):
        settings = {"model.architecture": "lstm", "model.num_heads": None} if name == "lstm" else {}
        write_run(folder / "runs" / name, data, noisy(target, 0.3, seed=seed), seed=seed, settings=settings)
    return folder / "runs"


def compare(*words: object) -> tuple[str, str]:
    """What the command prints on standard output and on standard error."""
    result = call_here("compare", *map(str, words))
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode(), result.stderr.decode()


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json", "result.json", "evaluation/report.json"])
def test_damaged_file_of_a_run_is_named_and_the_others_are_compared(runs, tmp_path, name):
    shutil.copytree(runs / "lstm", tmp_path / "damaged")
    (tmp_path / "damaged" / name).write_bytes(b'{"step": \xff')
    out, err = compare(runs / "base-s1", tmp_path / "damaged", runs / "base-s2", *FAST)
    assert name.rpartition("/")[2] in err
    assert "base" in out


@pytest.mark.parametrize("file", ["x" * 300, "a/" * 3000 + "b", "nul\0"])
def test_references_of_an_impossible_name_are_not_there_any_more(runs, tmp_path, file):
    shutil.copytree(runs / "lstm", tmp_path / "moved")
    path = tmp_path / "moved" / "evaluation" / "report.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reference_files": [file], "name": file}))
    _, err = compare(runs / "base-s1", tmp_path / "moved", runs / "base-s2", *FAST)
    assert f"{tmp_path / 'moved'} is not compared: its references are not there any more" in err


def test_pipe_in_a_run_is_not_read(runs, tmp_path):
    shutil.copytree(runs / "lstm", tmp_path / "piped")
    (tmp_path / "piped" / "manifest.json").unlink()
    os.mkfifo(tmp_path / "piped" / "manifest.json")
    _, err = compare(runs / "base-s1", tmp_path / "piped", *FAST)
    assert "manifest.json: that is a pipe, and a file of settings is expected" in err


@pytest.mark.parametrize("value", ["9" * 400, "NaN", "Infinity", "[1]"])
def test_number_that_no_float_holds_is_not_known(runs, tmp_path, value):
    shutil.copytree(runs / "lstm", tmp_path / "damaged")
    content = f'{{"step": {value}, "validation": {{"metric": "bleu", "value": {value}}}}}'
    (tmp_path / "damaged" / "result.json").write_text(content)
    out, _ = compare(runs / "base-s1", tmp_path / "damaged", "bootstrap=0")
    assert "damaged" in out
