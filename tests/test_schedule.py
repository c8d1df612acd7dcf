"""Learning-rate schedules, by their formulas."""

import math

import pytest

from translate.errors import UserError
from translate.training.schedule import ScheduleConfig, check_schedule, learning_rate_factor


def factor(step, progress=0.0, **settings):
    return learning_rate_factor(ScheduleConfig(**settings), step=step, progress=progress)


def test_warm_up_is_linear_whatever_follows():
    for name in ("cosine", "warmup_stable_decay"):
        assert factor(25, name=name, warmup_steps=100) == pytest.approx(0.25)


def test_inverse_sqrt_peaks_at_the_end_of_the_warm_up_and_falls_with_the_root():
    values = {step: factor(step, name="inverse_sqrt", warmup_steps=100) for step in (50, 100, 400)}
    assert values[100] == 1.0
    assert values[400] == pytest.approx(0.5)
    assert max(factor(step, name="inverse_sqrt", warmup_steps=100) for step in range(1, 1000)) == 1.0


def test_cosine_goes_from_one_to_the_final_factor():
    settings = {"name": "cosine", "warmup_steps": 0, "final_factor": 0.1}
    assert factor(1, 0.0, **settings) == 1.0
    assert factor(1, 0.5, **settings) == pytest.approx(0.55)
    assert factor(1, 1.0, **settings) == pytest.approx(0.1)


def test_warmup_stable_decay_is_flat_then_linear():
    settings = {"name": "warmup_stable_decay", "warmup_steps": 0, "decay_share": 0.2}
    assert factor(1, 0.8, **settings) == pytest.approx(1.0)
    assert factor(1, 0.9, **settings) == pytest.approx(0.5)
    assert factor(1, 1.0, **settings) == pytest.approx(0.0)


def test_no_schedule_ever_leaves_zero_to_one():
    for name in ("inverse_sqrt", "cosine", "warmup_stable_decay"):
        for step in range(1, 500):
            value = factor(step, step / 500, name=name, warmup_steps=40)
            assert 0 <= value <= 1
            assert math.isfinite(value)


@pytest.mark.parametrize("settings", [{"name": "linear"}, {"warmup_steps": -1}, {"decay_share": 1.5}])
def test_nonsense_is_refused(settings):
    with pytest.raises(UserError, match=r"schedule\."):
        check_schedule(ScheduleConfig(**settings))
