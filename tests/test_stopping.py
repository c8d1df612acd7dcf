"""Several processes agree on when to stop, but not after every update."""

import time

import pytest

from translate.distributed import World
from translate.training.config import RunConfig
from translate.training.progress import RunProgress
from translate.training.stopping import StopRequests, stop_reason, updates_between_agreements


class Two(World):
    """The main one of two processes; the other one adds nothing to sums."""

    exchanges = 0

    def sum(self, values):
        Two.exchanges += 1
        return values


class State:
    def __init__(self, step: int, seconds: float):
        self.progress = RunProgress(step=step, seconds=seconds)

    @property
    def step(self) -> int:
        return self.progress.step


@pytest.mark.parametrize(
    ("seconds_per_update", "expected"), [(10.0, 1), (0.1, 2), (0.05, 5), (0.001, 16)], ids=lambda x: str(x)
)
def test_agreements_are_a_quarter_of_a_second_apart(seconds_per_update, expected):
    progress = RunProgress(step=40, seconds=40 * seconds_per_update)
    assert updates_between_agreements(progress, Two(size=2)) == expected
    assert updates_between_agreements(progress, World()) == 1


def test_a_bound_on_updates_holds_between_agreements_and_time_is_that_of_the_last_one():
    Two.exchanges, run, requests = 0, RunConfig(max_steps=30, max_minutes=0), StopRequests()
    state, started = State(8, 0.08), time.monotonic() - 0.08
    seconds = []
    while not (reason := stop_reason(run, state, requests, None, Two(size=2), started=started)):
        seconds.append(state.progress.seconds)
        state.progress.step += 1
    assert (reason, state.step) == ("run.max_steps=30", 30)
    assert Two.exchanges == len(set(seconds)) == 2


def test_after_a_return_to_an_earlier_step_processes_agree_at_once():
    Two.exchanges, requests = 0, StopRequests()
    run, world, started = RunConfig(max_steps=1000), Two(size=2), time.monotonic() - 1
    for step in (500, 501, 100, 101):
        stop_reason(run, State(step, 1.0), requests, None, world, started=started)
    assert Two.exchanges == 2
