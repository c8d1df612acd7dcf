"""compute.fast_path: trials that leave no trace, a verdict that is reused, and runs that resume exactly in each way."""

from __future__ import annotations

import copy
import json
import signal
import time
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from test_graphed import batch, everything_of, workload

from forked_ranks import run_ranks
from recorders import Repeating
from small_runs import composed, options, write_corpus
from translate import train as train_page
from translate.checkpoint import load_weights
from translate.data.loader import DataPosition, Update
from translate.distributed import join_world
from translate.errors import UserError
from translate.training import fast_path, update_ways
from translate.training.compute_config import FastPath
from translate.training.config import RunConfig
from translate.training.fast_path import worth_trying
from translate.training.path_trials import Outcome, PathTrials
from translate.training.progress import RunProgress
from translate.training.state import TrainState
from translate.training.trial_updates import seconds_per_token
from translate.training.update_ways import CANDIDATES, compiled, compiled_and_recorded, eager, probable_way, recorded

SETTINGS = {
    "compute__fast_path": "auto",
    "validation__every": 1000,
    "validation__attention_maps": 0,
    "run__save_every": 2,
    "run__max_steps": 6,
    "averaging__last": 0,
    "data__test__source": None,
    "data__test__target": None,
    "model__dropout": 0.1,
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=200)


def train_here(corpus, folder, until=6, **changes) -> str:
    """Train, or continue, a run of six updates, in a session that ends after `until`; its log."""

    def stop_reason(run, state, *others, **settings):
        reason = before(run, state, *others, **settings)
        return "enough" if state.step >= until else reason

    before = train_page.stop_reason
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_page, "stop_reason", stop_reason)
        train_page.train(composed(options(corpus, folder, **{**SETTINGS, **changes})))
    return (folder / "train.log").read_text(encoding="utf-8")


def state_of(folder, step):
    """Everything in the state after a step: weights, average, optimizer, generators."""
    state = folder / "state" / f"step-{step:08d}"
    training = torch.load(state / "training.pt", weights_only=True)
    optimizer = [value for values in training["optimizer"]["state"].values() for value in values.values()]
    weights = [
        *load_weights(state / "weights.safetensors").values(),
        *load_weights(state / "average.safetensors").values(),
    ]
    return [*weights, *optimizer, training["random"][0]["cpu"]]


def assert_same_state(folder, other, step):
    for found, expected in zip(state_of(folder, step), state_of(other, step), strict=True):
        assert torch.equal(found, expected)


def loss_of(folder):
    return json.loads((folder / "state" / "step-00000006" / "progress.json").read_text(encoding="utf-8"))["loss"]


def verdict_of(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8")).get("fast_path")


@contextmanager
def wrong(workload):
    """Gradients that are one hundredth too large."""
    hooks = [x.register_hook(lambda gradient: 1.01 * gradient) for x in workload.model.module.parameters()]
    try:
        yield workload.plain()
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def broken(workload):
    def fail(batches, *, step, **options):
        pending = workload.plain()(batches, step=step, **options)
        if step == 3:
            workload.model.module.projection.weight.grad = torch.ones_like(workload.model.module.projection.weight)
            raise RuntimeError("no kernel image is available\nfor execution on the device")
        return pending

    yield fail


@contextmanager
def slow(workload):
    def make_update(batches, **options):
        time.sleep(0.03)
        return workload.plain()(batches, **options)

    yield make_update


@contextmanager
def hanging(workload):
    def make_update(batches, **options):
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # ten minutes are over soon
        time.sleep(60)

    yield make_update


@contextmanager
def other_draws(workload):
    """Other masks than eager mode's, as in compiled code."""

    def make_update(batches, **options):
        torch.rand(1)
        return workload.plain()(batches, **options)

    yield make_update


@contextmanager
def careless(workload):
    with wrong(workload), other_draws(workload) as make_update:
        yield make_update


GRAPHED = partial(recorded, recorder=Repeating())


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """auto tries the ways on the CPU; there are few updates, for speed."""

    def decide(config):
        decision = decide_run(config)
        return replace(decision, capabilities=replace(decision.capabilities, on_gpu=True))

    decide_run = train_page.decide_run
    monkeypatch.setattr(train_page, "decide_run", decide)
    monkeypatch.setattr(fast_path, "UPDATES", 4)
    monkeypatch.setattr(fast_path, "FEW_UPDATES", 1)
    monkeypatch.setattr(fast_path, "SHORT_UPDATES", 1)


@pytest.fixture(scope="module")
def plain(corpus, tmp_path_factory):
    """A run in eager mode, continued once: auto on a CPU tries nothing."""
    folder = tmp_path_factory.mktemp("plain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fast_path, "CANDIDATES", {"eager": eager})
        patch.setattr(PathTrials, "run", lambda trials: pytest.fail("trials on a CPU"))
        log = train_here(corpus, folder, until=4)
        train_here(corpus, folder)
    assert "fast path" not in log
    assert verdict_of(folder) is None
    return folder


def test_trials_leave_no_trace_and_their_verdict_is_reused(corpus, plain, tmp_path, monkeypatch, as_on_a_gpu):
    folder = tmp_path / "run"
    ways = {"eager": eager, "wrong": wrong, "broken": broken, "slow": slow, "hanging": hanging, "redrawn": other_draws}
    monkeypatch.setattr(fast_path, "CANDIDATES", {**ways, "careless": careless, "graphed": GRAPHED})
    monkeypatch.setattr(fast_path, "MARGIN", 0.0)  # none is much faster: the choice is eager mode
    log = train_here(corpus, folder, until=4)
    assert_same_state(folder, plain, 4)
    verdict = verdict_of(folder)
    assert verdict["choice"] == "eager"
    assert verdict["milliseconds"].keys() == {"eager", "slow", "redrawn", "graphed"}
    assert verdict["milliseconds"]["slow"] > 30
    reasons = verdict["left_out"]
    assert reasons.keys() == {"wrong", "broken", "hanging", "careless"}
    assert "the gradient norm differs from eager mode's by 0.01 on average" in reasons["wrong"]
    assert reasons["broken"].startswith("RuntimeError: no kernel image is available")
    assert reasons["hanging"] == "not done after 600 s"
    assert reasons["careless"].startswith("without dropout, the gradient norm differs")
    assert "fast path: eager (eager " in log
    assert f"left out: wrong ({reasons['wrong']}); broken (RuntimeError" in log

    monkeypatch.setattr(PathTrials, "run", lambda trials: pytest.fail("tried again on the same device"))
    log = train_here(corpus, folder)
    assert log.count("fast path: eager, as tried before on this device") == 1
    assert_same_state(folder, plain, 6)
    assert verdict_of(folder) == verdict


def test_another_device_is_named_and_the_ways_are_tried_again(corpus, plain, tmp_path, monkeypatch, as_on_a_gpu):
    folder, provenance = tmp_path / "run", fast_path.provenance
    monkeypatch.setattr(fast_path, "provenance", lambda: provenance() | {"hardware": "NVIDIA T4", "torch": "2.11"})
    monkeypatch.setattr(fast_path, "CANDIDATES", {"eager": eager, "graphed": GRAPHED})
    monkeypatch.setattr(fast_path, "MARGIN", 0.0)
    train_here(corpus, folder, until=4)
    assert verdict_of(folder)["device"] == "NVIDIA T4"
    monkeypatch.setattr(fast_path, "provenance", lambda: provenance() | {"hardware": "NVIDIA H100"})
    log = train_here(corpus, folder)
    version = provenance()["torch"]
    named = f"was for other conditions (device: NVIDIA T4 before, NVIDIA H100 now; torch: 2.11 before, {version} now)"
    assert named in log
    assert verdict_of(folder)["device"] == "NVIDIA H100"
    # from the restored state, to which the trials returned
    assert_same_state(folder, plain, 6)


@pytest.mark.parametrize(
    "way",
    [
        GRAPHED,
        partial(compiled, backend="eager"),
        partial(compiled_and_recorded, recorder=Repeating(), backend="eager"),
    ],
    ids=["graphed", "compiled", "compiled_graphed"],
)
def test_a_resumed_run_equals_the_undisturbed_one_in_each_way(corpus, plain, tmp_path, monkeypatch, request, way):
    name = request.node.callspec.id
    monkeypatch.setattr(fast_path, "CANDIDATES", {name: way})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    settings = {"compute__fast_path": name}
    train_here(corpus, whole, **settings)
    train_here(corpus, parts, until=4, **settings)
    assert "continuing from step 4" in train_here(corpus, parts, **settings)
    assert_same_state(parts, whole, 6)
    # a graph reads its learning rate in fp32; compiled code draws other dropout masks
    assert loss_of(whole) == pytest.approx(loss_of(plain), rel=1e-3 if name == "graphed" else 1e-2)


def test_compiled_updates_are_found_right_and_wrong_ones_are_not():
    """With dynamo alone, which makes the operations of eager mode."""
    work = workload()
    graphs_of_fused = partial(compiled_and_recorded, recorder=Repeating(), backend="eager")
    ways = {"eager": eager, "compiled": partial(compiled, backend="eager"), "both": graphs_of_fused, "wrong": wrong}
    state = TrainState(work.model, work.optimizer, ema_decay=0.9)
    updates = [Update([batch(seed)], DataPosition(batches=seed), 0.1 * seed) for seed in range(6)]
    before = copy.deepcopy([x.detach() for x in everything_of(work)])
    outcomes = PathTrials(ways, work, state, updates).run()
    assert [name for name, outcome in outcomes.items() if outcome.reason] == ["wrong"]
    assert outcomes["wrong"].reason.startswith("the gradient norm differs from eager mode's by 0.01 on average")
    for weight, expected in zip(everything_of(work), before, strict=True):
        assert torch.equal(weight, expected)
    assert state.step == 0


def test_a_way_is_not_tried_beside_a_better_one_that_is_right():
    def never(workload):
        pytest.fail("tried")

    work = workload()
    state = TrainState(work.model, work.optimizer, ema_decay=0.9)
    updates = [Update([batch(seed)], DataPosition(batches=seed), 0.1 * seed) for seed in range(3)]
    ways = {"eager": eager, "wrong": wrong, "graphed": GRAPHED, "compiled": never, "slow": slow}
    outcomes = PathTrials(ways, work, state, updates, {"compiled": "graphed", "slow": "wrong"}).run()
    assert outcomes["compiled"].reason == "graphed computes the same with fewer launches"
    assert {name for name, outcome in outcomes.items() if not outcome.reason} == {"eager", "graphed", "slow"}


def test_what_is_left_of_a_run_decides_which_ways_are_worth_trying():
    without_compiler = ["eager", "graphed"]
    for run, progress, expected in [
        (RunConfig(max_steps=199), RunProgress(), ["eager"]),
        (RunConfig(max_minutes=0.9), RunProgress(), ["eager"]),
        (RunConfig(max_steps=999), RunProgress(), without_compiler),
        (RunConfig(max_steps=100_000), RunProgress(), list(CANDIDATES)),
        (RunConfig(max_steps=100_000), RunProgress(step=99_500), without_compiler),
        (RunConfig(max_minutes=30, max_steps=100_000), RunProgress(seconds=21 * 60), without_compiler),
        (RunConfig(max_minutes=30), RunProgress(seconds=60), list(CANDIDATES)),
        (RunConfig(patience=5), RunProgress(), list(CANDIDATES)),
    ]:
        assert list(worth_trying(run, progress)) == expected


def test_speed_is_estimated_with_graphs_where_updates_can_be_recorded(monkeypatch):
    recorder, work = Repeating(), workload()
    monkeypatch.setattr(update_ways, "CudaRecorder", lambda device, **options: recorder)
    on_gpu = replace(work, model=replace(work.model, device=SimpleNamespace(type="cuda")))
    graphed_of = {}
    for path in FastPath:
        config = replace(work.config, compute=replace(work.config.compute, fast_path=path))
        monkeypatch.setattr(update_ways, "recorded", lambda workload, recorder: "graphed")
        graphed_of[path] = probable_way(replace(on_gpu, config=config)) == "graphed"
        assert probable_way(replace(work, config=config)) != "graphed"
    assert {path.value for path, is_graphed in graphed_of.items() if is_graphed} == {
        "auto",
        "graphed",
        "compiled_graphed",
    }


def test_updates_that_record_a_graph_do_not_count_as_usual_ones():
    assert seconds_per_token([0.01, 0.5, 0.012, 0.008], [100, 100, 120, 80]) == pytest.approx(1e-4)
    assert seconds_per_token([0.02, 0.01], [100, 100]) == pytest.approx(1.5e-4)
    assert seconds_per_token([0.01], [0]) == 0.01


def test_the_fastest_is_chosen_unless_eager_mode_is_about_as_fast():
    facts = dict.fromkeys(("device", "torch", "cuda", "precision", "layout"), "") | {"tokens": 1, "processes": 1}
    choose = partial(fast_path.make_verdict, facts=facts)
    others = {"compiled": Outcome(0.9), "graphed": Outcome(0.5)}
    assert choose({"eager": Outcome(1.0), **others}).choice == "graphed"
    assert choose({"eager": Outcome(1.0), "compiled": Outcome(0.98)}).choice == "eager"
    verdict = choose({"eager": Outcome(1.0), **others, "graphed": Outcome(reason="it hangs")})
    assert (verdict.choice, verdict.left_out) == ("compiled", {"graphed": "it hangs"})


def test_a_way_that_is_asked_for_and_cannot_be_used_is_an_error(corpus, tmp_path):
    with pytest.raises(UserError, match=r"compute\.fast_path=graphed: CUDA graphs need a GPU; use"):
        train_here(corpus, tmp_path / "run", compute__fast_path="graphed")
    with pytest.raises(UserError, match=r"compute\.compile=true means compute\.fast_path=compiled, not eager"):
        train_here(corpus, tmp_path / "run", compute__fast_path="eager", compute__compile="true")


def test_a_way_that_fails_on_one_of_two_processes_is_left_out_on_both():
    """Before gradients are exchanged, so that the other one does not wait."""

    def trials(rank):
        @contextmanager
        def broken_on_one(work):
            assert rank == 0, "no compiler on this machine"
            yield work.plain()

        with join_world(torch.device("cpu")) as world:
            work = workload(world=world)
            state = TrainState(work.model, work.optimizer)
            updates = [Update([batch(2 * seed + rank)], DataPosition(batches=seed), 0.1 * seed) for seed in range(3)]
            ways = {"eager": eager, "broken": broken_on_one, "wrong": wrong}
            outcomes = PathTrials(ways, work, state, updates).run()
            world.wait()
            return {name: outcome.reason for name, outcome in outcomes.items()}

    first, second = run_ranks(2, trials)
    assert first == second
    assert first["eager"] == ""
    assert first["broken"].startswith("process 1: AssertionError: no compiler on this machine")
    assert "gradient norm" in first["wrong"]
