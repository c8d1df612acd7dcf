"""Several processes of a run: they agree at the start, and each leaves with a reason when another is missing."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from forked_ranks import Ranks, run_ranks, start_ranks
from small_runs import composed, options, write_corpus
from translate.checkpoint import load_weights
from translate.distributed import World, join_world
from translate.errors import UserError
from translate.launcher import launched_as
from translate.model_directory import WEIGHTS
from translate.signals import stop_signals
from translate.train import train
from translate.training import changes
from translate.training.parallel import decide_run
from translate.training.session import Fact, compare_processes, require_equal

CPU = torch.device("cpu")


def exchange_until(rank: int, disturb, timeout: float = 30.0) -> object:
    """Exchange sums until an error; the last process is disturbed after some."""
    with join_world(CPU, timeout=timeout) as world:
        for number in range(1000):
            world.sum(torch.ones(1))
            if number == 1 and rank == world.size - 1:
                disturb()
            time.sleep(0.01)


def raise_error():
    raise UserError("data.train: absent.en: there is no such file")


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def stop_itself():
    os.kill(os.getpid(), signal.SIGSTOP)


@pytest.fixture
def started():
    """Function that starts processes, which end with the test."""
    ranks: list[Ranks] = []

    def start(*arguments, **settings) -> Ranks:
        ranks.append(start_ranks(*arguments, **settings))
        return ranks[-1]

    yield start
    for each in ranks:
        each.end()


def test_others_say_why_a_process_has_ended():
    first, second, third = run_ranks(3, exchange_until, raise_error)
    assert str(third) == "data.train: absent.en: there is no such file"
    assert str(first) == str(second) == f"process 2 has ended: {third}"


def test_a_killed_process_is_named(started):
    outcomes = started(3, exchange_until, kill_itself).outcomes(2)
    for rank in (0, 1):
        assert str(outcomes[rank]).startswith("process 2 ended without a reason: killed")


def end_by_torchrun(rank: int) -> None:
    """torchrun sends SIGTERM to the others once a process has ended."""
    with stop_signals.listening(), join_world(CPU, timeout=30.0) as world:
        main, _ = world.gather(os.getpid())
        with stop_signals.deferred("saving"):
            world.wait()
            if rank == 1:
                os.kill(main, signal.SIGTERM)
                kill_itself()
            while True:
                world.sum(torch.ones(1))


def test_a_killed_process_is_named_although_torchrun_ends_the_others(started):
    assert str(started(2, end_by_torchrun).outcomes(1)[0]).startswith("process 1 ended without a reason: killed")


def test_a_stopped_process_is_named_within_the_limit_and_leaves_when_it_goes_on(started):
    ranks = started(2, exchange_until, stop_itself, 2.0)
    before = time.monotonic()
    message = str(ranks.outcomes(1)[0])
    assert message.startswith("process 1 did not answer within 2 s (compute.timeout)")
    assert "\n" not in message
    assert time.monotonic() - before < 15
    os.kill(ranks.processes[1].pid, signal.SIGCONT)
    assert str(ranks.outcomes(1)[1]).startswith("the others have ended, as process 1 did not answer within 2 s")


def test_a_process_that_never_comes_is_named(started):
    ranks = started(3, exchange_until, raise_error, 2.0, chosen=[1, 0])
    for error in ranks.outcomes(2).values():
        assert str(error).startswith("process 2 did not start within 2 s (compute.timeout)")


def join(rank: int, devices: list[str]) -> None:
    with join_world(torch.device(devices[rank]), timeout=30.0):
        pass


def test_processes_on_devices_of_two_kinds_are_refused():
    for error in run_ranks(2, join, ["cpu", "cuda"]):
        assert "found process 0 on cpu, process 1 on cuda" in str(error)


def prepare(rank: int, seconds: float, disturb) -> str:
    """Preparation in which the main process works longer than the others wait in an exchange."""

    def work() -> str:
        time.sleep(seconds)
        if rank == 0:
            disturb()
        return "prepared"

    with join_world(CPU, timeout=2.0) as world:
        return world.main_first(work)


def test_preparation_may_take_longer_than_the_limit():
    assert run_ranks(2, prepare, 3.0, lambda: None) == ["prepared", "prepared"]


def test_the_end_of_the_main_process_during_preparation_is_noticed(started):
    assert str(started(2, prepare, 0.2, kill_itself).outcomes(1)[1]).startswith("process 0 ended without a reason")
    assert str(started(2, prepare, 0.2, raise_error).outcomes(2)[1]).startswith("process 0 has ended: data.train")


def join_twice(rank: int) -> list[float]:
    sums = []
    for _ in range(2):
        with join_world(CPU, timeout=30.0) as world:
            sums.append(world.sum(torch.ones(1)).item())
    return sums


def test_processes_join_again_as_the_stages_of_back_translation_do():
    assert run_ranks(2, join_twice) == [[2.0, 2.0]] * 2


@pytest.mark.parametrize(
    "environment", [{}, {"WORLD_SIZE": "1"}, {"WORLD_SIZE": "1", "RANK": "0"}, {"WORLD_SIZE": "", "RANK": ""}]
)
def test_a_process_without_others_is_alone(monkeypatch, environment):
    """Images and clusters export WORLD_SIZE=1."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched_as() == (0, 1)
    with join_world(CPU) as world:
        assert world == World()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "4"}, "WORLD_SIZE=4 is set in the environment, RANK is not"),
        ({"WORLD_SIZE": "4", "RANK": "0"}, "MASTER_ADDR is not"),
        ({"WORLD_SIZE": "many", "RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "RANK=0 and WORLD_SIZE=many"),
        ({"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, "must be below the world size"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "70000"}, "MASTER_PORT=70000 in the"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "a", "MASTER_PORT": "x"}, "a port is a number below 65,536"),
    ],
)
def test_an_incomplete_environment_of_several_processes_is_refused(monkeypatch, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        launched_as()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=150)


def compare(rank: int, arguments: list[list[str]]) -> None:
    config = composed(arguments[rank])
    with join_world(CPU, timeout=30.0) as world:
        compare_processes(config, decide_run(config), world)


def compare_with(corpus: Path, folder: Path, **changes: object) -> list[object]:
    """Outcomes of the comparison of two processes, of which the second has changes."""
    return run_ranks(2, compare, [options(corpus, folder / "0"), options(corpus, folder / "1", **changes)])


def test_processes_with_equal_settings_and_files_agree(corpus, tmp_path):
    """Paths of files, caches and folders may differ."""
    copy = write_corpus(tmp_path / "copy", pairs=150)
    changes = {f"data__train__{side}": copy / f"train.{end}" for side, end in (("source", "src"), ("target", "tgt"))}
    changes |= {"data__cache": tmp_path / "cache", "compute__threads": 2, "compute__timeout": 7}
    assert compare_with(corpus, tmp_path, **changes) == [None, None]


def test_another_option_on_one_process_is_refused_on_all(corpus, tmp_path):
    found = compare_with(corpus, tmp_path, optimizer__learning_rate=0.5, run__max_steps=60)
    assert str(found[0]) == str(found[1])
    assert "optimizer.learning_rate differs between the processes of this run: 0.005 on process 0, 0.5 on" in str(
        found[0]
    )
    assert "they also differ in run.max_steps" in str(found[0])


def test_another_training_text_on_one_process_is_refused_on_all(corpus, tmp_path):
    older = write_corpus(tmp_path / "older", pairs=149)
    found = compare_with(
        corpus, tmp_path, data__train__source=older / "train.src", data__train__target=older / "train.tgt"
    )
    assert str(found[0]) == str(found[1])
    assert "file 1 of data.train differs" in str(found[0])
    assert f"{corpus}/train.src with hash" in str(found[0])
    assert f"{older}/train.src with hash" in str(found[0])


def test_a_file_that_one_process_lacks_is_named_by_all(corpus, tmp_path):
    found = compare_with(corpus, tmp_path, data__train__source=tmp_path / "absent")
    assert f"{tmp_path}/absent" in str(found[1])
    assert str(found[0]) == f"process 1 has ended: {found[1]}"


def test_values_are_shown_with_all_their_ranks(monkeypatch):
    facts = [{"torch": Fact(text, text), "commit": Fact(text or None, text)} for text in ("2.11", "2.13", "2.11")]
    monkeypatch.setattr(World, "gather", lambda *_, **__: facts)
    with pytest.raises(
        UserError, match=r"torch differs .*: 2.11 on processes 0, 2, 2.13 on process 1; they also differ"
    ):
        require_equal({}, World(0, 3))
    facts[1:] = [{"torch": Fact("2.11", "2.11"), "commit": Fact(None, "")}] * 2  # unknown: an installed package
    require_equal({}, World(0, 3))


def run_in(rank: int, arguments: list[str], *others: list[str]) -> None:
    """Train with the arguments, or with those of this rank."""
    train(composed([arguments, *others][rank] if others else arguments))


def test_a_run_continues_with_another_number_of_processes(corpus, tmp_path, monkeypatch):
    """Bit for bit only with the former number, which the log says; each pair once an epoch: test_data_position.py."""
    run = tmp_path / "run"
    common = {"validation__every": 100, "averaging__last": 0, "run__save_every": 100}
    for size, steps in ((2, 3), (1, 5), (3, 6)):
        assert run_ranks(size, run_in, options(corpus, run, run__max_steps=steps, **common)) == [None] * size
    log = (run / "train.log").read_text()
    assert "processes: 2 before, 1 now): the run continues, but no longer bit for bit" in log
    assert "256 tokens on either side, 512 before" in log
    assert "batch.accumulation=2 would keep it" in log
    assert "processes: 1 before, 3 now" in log
    progress = json.loads((run / "state" / "step-00000006" / "progress.json").read_text())
    plan = int(log.partition(" batches per epoch")[0].rpartition(" ")[2])
    assert progress["place"]["epoch"] * plan + progress["place"]["batches"] == 3 * 2 + 2 * 1 + 1 * 3
    # processes that do not share the folder of the run: found before any work
    monkeypatch.setattr(changes, "_NEW_FILE_SECONDS", 0.2)
    settings = [options(corpus, tmp_path / name, run__max_steps=9, **common) for name in ("run", "elsewhere")]
    for error in run_ranks(2, run_in, *settings):
        assert "process 1 cannot see the folder that process 0 has opened; all processes need one that" in str(error)
    assert not (tmp_path / "elsewhere").exists()


def test_two_processes_resume_bit_for_bit(corpus, tmp_path):
    common = {"validation__every": 100, "averaging__last": 0, "run__save_every": 3, "schedule__name": "inverse_sqrt"}
    for run, bounds in (("resumed", (4, 7)), ("whole", (7,))):
        for steps in bounds:
            run_ranks(2, run_in, options(corpus, tmp_path / run, run__max_steps=steps, **common))
    assert "continuing from step 4" in (tmp_path / "resumed" / "train.log").read_text()
    resumed, whole = (load_weights(tmp_path / run / "last" / WEIGHTS) for run in ("resumed", "whole"))
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())
