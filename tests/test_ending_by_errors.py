"""Errors of validation, of TensorBoard and of the final evaluation save what was trained; signals to other commands."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from forked import Forked, forked, waiting_in
from small_runs import composed, options, write_corpus
from translate.errors import UserError
from translate.train import train
from translate.training import final_evaluation, tracking, validation
from translate.training.loggers import tensorboard_events

CHANGES = {"run__max_steps": 20, "validation__every": 10, "run__save_every": 1000, "averaging__last": 0}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=300)


@pytest.fixture(scope="module")
def undisturbed(corpus: Path) -> Path:
    assert train(composed(options(corpus, corpus / "undisturbed", **CHANGES))) is not None
    return corpus / "undisturbed"


def saved_steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (folder / "state").glob("step-????????"))


@pytest.mark.parametrize(
    ("owner", "name", "call", "error", "step"),
    [
        (validation, "evaluate_corpus", 1, UserError("out of translators"), 10),
        (validation, "label_smoothed_cross_entropy", 1, ZeroDivisionError("a bug"), 10),
        (tracking.Reporter, "validation", 2, AssertionError("a bug"), 20),
        (tensorboard_events.EventFile, "scalars", 1, RuntimeError("a bug"), 5),
        (final_evaluation, "evaluate_corpus", 1, RuntimeError("a bug"), 20),
    ],
)
def test_an_error_costs_no_update_and_the_same_command_continues(
    corpus, undisturbed, tmp_path, monkeypatch, owner, name, call, error, step
):
    folder, original, calls = tmp_path / "run", getattr(owner, name), iter(range(1, 1000))

    def failing(*arguments: Any, **settings: Any) -> Any:
        if next(calls) == call:
            raise error
        return original(*arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, failing)
        with pytest.raises(type(error), match=error.args[-1]):
            train(composed(options(corpus, folder, **CHANGES)))
    assert saved_steps(folder)[-1] == step
    log = (folder / "train.log").read_text(encoding="utf-8")
    assert f"step {step} is saved in {folder}; the same command continues the run" in log or step == 20
    assert str(error) in log.splitlines()[-1]
    assert train(composed(options(corpus, folder, **CHANGES))) is not None
    for file in ("best/weights.safetensors", "state/step-00000020/weights.safetensors", "evaluation/hypotheses.txt"):
        assert (folder / file).read_bytes() == (undisturbed / file).read_bytes()
    if (folder / "state" / f"step-{step:08}").is_dir() and owner is validation:
        # the validation that failed was made up for
        assert f"step {step}  valid " in (folder / "train.log").read_text(encoding="utf-8")


def test_a_run_bounded_by_minutes_says_what_they_count(corpus, tmp_path):
    train(composed(options(corpus, tmp_path / "run", **CHANGES | {"run__max_minutes": 0.05, "run__max_steps": 0})))
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert "these 0.05 minutes are of updates, validations and saving, in all sessions" in log
    assert "the test set is translated after them" in log
    assert "stopped at step" in log


def test_a_run_of_too_few_minutes_for_an_update_names_them(corpus, tmp_path, monkeypatch):
    resume = tracking.Reporter.resume
    # a slow machine, when the clock of the run has started
    monkeypatch.setattr(tracking.Reporter, "resume", lambda reporter: (time.sleep(0.1), resume(reporter)))
    with pytest.raises(UserError, match=r"run\.max_minutes=0\.001 ended the run before its first update"):
        train(composed(options(corpus, tmp_path, **CHANGES | {"run__max_minutes": 0.001, "run__max_steps": 0})))


def data_options(corpus: Path) -> list[str]:
    return [word for word in options(corpus, corpus) if word.startswith("data") and "cache" not in word]


SEARCH = ("decoding.native_engine", "DecodingJob.run")


@pytest.mark.parametrize(
    ("command", "words", "function"),
    [
        ("decode", "model={run} input={text} output={out}", SEARCH),
        ("evaluate", "model={run} source={text} reference={text} output={out}", SEARCH),
        ("explain", "model={run} input={text} output={out}", SEARCH),
        ("compare", "reference={text} baseline={text}", ("comparison.scoring", "sentence_statistics")),
        ("prepare", "data.cache={out}/cache output={out}", ("data.clean_text", "_Writer.add")),
    ],
)
def test_a_signal_ends_every_command_with_its_status(corpus, undisturbed, tmp_path, command, words, function):
    import_module(f"translate.{command}")
    paths = {"run": undisturbed, "text": corpus / "train.src", "out": tmp_path / "out"}
    arguments = words.format(**paths).split() + (data_options(corpus) if command == "prepare" else [])
    with forked(tmp_path / "errors", command, *arguments, before=waiting_in(*function)) as process:
        process.wait_for("here")
        process.send(signal.SIGTERM)
        assert process.end() == 143
    assert process.said().endswith("SIGTERM: stopping; again to end at once\n")
    assert "Traceback" not in process.said()
    assert not [path for path in tmp_path.rglob("out/**/*") if path.is_file() and ".lock" not in path.name]


def test_a_signal_ends_back_translation_between_its_runs(corpus, tmp_path):
    settings = {"experiment": "back_translation", "back_translation__monolingual": corpus / "train.tgt"}
    arguments = options(corpus, tmp_path / "run", **CHANGES, **settings)
    change = waiting_in("training.back_translation", "_translate_from")
    with forked(tmp_path / "errors", "train", *arguments, before=change) as process:
        process.wait_for("here")
        process.send(signal.SIGHUP)
        assert process.end() == 129
    assert process.said().endswith("SIGHUP: stopping; again to end at once\n")
    assert not (tmp_path / "run" / "train.log").exists()


@contextmanager
def two_processes(corpus: Path, folder: Path, change: Callable[[], None]) -> Iterator[tuple[Forked, Forked]]:
    """A run of two processes; change: of the second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def join(rank: int) -> None:
        variables = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({key: str(value) for key, value in variables.items()})
        if rank == 1:
            change()

    settings = options(corpus, folder, **CHANGES)
    with (
        forked(folder.parent, "train", *settings, before=partial(join, 0)) as first,
        forked(folder.parent, "train", *settings, before=partial(join, 1)) as second,
    ):
        yield first, second


def stopped_at(process: Forked, reason: str, folder: Path) -> int:
    """The step after which a run has ended, and was saved: the processes agree on it a few updates later."""
    found = re.search(rf"stopped at step (\d+): {reason}\nstep (\d+) is saved in {folder}", process.said())
    assert found, process.said()
    assert saved_steps(folder) == [int(found[1])] == [int(found[2])]
    return int(found[1])


@pytest.mark.parametrize(
    ("function", "step"),
    [(("training.step", "train_step"), 1), (("training.validation", "label_smoothed_cross_entropy"), 10)],
)
def test_a_signal_to_one_of_two_processes_ends_both_alike(corpus, tmp_path, function, step):
    folder = tmp_path / "run"
    with two_processes(corpus, folder, waiting_in(*function)) as (first, second):
        second.wait_for("here")
        second.send(signal.SIGTERM)
        assert (first.end(), second.end()) == (143, 143), first.said() + second.said()
    assert "process 1: SIGTERM: saving the state after this update; again to end at once\n" in second.said()
    assert step <= stopped_at(first, "SIGTERM", folder) <= step + 16


def test_a_process_that_is_asked_to_stop_and_then_loses_another_says_so(corpus, tmp_path):
    """As under torchrun, which signals all processes when one has been killed."""
    with two_processes(corpus, tmp_path / "run", waiting_in("training.step", "train_step")) as (first, second):
        second.wait_for("here")
        first.send(signal.SIGTERM)
        first.wait_for("SIGTERM: saving the state after this update")
        second.send(signal.SIGKILL)
        assert (first.end(), second.end()) == (1, -signal.SIGKILL), first.said() + second.said()
    assert "error: process 1 ended without a reason: killed" in first.said()


def test_an_error_in_one_of_two_processes_saves_the_state_and_ends_both(corpus, tmp_path):
    def failing(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a bug")

    def change() -> None:
        validation.label_smoothed_cross_entropy = failing  # type: ignore[assignment]

    with two_processes(corpus, tmp_path / "run", change) as (first, second):
        assert (first.end(), second.end()) == (1, 1), first.said() + second.said()
    assert 10 <= stopped_at(first, "an error", tmp_path / "run") <= 26
    assert first.said().endswith("RuntimeError: process 1: ZeroDivisionError('a bug')\n")
    assert second.said().endswith("ZeroDivisionError: a bug\n")
