"""Signals at every stage of a run: an answer, a saved state, an exit status; what the continued run ends with."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from forked import Forked, forked, waiting_in
from in_process import call_here
from small_runs import REPOSITORY, environment, options, write_corpus
from translate.decoding import native_engine

HANGUP, INTERRUPT, TERMINATE = signal.SIGHUP, signal.SIGINT, signal.SIGTERM
SAVING = "saving the state after this update; again to end at once\n"
CHANGES = {"run__max_steps": 30, "validation__every": 10, "run__save_every": 1000, "averaging__last": 0}
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere one process translates")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import_module("translate.train")  # before the first fork
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=300)


@pytest.fixture(scope="module")
def undisturbed(corpus: Path) -> Path:
    result = call_here("train", *options(corpus, corpus / "undisturbed", **CHANGES))
    assert result.returncode == 0, result.stderr.decode()
    return corpus / "undisturbed"


def results(folder: Path) -> list[bytes | str]:
    """Final weights of the run, the best model's, its translations, and all validations."""
    log = (folder / "train.log").read_text(encoding="utf-8")
    validations = dict(re.findall(r"(step [\d,]+)  valid (.*)", log))  # a repeated one counts once
    files = ("state/step-00000030/weights", "best/weights")
    return [
        *((folder / f"{name}.safetensors").read_bytes() for name in files),
        (folder / "evaluation" / "hypotheses.txt").read_bytes(),
        str(validations),
    ]


def saved_steps(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (folder / "state").glob("step-????????"))


def require_continued(corpus: Path, folder: Path, expected: Path) -> None:
    """Continue by the same command, undisturbed: the result is that of a run that was never disturbed."""
    result = call_here("train", *options(corpus, folder, **CHANGES))
    assert result.returncode == 0, result.stderr.decode()
    assert results(folder) == results(expected)


def with_workers(change: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """A change of a command: two processes translate."""

    def both() -> None:
        native_engine.num_useful_workers = lambda requested, sentences: 2
        change()

    return both


def freeze_workers() -> None:
    """A change of a command: its workers say "here PID" and compute nothing."""
    parent = os.getpid()

    def run(*_: object) -> None:
        assert os.getpid() != parent
        os.write(2, f"here {os.getpid()}\n".encode())
        time.sleep(120)

    native_engine.DecodingJob.run = run  # type: ignore[method-assign, assignment]


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [
        ("config.command", "compose", INTERRUPT),
        ("data.clean_text", "_Writer.add", TERMINATE),
        ("data.prepare", "write_tokenized", HANGUP),
        ("training.parts", "build_model", TERMINATE),
    ],
)
def test_a_signal_before_the_first_update_ends_the_command_and_saves_nothing(corpus, tmp_path, module, name, number):
    settings = options(corpus, tmp_path / "run", data__cache=tmp_path / "cache", **CHANGES)
    with forked(tmp_path, "train", *settings, before=waiting_in(module, name)) as run:
        run.wait_for("here")
        run.send(number)
        assert run.end() == 128 + number
    assert run.said().endswith(f"{number.name}: stopping; again to end at once\n")
    assert "saved" not in run.said()
    assert "Traceback" not in run.said()
    assert not list(tmp_path.glob("cache/*.new"))
    log = tmp_path / "run" / "train.log"
    assert not log.exists() or log.read_text().endswith(f" {number.name}: stopping\n")


LEARN_FOR_LONG = """
import hashlib, os, runpy, sys
from translate import tokenizer_training
from translate.data import prepare
words = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(60_000)]
def train_tokenizer(config, *_, tags=()):
    os.write(2, b"here\\n")
    return tokenizer_training._train_once(config, iter(words * 2), 20_000)
prepare.train_tokenizer = train_tokenizer
runpy.run_module("translate.train", run_name="__main__")
"""


def test_a_signal_ends_the_training_of_a_tokenizer(corpus, tmp_path):
    """SentencePiece does not return before it has learned: a thread ends the process."""
    settings = options(corpus, tmp_path / "run", data__cache=tmp_path / "cache", **CHANGES)
    # not forked from a process with threads, in which SentencePiece may crash
    words = [sys.executable, "-c", LEARN_FOR_LONG, *settings]
    with subprocess.Popen(words, stderr=subprocess.PIPE, cwd=REPOSITORY, env=environment()) as process:
        assert process.stderr is not None
        said = b""
        while not said.endswith(b"here\n"):
            said = process.stderr.readline()
            assert said
        time.sleep(0.3)  # inside of C++
        process.send_signal(TERMINATE)
        assert process.stderr.read().endswith(b"SIGTERM: stopping; again to end at once\n")
    assert process.returncode == 128 + TERMINATE


@pytest.mark.parametrize(
    ("module", "name", "call", "number", "step"),
    [
        ("training.step", "train_step", 3, INTERRUPT, 3),  # two updates, and the one that the signal comes in
        ("training.validation", "label_smoothed_cross_entropy", 1, TERMINATE, 10),
        ("training.validation", "evaluate_corpus", 2, HANGUP, 20),
    ],
)
def test_a_signal_in_the_loop_saves_what_was_trained(corpus, undisturbed, tmp_path, module, name, call, number, step):
    folder, change = tmp_path / "run", waiting_in(module, name, call=call)
    with forked(tmp_path, "train", *options(corpus, folder, **CHANGES), before=change) as run:
        run.wait_for("here")
        run.send(number)
        assert run.end() == 128 + number, run.said()
    said = run.said()
    assert f"{number.name}: {SAVING}" in said
    assert f"stopped at step {step}: {number.name}\n" in said
    assert said.endswith(f"step {step} is saved in {folder}; the same command continues the run\n")
    assert saved_steps(folder) == [step]
    require_continued(corpus, folder, undisturbed)


def test_a_signal_while_the_last_state_is_written_lets_it_be_written(corpus, undisturbed, tmp_path):
    folder = tmp_path / "run"
    change = waiting_in("training.state_folder", "write_state")  # in the thread that writes
    with forked(tmp_path, "train", *options(corpus, folder, **CHANGES), before=change) as run:
        run.wait_for("here")
        run.send(TERMINATE)
        assert run.end() == 128 + TERMINATE
    assert f"SIGTERM: {SAVING}stopped at step 30: run.max_steps=30\n" in run.said()
    assert saved_steps(folder) == [30]
    require_continued(corpus, folder, undisturbed)


def test_a_signal_in_the_final_evaluation_says_that_the_model_is_saved(corpus, undisturbed, tmp_path):
    folder = tmp_path / "run"
    # three validations come before
    change = waiting_in("decoding.native_engine", "DecodingJob.run", call=4)
    with forked(tmp_path, "train", *options(corpus, folder, **CHANGES), before=change) as run:
        run.wait_for("here")
        run.send(TERMINATE)
        assert run.end() == 128 + TERMINATE
    answer = "SIGTERM: stopping; the model is saved, and the same command evaluates it"
    assert run.said().endswith(f"{answer}; again to end at once\n")
    assert (folder / "train.log").read_text().endswith(f" {answer}\n")
    assert not (folder / "result.json").exists()
    require_continued(corpus, folder, undisturbed)


@on_linux
def test_a_signal_to_the_group_while_workers_validate_saves_the_state(corpus, undisturbed, tmp_path):
    folder = tmp_path / "run"
    with forked(tmp_path, "train", *options(corpus, folder, **CHANGES), before=with_workers(freeze_workers)) as run:
        run.wait_until(lambda: run.said().count("here") == 2)
        run.send(TERMINATE, group=True)
        assert run.end() == 128 + TERMINATE
    assert "ended from outside" not in run.said()
    assert saved_steps(folder) == [10]
    require_no_process(run)
    require_continued(corpus, folder, undisturbed)


@on_linux
def test_a_killed_worker_costs_no_update(corpus, undisturbed, tmp_path):
    folder = tmp_path / "run"
    with forked(tmp_path, "train", *options(corpus, folder, **CHANGES), before=with_workers(freeze_workers)) as run:
        run.wait_until(lambda: run.said().count("here") == 2)
        os.kill(int(re.findall(r"here (\d+)", run.said())[0]), signal.SIGKILL)
        assert run.end() == 1
    assert "stopped at step 10: an error\nstep 10 is saved in" in run.said()
    assert "error: a process that translates was ended from outside" in run.said().splitlines()[-1]
    require_no_process(run)
    require_continued(corpus, folder, undisturbed)


def require_no_process(run: Forked) -> None:
    """All processes of the run's group have ended."""
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        try:
            os.killpg(run.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise AssertionError("processes are left")


def test_signals_are_answered_inside_of_a_long_operation_and_a_second_one_ends_the_process(corpus, tmp_path):
    def compute_for_long() -> None:
        def train_step(*_: object, **settings: object) -> None:
            os.write(2, b"here\n")
            # in C, as a backward pass is: no handler written in Python runs before it ends
            hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000_000)

        import_module("translate.training.step").train_step = train_step

    folder = tmp_path / "run"
    with forked(tmp_path, "train", *options(corpus, folder, **CHANGES), before=compute_for_long) as run:
        run.wait_for("here")
        run.send(HANGUP)
        run.wait_for(f"SIGHUP: {SAVING}")
        time.sleep(0.8)
        run.send(HANGUP)  # a terminal that closes sends several
        time.sleep(0.3)
        assert run.poll() is None
        run.send(INTERRUPT)
        assert run.end() == 128 + INTERRUPT
    assert run.said().endswith(SAVING)
    assert saved_steps(folder) == []


def test_a_signal_that_comes_twice_at_once_is_one(corpus, tmp_path):
    """`timeout` signals the process and its group."""
    folder = tmp_path / "run"
    change = waiting_in("training.step", "train_step")
    with forked(tmp_path, "train", *options(corpus, folder, **CHANGES), before=change) as run:
        run.wait_for("here")
        run.send(TERMINATE)
        run.send(TERMINATE, group=True)
        assert run.end() == 128 + TERMINATE
    assert run.said().count("SIGTERM: ") == 1
    assert saved_steps(folder) == [1]


def test_an_ignored_signal_stays_ignored(corpus, tmp_path):
    """As under nohup."""

    def ignore() -> None:
        signal.signal(HANGUP, signal.SIG_IGN)
        original = import_module("translate.training.step").train_step

        def train_step(*arguments: Any, **settings: Any) -> Any:
            os.kill(os.getpid(), HANGUP)
            return original(*arguments, **settings)

        import_module("translate.training.step").train_step = train_step

    settings = options(corpus, tmp_path / "run", **{**CHANGES, "run__max_steps": 2})
    with forked(tmp_path, "train", *settings, before=ignore) as run:
        assert run.end() == 0, run.said()
    assert "SIGHUP" not in run.said()


INTERRUPT_AT_NUMPY = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
"""


def test_ctrl_c_during_imports_prints_no_traceback(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT_AT_NUMPY)  # which the interpreter imports first
    own = environment() | {"PYTHONPATH": f"{tmp_path}:{REPOSITORY}"}
    words = [sys.executable, "-m", "translate.train", "--help"]
    hear = lambda: signal.signal(INTERRUPT, signal.SIG_DFL)  # noqa: E731  # tests in the background ignore SIGINT
    result = subprocess.run(words, capture_output=True, cwd=REPOSITORY, env=own, preexec_fn=hear)
    assert result.returncode == -INTERRUPT
    assert result.stderr == b""
