"""Learning-rate schedules, by their formulas."""

from itertools import pairwise

import pytest

from translate.errors import UserError
from translate.training.optimizer import SCHEDULES, ScheduleConfig, learning_rate_factor


def factor(step, progress=0.0, **settings):
    return learning_rate_factor(ScheduleConfig(**settings), step=step, done=progress)


def test_warm_up_is_linear_in_every_schedule():
    for name in ("cosine", "warmup_stable_decay"):
        assert factor(25, name=name, warmup_steps=100) == pytest.approx(0.25)


def test_inverse_sqrt_peaks_at_the_end_of_the_warm_up_and_falls_with_the_root():
    values = {step: factor(step, name="inverse_sqrt", warmup_steps=100) for step in (50, 100, 400)}
    assert values[100] == 1.0
    assert values[400] == pytest.approx(0.5)
    assert max(factor(step, name="inverse_sqrt", warmup_steps=100) for step in range(1, 1000)) == 1.0


def test_cosine_falls_from_one_to_the_final_factor():
    settings = {"name": "cosine", "warmup_steps": 0, "final_factor": 0.1}
    assert factor(1, 0.0, **settings) == 1.0
    assert factor(1, 0.5, **settings) == pytest.approx(0.55)
    assert factor(1, 1.0, **settings) == pytest.approx(0.1)


def test_warmup_stable_decay_is_flat_then_linear():
    settings = {"name": "warmup_stable_decay", "warmup_steps": 0, "decay_share": 0.2}
    assert factor(1, 0.8, **settings) == pytest.approx(1.0)
    assert factor(1, 0.9, **settings) == pytest.approx(0.5)
    assert factor(1, 1.0, **settings) == pytest.approx(0.0)


def rates(steps, **settings):
    """Factors of all updates of a run of so many."""
    return [factor(step, (step - 1) / steps, **settings) for step in range(1, steps + 1)]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [10, 53, 249, 366])
def test_a_short_run_has_warmed_up_after_a_tenth(name, steps):
    """Runs of three minutes made 53 to 366 updates, and 400 of warm-up: they never reached a fifth of the rate."""
    found = rates(steps, name=name, max_warmup_steps=400)
    assert max(found) >= 0.85
    assert abs(found.index(max(found)) + 1 - steps / 10) < 2


@pytest.mark.parametrize("name", SCHEDULES)
def test_long_run_warms_up_for_the_configured_maximum(name):
    automatic, fixed = (rates(5000, name=name, **{key: 400}) for key in ("max_warmup_steps", "warmup_steps"))
    assert automatic == fixed


@pytest.mark.parametrize("name", SCHEDULES)
def test_configured_warm_up_is_kept(name):
    values = [factor(40, share, name=name, warmup_steps=400) for share in (0.0, 0.05)]
    assert max(values) < 0.33
    assert factor(400, 0.5, name="inverse_sqrt", warmup_steps=400) == 1.0


@pytest.mark.parametrize("name", SCHEDULES)
def test_unbounded_run_warms_up_for_the_configured_length(name):
    """A run that patience alone ends has no share: it stays 0."""
    assert [factor(step, name=name, max_warmup_steps=40) for step in range(1, 100)] == [
        factor(step, name=name, warmup_steps=40) for step in range(1, 100)
    ]


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rate_changes_by_less_than_a_tenth_per_update(name):
    """By the clock, too: the share of a run of minutes goes faster and slower than its updates."""
    shares = [0.0]
    for step in range(2000):
        shares.append(min(1.0, shares[-1] + (1 / 1500 if step % 400 < 200 else 1 / 6000)))
    found = [factor(step, share, name=name, max_warmup_steps=150) for step, share in enumerate(shares, start=1)]
    assert max(abs(after - before) for before, after in pairwise(found)) < 0.1
    assert max(found) <= 1


@pytest.mark.parametrize(
    "settings", [{"name": "linear"}, {"warmup_steps": -1}, {"max_warmup_steps": -1}, {"decay_share": 1.5}]
)
def test_wrong_settings_raise_user_errors(settings):
    with pytest.raises(UserError, match=r"schedule\."):
        ScheduleConfig(**settings).check()
