"""Learning-rate schedules at points worked out by hand."""

from __future__ import annotations

import pytest

from translate.training.optimizer import ScheduleConfig, learning_rate_factor

WSD = {"name": "warmup_stable_decay", "warmup_steps": 100}
COSINE = {"name": "cosine", "warmup_steps": 100}
# settings, step, fraction of the run that is done, factor
POINTS = [
    # √(warm-up / step) after the peak; before it √(step / warm-up), where Vaswani et al. 2017 rise in a line
    ({"name": "inverse_sqrt", "warmup_steps": 400}, 1, 0.0, 0.05),
    ({"name": "inverse_sqrt", "warmup_steps": 400}, 100, 0.0, 0.5),
    ({"name": "inverse_sqrt", "warmup_steps": 400}, 400, 0.0, 1.0),
    ({"name": "inverse_sqrt", "warmup_steps": 400}, 1600, 0.9, 0.5),
    ({"name": "inverse_sqrt", "warmup_steps": 400}, 40_000, 1.0, 0.1),
    ({"name": "inverse_sqrt", "warmup_steps": 0}, 16, 0.0, 0.25),
    # a line to the peak, times half a cosine over the whole run: cos 60° = 1/2, cos 90° = 0, cos 120° = -1/2
    (COSINE, 10, 0.0, 0.1),
    (COSINE, 50, 1 / 3, 0.5 * 0.75),
    (COSINE, 100, 1 / 2, 0.5),
    (COSINE, 100, 2 / 3, 0.25),
    (COSINE, 100, 1.0, 0.0),
    (COSINE | {"final_factor": 0.2}, 100, 2 / 3, 0.2 + 0.8 / 4),
    # a line, flat, a line down over the last decay_share
    (WSD, 25, 0.1, 0.25),
    (WSD, 101, 0.1, 1.0),
    (WSD, 500, 0.79, 1.0),
    (WSD, 500, 0.85, 0.75),
    (WSD, 500, 0.95, 0.25),
    (WSD | {"final_factor": 0.1}, 500, 0.95, 0.1 + 0.9 / 4),
    (WSD | {"decay_share": 1.0}, 500, 0.3, 0.7),
    (WSD | {"decay_share": 0.0}, 500, 0.99, 1.0),
    # automatic warm-up: 10 % of a run of 500 updates is 50, of one of 50,000 the longest allowed
    ({"name": "warmup_stable_decay", "max_warmup_steps": 400}, 25, 0.05, 0.5),
    ({"name": "warmup_stable_decay", "max_warmup_steps": 400}, 100, 0.002, 0.25),
    ({"name": "warmup_stable_decay", "max_warmup_steps": 400}, 100, 0.0, 0.25),
    ({"name": "inverse_sqrt", "max_warmup_steps": 400}, 200, 0.4, 0.5),
]


@pytest.mark.parametrize(("settings", "step", "done", "expected"), POINTS, ids=str)
def test_schedule_has_the_computed_values(settings, step, done, expected):
    found = learning_rate_factor(ScheduleConfig(**settings), step=step, done=done)
    assert found == pytest.approx(expected, abs=1e-12)
