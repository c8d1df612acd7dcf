"""Runs that recover from divergence: with another order of the data, then at half the rate, then not at all."""

import json
import math
import os
import random
import signal
from contextlib import suppress

import pytest
import torch
from test_loader import make_stream
from test_update import ALONE, batches_of, make_model

from event_files import curves
from forked import call_in_fork
from forked_ranks import run_ranks
from small_runs import update_config, write_corpus
from stored_runs import FLAT, assert_identical, log_of, states, train_here
from translate.data.loader import DataPosition
from translate.errors import DivergedError
from translate.text import read_lines
from translate.training import spikes
from translate.training import step as step_module
from translate.training.spikes import SpikeLimits, spike_limits
from translate.training.step import train_step

TRAIN_STEP = step_module.train_step
QUICK = {**FLAT, "run__max_skipped": 3, "model__dropout": 0.1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=200)


def plant(monkeypatch, *, steps, factor=math.nan, visits=1, seen=None, rank=None):
    """Multiply a gradient in these steps by a factor, at so many visits of each; seen: gets the batches of all."""
    count = {}

    def planted(model, optimizer, batches, config, world, *, step, **settings):
        count[step] = count.get(step, 0) + 1
        if seen is not None:
            seen.append((step, batches))
        if step not in steps or count[step] > visits or rank not in (None, world.rank):
            return TRAIN_STEP(model, optimizer, batches, config, world, step=step, **settings)
        handle = next(model.module.parameters()).register_hook(lambda gradient: gradient * factor)
        pending = TRAIN_STEP(model, optimizer, batches, config, world, step=step, **settings)
        handle.remove()
        return pending

    monkeypatch.setattr(step_module, "train_step", planted)
    return count


def progress_of(folder, step=10):
    return json.loads((folder / "state" / f"step-{step:08}" / "progress.json").read_text())


def scalars(folder, tag):
    return curves(folder)[tag]


def test_trouble_leads_back_to_the_last_good_state_and_another_order(corpus, tmp_path, monkeypatch):
    seen = []
    plant(monkeypatch, steps=(7, 8, 9), seen=seen)
    train_here(corpus, tmp_path, **QUICK)
    log = log_of(tmp_path)
    assert (
        "step 9: training has diverged: the loss or gradient was not finite in 3 updates in a row; "
        "back to step 5 with another order of the data (return 1 of 3, recovery.roll_backs)" in log
    )
    assert "updates skipped: 3; returns to an earlier state: 1" in log
    progress = progress_of(tmp_path)
    assert (progress["roll_backs"], progress["roll_backs_in_a_row"], progress["place"]["order"]) == (1, 1, 1)
    assert (progress["skipped"], progress["skipped_in_a_row"], progress["rate_factor"]) == (3, 0, 1.0)
    assert [step for step, _ in seen] == [*range(1, 10), *range(6, 11)]
    first, again = (next(batches for step, batches in part if step == 6) for part in (seen[:9], seen[9:]))
    assert not torch.equal(first[0].source.ids, again[0].source.ids)
    assert scalars(tmp_path, "train/roll_backs")[10] == 1
    assert sorted(scalars(tmp_path, "loss/train")) == list(range(1, 11))


def test_the_second_return_halves_the_rate(corpus, tmp_path, monkeypatch):
    plant(monkeypatch, steps=(7, 8, 9), visits=2)
    train_here(corpus, tmp_path / "run", **QUICK)
    monkeypatch.undo()
    train_here(corpus, tmp_path / "undisturbed", **QUICK)
    rates = [scalars(folder, "train/learning_rate")[10] for folder in (tmp_path / "run", tmp_path / "undisturbed")]
    assert rates[0] == pytest.approx(rates[1] / 2)
    assert "and 0.5 of the learning rate (return 2 of 3" in log_of(tmp_path / "run")
    assert progress_of(tmp_path / "run")["rate_factor"] == 0.5


def test_before_the_first_state_training_returns_to_its_start(corpus, tmp_path, monkeypatch):
    plant(monkeypatch, steps=(2, 3, 4))
    train_here(corpus, tmp_path, **QUICK)
    assert "back to step 0 with another order of the data" in log_of(tmp_path)
    assert progress_of(tmp_path)["roll_backs"] == 1


def test_after_the_last_return_the_error_names_the_pairs(corpus, tmp_path, monkeypatch):
    seen = []
    plant(monkeypatch, steps=(7, 8, 9), visits=9, seen=seen)
    with pytest.raises(DivergedError, match=r"not finite in 3 updates in a row .*after 2 returns") as error:
        train_here(corpus, tmp_path, **QUICK, recovery__roll_backs=2)
    assert str(tmp_path / "diverged.tsv") in str(error.value)
    assert "optimizer.learning_rate=0.000625 continues from step 5" in str(error.value), "a quarter of half of 5e-3"
    header, *rows = [line.split("\t") for line in read_lines(tmp_path / "diverged.tsv")]
    assert header == ["step", "batch", "pair", "source_tokens", "target_tokens", "source", "target"]
    [batch] = [batches for step, batches in seen if step == 7][-1]
    assert sum(int(row[3]) + 1 for row in rows) == batch.num_source_tokens
    assert sum(int(row[4]) + 1 for row in rows) == batch.num_target_tokens
    pairs = set(zip(read_lines(corpus / "train.src"), read_lines(corpus / "train.tgt"), strict=True))
    assert {(row[5], row[6]) for row in rows} <= pairs
    # with a lower rate, the returns are counted anew
    monkeypatch.undo()
    train_here(corpus, tmp_path, **QUICK, recovery__roll_backs=2, optimizer__learning_rate=1e-3)
    assert (progress_of(tmp_path)["roll_backs_in_a_row"], progress_of(tmp_path)["rate_factor"]) == (0, 1.0)


def test_trouble_at_the_end_of_a_run_is_an_error(corpus, tmp_path, monkeypatch):
    plant(monkeypatch, steps=(8, 9, 10))
    rare = {"run__log_every": 100, "validation__every": 100, "run__save_every": 6}
    with pytest.raises(DivergedError, match="continues from step 6"):
        train_here(corpus, tmp_path, **QUICK, **rare)


def test_a_run_killed_after_its_return_recovers_in_the_same_way(corpus, tmp_path, monkeypatch):
    plant(monkeypatch, steps=(7, 8, 9), visits=2)
    train_here(corpus, tmp_path / "whole", **QUICK)

    def train_until_killed():
        count = plant(monkeypatch, steps=(7, 8, 9), visits=2)
        planted = step_module.train_step

        def killed(*arguments, step, **settings):
            # at the third visit, when the state of the second return is on disk
            if count.get(step, 0) == 2 and step == 7:
                while not was_saved_after_two_returns():
                    pass
                os.kill(os.getpid(), signal.SIGKILL)
            return planted(*arguments, step=step, **settings)

        def was_saved_after_two_returns():
            with suppress(FileNotFoundError):  # while a state of the same step is replaced
                return progress_of(tmp_path / "parts", 5)["roll_backs"] == 2
            return False

        monkeypatch.setattr(step_module, "train_step", killed)
        train_here(corpus, tmp_path / "parts", **QUICK)

    assert call_in_fork(train_until_killed) == -signal.SIGKILL
    assert "step-00000005" in states(tmp_path / "parts")
    monkeypatch.undo()
    train_here(corpus, tmp_path / "parts", **QUICK)
    assert_identical(tmp_path / "whole", tmp_path / "parts")
    one, other = progress_of(tmp_path / "whole"), progress_of(tmp_path / "parts")
    assert one.pop("seconds") != other.pop("seconds")
    assert one == other
    assert (one["roll_backs"], one["rate_factor"], one["place"]["order"]) == (2, 0.5, 2)


def test_a_planted_spike_is_skipped_and_nothing_else(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(spikes, "LEAST_UPDATES", 6)
    plant(monkeypatch, steps=(15,), factor=1e9)
    train_here(corpus, tmp_path, **FLAT, run__max_steps=30)
    progress = progress_of(tmp_path, 30)
    assert (progress["spikes"], progress["skipped"], progress["roll_backs"]) == (1, 1, 0)
    assert "was far above the recent ones; the update is skipped (1 so far)" in log_of(tmp_path)
    assert scalars(tmp_path, "train/spikes")[30] == 1


def test_a_loss_that_begins_later_is_no_spike(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(spikes, "LEAST_UPDATES", 6)
    settings = {"auxiliary": "[guided_attention]", "auxiliary__guided_attention__weight": 1e9}
    train_here(corpus, tmp_path, **FLAT, **settings, auxiliary__guided_attention__start=0.5, run__max_steps=30)
    norms = scalars(tmp_path, "train/gradient_norm")
    assert norms[20] > 1e6 * norms[14]
    progress = progress_of(tmp_path, 30)
    assert (progress["skipped"], progress["kind"], progress["kind_since"]) == (0, [0, 1], 16)


def test_losses_above_guessing_for_long_are_trouble(corpus, tmp_path):
    blown_up = {"optimizer__learning_rate": 30.0, "optimizer__clip_norm": 0, "schedule__warmup_steps": 0}
    with pytest.raises(DivergedError, match="above twice that of uniform guessing in 3 updates in a row"):
        train_here(corpus, tmp_path, **blown_up, run__max_skipped=3, recovery__roll_backs=1, run__max_steps=60)
    assert "(return 1 of 1, recovery.roll_backs)" in log_of(tmp_path)


@pytest.mark.parametrize("limits", [SpikeLimits(gradient_norm=1e-3), SpikeLimits(loss=1e-3)])
def test_an_update_above_a_limit_changes_nothing(limits):
    trained = make_model()
    before = {name: x.detach().clone() for name, x in trained.module.named_parameters()}
    optimizer = torch.optim.AdamW(trained.module.parameters(), fused=True)
    result = train_step(
        trained, optimizer, batches_of(8), update_config(), ALONE, step=1, limits=lambda tokens: limits
    ).result()
    assert (result.spiked, result.skipped, result.diverged) == (True, True, True)
    assert all(torch.equal(weight, before[name]) for name, weight in trained.module.named_parameters())


def ordinary(count, *, tokens=1000):
    """Results of noisy updates whose loss and gradient norm fall."""
    draw = random.Random(0)
    return [
        [step, tokens, 8 * math.exp(draw.gauss(-step / 1000, 0.1)), 3 * math.exp(draw.gauss(-step / 500, 0.5))]
        for step in range(count)
    ]


def test_ordinary_noise_is_below_the_limits():
    results = ordinary(2000)
    for step in range(60, 2000):
        limits = spike_limits(results[max(0, step - 101) : step - 1], 8.0, 1000)
        assert results[step][2] < limits.loss
        assert results[step][3] < limits.gradient_norm


def test_limits_are_distances_from_the_median():
    results = [[step, 1000, 1.0, 2.0 if step % 2 else 1 / 2.0] for step in range(99)] + [[99, 1000, math.e - 1, 1e9]]
    limits = spike_limits(results, 5.0, 1000)
    assert limits.loss == pytest.approx(2 * math.exp(5.0 * 0.05) - 1), "the least deviation; the spike moves nothing"
    # half of the norms lie a factor of 4 above the other half
    middle, deviation = 0.0, 1.4826 * math.log(2)
    assert limits.gradient_norm == pytest.approx(math.exp(middle + 5.0 * deviation), rel=0.5)
    few = spike_limits(results, 5.0, 250)
    assert few.loss == pytest.approx(2 * math.exp(10.0 * 0.05) - 1), "a quarter of the tokens is twice as noisy"
    nothing = SpikeLimits(math.inf, math.inf)
    assert spike_limits(results, 0.0, 1000) == spike_limits(results[:49], 5.0, 1000) == nothing


def test_another_order_is_another_plan_of_the_same_pairs():
    stream = make_stream()
    first, second = (stream.plan(DataPosition(order=order)) for order in (0, 1))
    orders = [[int(pair) for batch in plan for pair in batch.pairs] for plan in (first, second)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_two_processes_recover_alike(corpus, tmp_path, monkeypatch):
    plant(monkeypatch, steps=(7, 8, 9), visits=1, rank=1)
    assert run_ranks(2, lambda rank: train_here(corpus, tmp_path, **QUICK) is not None) == [True, True]
    progress = progress_of(tmp_path)
    assert (progress["roll_backs"], progress["skipped"]) == (1, 3)
    assert log_of(tmp_path).count("back to step 5 with another order") == 1
