"""Several processes agree on when to stop, but not after every update."""

import pytest

from translate.distributed import World
from translate.signals import STOP_SIGNALS
from translate.training.config import RunConfig, TrainConfig
from translate.training.progress import RunProgress
from translate.training.stopping import StopRequests, stop_reason, updates_between_agreements
from translate.training.validation_config import ValidationConfig


class Two(World):
    """The main one of two processes; the other one adds nothing to sums, or an error."""

    exchanges, others_errors = 0, 0

    def sum(self, values):
        Two.exchanges += 1
        values[len(STOP_SIGNALS)] += Two.others_errors
        return values


class State:
    def __init__(self, step: int, seconds: float):
        self.progress = RunProgress(step=step, seconds=seconds)

    @property
    def step(self) -> int:
        return self.progress.step


class Session:
    """Updates of a session that began at step 8, each of them of so many seconds by the clock."""

    def __init__(self, clock, seconds: float, *, before: float = 0.5, every: int = 1000, max_steps: int = 0):
        Two.exchanges = Two.others_errors = 0
        self.config = TrainConfig(
            run=RunConfig(max_steps=max_steps, max_minutes=0), validation=ValidationConfig(every=every)
        )
        self.clock, self.seconds = clock, seconds
        self.state, self.requests = State(8, before), StopRequests()
        clock.now = before

    def reason(self) -> str:
        return stop_reason(self.config, self.state, self.requests, None, Two(size=2), started=0.0)

    def updates(self, number: int) -> str:
        """The first reason to stop, looked for before each of some updates."""
        for _ in range(number):
            if reason := self.reason():
                return reason
            self.state.progress.step += 1
            self.clock.now += self.seconds
        return ""


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    monkeypatch.setattr("translate.training.stopping.time", clock := Clock())
    return clock


@pytest.mark.parametrize(
    ("seconds_per_update", "expected"), [(10.0, 1), (0.1, 2), (0.045, 5), (0.001, 16), (0.0, 16)], ids=lambda x: str(x)
)
def test_agreements_are_a_quarter_of_a_second_apart(seconds_per_update, expected):
    assert updates_between_agreements(8, 8 * seconds_per_update, Two(size=2)) == expected
    assert updates_between_agreements(8, 8 * seconds_per_update, World()) == 1


def test_a_bound_on_updates_holds_between_agreements_and_time_is_that_of_the_last_one(clock):
    session = Session(clock, 0.01, max_steps=30)
    assert session.updates(100) == "run.max_steps=30"
    assert session.state.step == 30
    # before the first two updates, 16 updates later, and at the bound
    assert Two.exchanges == 4
    assert session.state.progress.seconds == clock.now


def test_a_session_that_is_slower_than_the_ones_before_agrees_after_each_update(clock):
    """A run of fast updates was continued where one takes ten seconds: a signal must not wait for sixteen of them."""
    session = Session(clock, 10.0, before=0.01)
    session.updates(20)
    assert Two.exchanges == 20


def test_after_a_return_to_an_earlier_step_processes_agree_at_once(clock):
    session = Session(clock, 0.001)
    session.state.progress.step = 500
    session.updates(3)
    before = Two.exchanges
    session.state.progress.step = 100
    session.updates(1)
    assert Two.exchanges == before + 1


@pytest.mark.parametrize("settings", [{"every": 20}, {"max_steps": 20}], ids=["validation", "bound"])
def test_an_error_of_another_process_is_known_after_a_validation_and_before_a_bound_ends_the_run(clock, settings):
    """The other process has not counted its failed validation: it must neither train on nor validate again alone."""
    session = Session(clock, 0.001, **settings)
    session.updates(12)
    assert session.state.step in session.requests.agreed
    Two.others_errors = 1
    assert session.updates(1) == "an error"
