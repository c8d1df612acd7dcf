"""Names of files and folders that cannot be meant are refused, before the work and in one line."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from forked import fork_command
from in_process import call_here
from small_runs import options, write_corpus
from trained_model import trained_model


@pytest.fixture(scope="module")
def model() -> Path:
    return trained_model()


def error_of(module: str, *arguments: str) -> str:
    """The only error line of a command that must fail."""
    process = call_here(module, *arguments)
    assert process.returncode == 1
    return process.stderr.decode().splitlines()[-1]


def test_a_run_folder_that_is_true_is_refused(tmp_path, monkeypatch):
    corpus = write_corpus(tmp_path / "corpus", pairs=50)
    monkeypatch.chdir(tmp_path)
    assert error_of("train", *options(corpus, Path("true"))).startswith("error: run.dir=True: name a folder")
    assert not (tmp_path / "True").exists()


def test_an_empty_home_is_not_the_root_of_the_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "")
    assert "unknown user or home folder" in error_of("train", *options(tmp_path, Path("~/x")))


@pytest.mark.parametrize("option", ["model", "input", "output"])
def test_an_empty_name_is_refused(model, option):
    words = {"model": str(model), "input": __file__, "output": "-"} | {option: ""}
    assert error_of("decode", *(f"{key}={value}" for key, value in words.items())).startswith(
        f"error: {option} is empty"
    )


def test_reports_of_a_run_are_not_replaced(model):
    run, corpus = model, model.parent / "corpus"
    reports = [*run.glob("evaluation/*"), *run.glob("data_report.*")]
    before = [path.read_bytes() for path in reports]
    texts = [f"source={corpus}/test.src", f"reference={corpus}/test.tgt"]
    assert "this folder has the report of a run" in error_of(
        "evaluate", f"model={run}", *texts, f"output={run}/evaluation"
    )
    words = [word for word in options(corpus, run) if word.startswith(("data", "tokenizer"))]
    assert "this folder has the report of a run" in error_of("prepare", *words, f"output={run}")
    assert len(before) > 2
    assert [path.read_bytes() for path in reports] == before


def test_a_file_as_cache_is_named(tmp_path):
    corpus = write_corpus(tmp_path / "corpus", pairs=50)
    (tmp_path / "file").touch()
    said = error_of(
        "prepare",
        f"data.train.source={corpus}/train.src",
        f"data.train.target={corpus}/train.tgt",
        f"data.cache={tmp_path}/file",
    )
    assert "data.cache" in said
    assert "make room" not in said


def test_the_reader_of_a_named_pipe_that_leaves_is_an_error(model, tmp_path):
    pipe, source = tmp_path / "pipe", tmp_path / "source"
    os.mkfifo(pipe)
    source.write_text("1 2 3\n" * 100_000)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with open(tmp_path / "errors", "w+b") as errors:
        words = [f"model={model}", f"input={source}", f"output={pipe}", "search=greedy", "progress=false"]
        command = fork_command("decode", *words, stderr=errors.fileno(), before=lambda: os.close(reader))
        select.select([reader], [], [], 60)
        os.close(reader)
        assert command.end() == 1
        errors.seek(0)
        assert f"error: output={pipe}: the reader of this pipe has left" in errors.read().decode()
