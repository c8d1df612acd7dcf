"""Updates that are recorded once for each shape and repeated are those of train_step."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from recorders import Repeating, Tape
from small_runs import ON_CPU, update_config
from translate.batch import Batch, pack_batch, pad_batch
from translate.device import Precision
from translate.distributed import World
from translate.gpu_check.launches import work_of
from translate.gpu_check.simulated_gpu import _as_fake, simulated_gpu
from translate.gpu_check.updates import example_batch
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.training import graphed, loss_scale
from translate.training.graphed import GraphedUpdates, obstacle, shape_of
from translate.training.loss_scale import LossScale
from translate.training.optimizer import OptimizerConfig, OptimizerName, make_optimizer
from translate.training.parallel import ParallelModel, parallelize
from translate.training.spikes import SpikeLimits
from translate.training.update_ways import Workload
from translate.training.weight_casts import WeightCasts

ALONE = World()
# exact in fp32, in which a recorded update reads it
RATES = [2.0**-power for power in (9, 8, 7, 6, 5, 6, 7, 8)]


def workload(
    precision: Precision = Precision.fp32,
    *,
    architecture: str = "transformer",
    dropout: float = 0.0,
    world: World = ALONE,
) -> Workload:
    torch.manual_seed(0)
    config = ARCHITECTURES[architecture][0].tiny(d_model=16, max_length=20, dropout=dropout)
    model = parallelize(build_model(config, Vocabularies(40, 40, shared=True)), world, ON_CPU)
    scale = LossScale(torch.device("cpu")) if precision is Precision.fp16 else None
    model = replace(model, precision=precision, loss_scale=scale)
    optimizer = make_optimizer(model.module, OptimizerConfig())
    return Workload(model, optimizer, update_config(clip_norm=0.5), world)


def batch(seed: int, *, length: int = 8, packed: bool = False) -> Batch:
    """Pairs of random lengths, the longest of which have `length` tokens."""
    random = np.random.default_rng(seed)
    sides = [[random.integers(4, 40, n) for n in (length, *random.integers(1, length, 5))] for _ in range(2)]
    return pack_batch(*sides, tokens=96) if packed else pad_batch(*sides)


def train(work: Workload, make_update, batches, *, random: int = 1):
    """Results of an update of each batch; the fourth is above the limit of the norm."""
    torch.manual_seed(random)
    results = []
    for step, each in enumerate(batches, start=1):
        for group in work.optimizer.param_groups:
            group["lr"] = RATES[step % len(RATES)]
        most = SpikeLimits(gradient_norm=0.0 if step == 4 else 1e9, loss=1e300)
        batches_of_update = each if isinstance(each, list) else [each]
        results.append(make_update(batches_of_update, step=step, limits=lambda tokens, most=most: most))
    return [result.result() for result in results]


def everything_of(work: Workload):
    """The tensors that an update changes."""
    scale = work.model.loss_scale
    yield from (x.detach() for x in work.model.module.parameters())
    yield from (x for values in work.optimizer.state.values() for x in values.values())
    yield from [] if scale is None else [scale.factor, scale.finite]


def assert_equal(work: Workload, expected: Workload) -> None:
    for found, other in zip(everything_of(work), everything_of(expected), strict=True):
        assert torch.equal(found, other)


@pytest.mark.parametrize("precision", [Precision.fp32, Precision.bf16, Precision.fp16])
def test_replayed_operations_are_the_updates_of_other_batches_rates_and_limits(precision, monkeypatch):
    """On fixed tensors, with the constants of the recording: nothing that differs is left to Python."""
    monkeypatch.setattr(loss_scale, "GROWTH_INTERVAL", 2)
    plain, work = workload(precision), workload(precision)
    batches = [batch(seed, length=8 if seed % 3 else 11) for seed in range(9)]
    assert len({each.num_target_tokens for each in batches}) > 5
    expected = train(plain, plain.plain(), batches)
    updates = GraphedUpdates(work, Tape(lambda: [*everything_of(work), updates._numbers]))
    assert train(work, updates, batches) == expected
    assert_equal(work, plain)
    assert len(updates._graphs) == 2
    assert expected[3].spiked
    if precision is Precision.fp16:
        assert len({result.loss_scale for result in expected}) > 1


@pytest.mark.parametrize("packed", [False, True])
def test_repeated_updates_draw_as_plain_ones_and_further_shapes_are_computed_alike(packed, monkeypatch):
    monkeypatch.setattr(graphed, "MOST_GRAPHS", 2)
    plain, work = workload(dropout=0.2), workload(dropout=0.2)
    batches = [batch(seed, length=(3, 9, 17)[seed % 3], packed=packed) for seed in range(9)]
    assert len({shape_of(each) for each in batches}) == 3
    recorder = Repeating()
    updates = GraphedUpdates(work, recorder)
    assert train(work, updates, batches) == train(plain, plain.plain(), batches)
    assert_equal(work, plain)
    assert recorder.recordings == 2 < recorder.replays < 7


def test_batches_of_several_shapes_make_one_update():
    plain, work = workload(), workload()
    pairs = [[batch(2 * seed), batch(2 * seed + 1, length=11)] for seed in range(3)]
    recorder = Repeating()
    updates = GraphedUpdates(work, recorder)
    assert train(work, updates, pairs) == train(plain, plain.plain(), pairs)
    assert_equal(work, plain)
    assert recorder.replays == 2


def test_loading_a_state_drops_the_graphs_whose_tensors_it_replaces():
    plain, work = workload(), workload()
    recorder = Repeating()
    updates = GraphedUpdates(work, recorder)
    batches = [batch(seed) for seed in range(4)]
    train(work, updates, batches)
    train(plain, plain.plain(), batches)
    for each in (work, plain):
        each.optimizer.load_state_dict(each.optimizer.state_dict())
    assert train(work, updates, batches) == train(plain, plain.plain(), batches)
    assert recorder.recordings == 2
    updates.close()
    assert not updates._graphs


def test_without_labels_or_whole_batches_updates_are_plain():
    plain, work = workload(), workload()
    large = batch(0, length=12)
    for each in (work, plain):
        each.model.memory.too_large = [large.shape]
    batches = [batch(1), batch(2).without_labels(), large]
    recorder = Repeating()
    assert train(work, GraphedUpdates(work, recorder), batches) == train(plain, plain.plain(), batches)
    assert_equal(work, plain)
    assert recorder.recordings == 1


class Failing(Repeating):
    """Fails at the second recording."""

    def record(self, work):
        if self.recordings:
            raise RuntimeError("CUDA error: operation not permitted\nmore")
        return super().record(work)


def test_after_a_recording_that_fails_updates_are_plain(caplog):
    plain, work = workload(dropout=0.1), workload(dropout=0.1)
    batches = [batch(seed, length=8 + seed // 2) for seed in range(6)]
    updates = GraphedUpdates(work, Failing())
    with caplog.at_level(logging.WARNING):
        assert train(work, updates, batches) == train(plain, plain.plain(), batches)
    assert_equal(work, plain)
    assert "they cannot be recorded: CUDA error: operation not permitted; updates" in caplog.text
    assert caplog.text.count("in eager mode from here on") == 1
    assert not updates._graphs
    with pytest.raises(RuntimeError, match="CUDA"):
        train(work, GraphedUpdates(replace(work, is_trial=True), Failing()), batches)


def test_where_memory_for_graphs_is_short_the_update_is_repeated_without_them(monkeypatch, caplog):
    plain, work = workload(dropout=0.1), workload(dropout=0.1)
    batches = [batch(seed, length=8 + seed // 2) for seed in range(6)]
    updates, compute, calls = GraphedUpdates(work, Repeating()), GraphedUpdates._compute, []

    def fail(self, batches):
        calls.append(len(calls))
        if len(calls) == 3:
            torch.rand(1000)  # part of the work is done
            raise RuntimeError("CUDA out of memory")
        compute(self, batches)

    monkeypatch.setattr(GraphedUpdates, "_compute", fail)
    with caplog.at_level(logging.WARNING):
        assert train(work, updates, batches) == train(plain, plain.plain(), batches)
    assert_equal(work, plain)
    assert "does not fit into memory beside them" in caplog.text
    assert len(calls) == 3


class Idle(Repeating):
    """Repeats nothing, as a graph's kernels are launched at once."""

    def record(self, work):
        return lambda: None


def test_a_recorded_update_reads_nothing_on_the_host_and_a_replay_launches_copies_alone(monkeypatch):
    """On a simulated GPU, in bf16 and packed."""
    monkeypatch.setattr(graphed, "copy_to_cpu", lambda numbers: (numbers, None))
    with simulated_gpu() as mode:
        model = build_model(ARCHITECTURES["transformer"][0].tiny(dropout=0.1), Vocabularies(40, 40, shared=True))
        casts = WeightCasts(model, torch.bfloat16, overlapping=False)
        trained = ParallelModel(model.train(), model, torch.device("cpu"), Precision.bf16, casts=casts)
        optimizer = make_optimizer(model, OptimizerConfig())
        updates = GraphedUpdates(Workload(trained, optimizer, update_config(), ALONE), Idle())
        batches = [_as_fake(example_batch(512, vocabulary=40), mode)]
        first, replayed = (work_of(partial(updates, batches, step=step)) for step in (1, 2))
    assert first.host_reads == replayed.host_reads == []
    assert first.launches > 200
    # four numbers; ids, positions and offsets of both sides, labels; the result
    assert replayed.by_name() == {"fill_": 4, "copy_": 7, "clone": 1}


def test_what_cannot_be_recorded_is_named():
    assert obstacle(workload()) == ""
    work = workload()
    assert "several processes" in obstacle(replace(work, world=World(0, 2)))
    losses = replace(work.config, auxiliary={"r_drop": AUXILIARY_LOSSES["r_drop"][0](start=0.5)})
    assert "auxiliary losses" in obstacle(replace(work, config=losses))
    muon = replace(work.config, optimizer=OptimizerConfig(name=OptimizerName.muon))
    assert "Muon" in obstacle(replace(work, config=muon))
    assert "on the CPU" in obstacle(workload(architecture="lstm"))
