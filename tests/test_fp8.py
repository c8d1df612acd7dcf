"""Training with fp8 matmuls, emulated on the CPU: wide layers alone, near bf16, and with a plain model outside."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import pytest
import torch
import torch.distributed as dist
from test_fast_path import SETTINGS, assert_same_state, loss_of, train_here, wrong
from test_gpu_check import check_in
from test_graphed import batch
from torch import nn

from small_runs import composed, options, update_config, write_corpus
from translate.checkpoint import load_model, load_weights
from translate.config.sweep import run_sweep
from translate.data.loader import DataPosition, Update
from translate.device import AMPERE, Capabilities, Precision
from translate.distributed import World
from translate.errors import UserError
from translate.gpu_check import updates
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.transformer import TransformerConfig
from translate.training import fast_path, parallel
from translate.training.fp8 import Fp8Layers, fp8_layers
from translate.training.open_options import SIZE
from translate.training.optimizer import OptimizerConfig, make_optimizer
from translate.training.parallel import ParallelModel, decide_run, decide_training, parallelize
from translate.training.path_trials import PathTrials
from translate.training.state import TrainState
from translate.training.step import train_step
from translate.training.update_ways import Workload, compiled, eager

pytestmark = pytest.mark.skipif(find_spec("torchao") is None, reason="the extra [fp8] is not installed")

CPU = torch.device("cpu")
ALONE = World()
# products are emulated there
HOPPER_BUT_A_CPU = Capabilities(on_gpu=False, compute_capability=(9, 0), bf16_matmul=True)
WIDE = {"d_model": 32, "ffn_dim": 1040, "encoder_layers": 1, "decoder_layers": 1}
FP8_RUN = {
    **{f"model__{name}": value for name, value in WIDE.items()},
    "compute__fp8": "true",
    "compute__precision": "bf16",
}


def decision(*, fp8: bool = True):
    return decide_training(CPU, HOPPER_BUT_A_CPU, precision=Precision.bf16, head_width=0, fp8=fp8)


def wide_model(dropout: float = 0.0):
    torch.manual_seed(0)
    config = TransformerConfig.tiny(**WIDE, max_length=20, dropout=dropout)
    return build_model(config, Vocabularies(40, 40, shared=True)).train()


def trained_model(*, fp8: bool, world: World = ALONE) -> ParallelModel:
    return parallelize(wide_model(), world, decision(fp8=fp8))


def workload() -> Workload:
    model = trained_model(fp8=True)
    return Workload(model, make_optimizer(model.module, OptimizerConfig()), update_config(clip_norm=0.5), ALONE)


@pytest.fixture
def on_hopper(monkeypatch):
    """Let runs find the abilities of a Hopper GPU on the CPU."""
    monkeypatch.setattr(parallel, "capabilities", lambda device: HOPPER_BUT_A_CPU)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus"), pairs=200)


def test_weights_are_shared_and_the_model_is_plain_outside_of_the_context():
    model = wide_model()
    parameters, kinds = dict(model.named_parameters()), [type(module) for module in model.modules()]
    layers = Fp8Layers(model, emulated=True)
    with layers.in_use():
        assert type(model.encoder.layers[0].feed_forward.inner) is not nn.Linear
        inside = dict(model.named_parameters())
    with pytest.raises(RuntimeError), layers.in_use():
        raise RuntimeError
    assert [type(module) for module in model.modules()] == kinds
    for found in (inside, dict(model.named_parameters())):
        assert found.keys() == parameters.keys()
        assert all(found[name] is parameter for name, parameter in parameters.items())


def test_layers_with_wide_outputs_are_chosen_but_not_the_output_layer_nor_joined_products():
    """Of big keys and values are wide enough, too, but are one product for all decoder layers."""
    for architecture, changes, expected in [
        ("transformer", {"d_model": 1024, "ffn_dim": 4096, "num_heads": 16}, {"query_key_value", "inner"}),
        ("transformer", {"d_model": 512, "ffn_dim": 2048, "num_heads": 8}, {"query_key_value", "inner"}),
        ("transformer", {"d_model": 256, "ffn_dim": 1030}, set()),  # no multiple of 16
        ("transformer", {"d_model": 256, "ffn_dim": 4112}, {"inner", "outer"}),
        ("lstm", {"d_model": 64}, set()),
    ]:
        with torch.device("meta"):
            model = build_model(ARCHITECTURES[architecture][0].tiny(**changes), Vocabularies(4000, 4000, shared=True))
        assert {child.name for child in fp8_layers(model)} == expected


def test_losses_stay_near_those_of_bf16_and_gradients_have_the_errors_of_fp8():
    losses, gradients = {}, {}
    for fp8 in (False, True):
        model = trained_model(fp8=fp8)
        optimizer = make_optimizer(model.module, OptimizerConfig(learning_rate=5e-3))
        step = partial(train_step, model, optimizer, config=update_config(), world=ALONE)
        first = model.module.encoder.layers[0].feed_forward.inner.weight
        kept = []
        hook = first.register_hook(kept.append)
        losses[fp8] = [step([batch(seed % 4)], step=seed + 1).result().loss for seed in range(20)]
        hook.remove()
        gradients[fp8] = kept[0]
    assert losses[True] != losses[False]
    assert losses[False][-1] < 0.9 * losses[False][0]
    assert losses[True] == pytest.approx(losses[False], rel=0.02)
    # 4 bits of e5m2 and e4m3 round by 3 to 6 % on average, 8 bits of bf16 by less than 1 %
    assert 0.02 < (gradients[True] - gradients[False]).norm() / gradients[False].norm() < 0.15


def test_data_parallel_training_takes_fp8_layers():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        found = []
        for world in (World(size=2), ALONE):
            model = trained_model(fp8=True, world=world)
            with model.autocast_in_training():
                loss = model.forward(batch(1)).hidden.float().square().sum()
            loss.backward()
            found.append([parameter.grad for parameter in model.module.parameters()])
    finally:
        dist.destroy_process_group()
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.equal(one, other)


def test_compiled_updates_are_found_right_and_wrong_ones_are_not():
    """An error of 1 % of the gradient is above what fp8 adds to the rounding of bf16."""
    work = workload()
    ways = {"eager": eager, "compiled": partial(compiled, backend="aot_eager"), "wrong": wrong}
    state = TrainState(work.model, work.optimizer, ema_decay=0.9)
    some = [Update([batch(seed)], DataPosition(batches=seed), 0.1 * seed) for seed in range(6)]
    outcomes = PathTrials(ways, work, state, some).run()
    assert [name for name, outcome in outcomes.items() if outcome.reason] == ["wrong"]
    assert outcomes["wrong"].reason.startswith("the gradient norm differs from eager mode's by 0.01 on average")


def test_a_verdict_of_bf16_is_not_one_of_fp8():
    precisions = [fast_path._facts(workload(), decision(fp8=fp8))["precision"] for fp8 in (False, True)]
    assert precisions == ["bf16", "bf16 with fp8 matmuls"]


def test_a_run_trains_in_fp8_validates_without_and_saves_a_plain_model(corpus, tmp_path, monkeypatch, on_hopper):
    from torchao.float8.float8_linear import Float8Linear

    def forward(layer, x):
        with_gradients.append(torch.is_grad_enabled())
        return before(layer, x)

    before, with_gradients = Float8Linear.forward, []
    monkeypatch.setattr(Float8Linear, "forward", forward)
    folder, plain = tmp_path / "fp8", tmp_path / "bf16"
    log = train_here(corpus, folder, **FP8_RUN)
    assert "training in bf16 with fp8 matmuls, padded batches; validation decodes in fp32" in log
    assert "fp8: 2 of 12 linear layers, 63% of their weights (torchao " in log
    assert "compute.fp8=true is slow with compute.fast_path=eager, which does not fuse its casts" in log
    assert with_gradients == [True] * 12  # of two layers in six updates, not of validations
    train_here(corpus, plain, **FP8_RUN | {"compute__fp8": "false"})
    assert len(with_gradients) == 12
    assert loss_of(folder) == pytest.approx(loss_of(plain), rel=0.02)
    assert loss_of(folder) != loss_of(plain)

    # a model directory and a state are as ever, and need no torchao
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchao"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchao", None)
    weights = [load_weights(run / "best" / "weights.safetensors") for run in (folder, plain)]
    assert weights[0].keys() == weights[1].keys()
    loaded = load_model(folder / "best", device=CPU).model
    assert type(loaded.get_submodule("encoder.layers.0.feed_forward.inner")) is nn.Linear


def test_a_resumed_run_equals_the_undisturbed_one(corpus, tmp_path, on_hopper):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_here(corpus, whole, **FP8_RUN)
    train_here(corpus, parts, until=4, **FP8_RUN)
    assert "continuing from step 4" in train_here(corpus, parts, **FP8_RUN)
    assert_same_state(parts, whole, 6)


def test_a_run_may_continue_without_fp8_and_records_it(corpus, tmp_path, on_hopper):
    train_here(corpus, tmp_path / "run", until=4, **FP8_RUN)
    log = train_here(corpus, tmp_path / "run", **FP8_RUN | {"compute__fp8": "false"})
    assert "from step 4 on, compute.fp8: True before, False now" in log
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["changes"] == [{"step": 4, "key": "compute.fp8", "before": True, "now": False}]


@pytest.mark.parametrize(
    ("can", "precision", "message"),
    [
        (Capabilities(on_gpu=False), Precision.bf16, "NVIDIA GPU of compute capability 8.9 or above, not a CPU"),
        (Capabilities(on_gpu=True, name="MI300X"), Precision.bf16, "above, not MI300X: leave compute.fp8 out"),
        (Capabilities(on_gpu=True, name="A100", compute_capability=AMPERE), Precision.auto, "not A100, compute capab"),
        (replace(HOPPER_BUT_A_CPU, bf16_matmul=False), Precision.auto, "needs compute.precision=bf16, not fp32"),
        (HOPPER_BUT_A_CPU, Precision.fp32, "not fp32: leave compute.fp8 out, or set that"),
    ],
)
def test_what_excludes_fp8_is_named_with_the_way_out(can, precision, message):
    with pytest.raises(UserError, match=r"^compute\.fp8=true .*") as raised:
        decide_training(CPU, can, precision=precision, head_width=0, fp8=True)
    assert message in str(raised.value)


def test_a_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.float8", None)
    with pytest.raises(UserError, match=r"compute\.fp8=true needs an extra package .*translate-seq2seq\[fp8\]"):
        decision()


def fp8_config(corpus, folder, **changes):
    return composed(options(corpus, folder, **{**SETTINGS, **FP8_RUN, **changes}))


def test_models_and_methods_that_do_not_fit_are_refused(corpus, tmp_path, on_hopper):
    assert decide_run(fp8_config(corpus, tmp_path)).fp8
    with pytest.raises(UserError, match=r"no linear layer of this model is wide enough .* or choose a wider"):
        decide_run(fp8_config(corpus, tmp_path, model__ffn_dim=512))
    # prefixes are ids of a vocabulary that is not yet known
    assert decide_run(fp8_config(corpus, tmp_path, model__source_prefix="[250000]", adapt="full", adapt__model="m")).fp8
    with pytest.raises(UserError, match=r"is for training all weights, not for adapt=lora: leave compute\.fp8 out"):
        decide_run(fp8_config(corpus, tmp_path, adapt="lora", adapt__model="m"))


def test_a_sweep_of_adaptations_asks_the_base_model_for_wide_layers(corpus, tmp_path, on_hopper):
    train_here(corpus, tmp_path / "base", until=1, run__max_steps=1, **FP8_RUN)
    changes = {"model__ffn_dim": 512, "adapt": "full", "adapt__model": tmp_path / "base", "run__seed": "1,2"}
    words = options(corpus, tmp_path / "sweep", **{**SETTINGS, **FP8_RUN, **changes})
    trained = []
    run_sweep(words, composed, lambda config, trial: trained.append(config.run.seed) or 1.0, lambda group: [])
    assert trained == [1, 2]


def test_a_size_that_the_recipe_tries_or_chooses_may_be_too_narrow(corpus, tmp_path, on_hopper):
    """recipe=auto measures tiny first."""
    decision = decide_run(replace(fp8_config(corpus, tmp_path, model__ffn_dim=512), chosen=[SIZE]))
    assert not decision.fp8
    assert decision.warnings == [
        "compute.fp8=true has no effect: the chosen model has no linear layers that are wide enough"
    ]


def test_gpu_check_finds_products_that_are_not_in_fp8_and_leaves_them_out_elsewhere(tmp_path, monkeypatch):
    check = check_in(tmp_path, replace(HOPPER_BUT_A_CPU, on_gpu=True))
    compare = partial(updates.compare_path, name="eager", batch=updates.make_batch(check), fp8=True, case="eager, fp8")
    compare(check)
    assert check.result.findings == []
    monkeypatch.setattr(Fp8Layers, "in_use", nullcontext)
    compare(check)
    [finding] = check.result.findings
    assert finding.startswith("eager, fp8: the gradient has the error of bf16 (0.01")

    monkeypatch.setattr(updates, "CANDIDATES", {})
    check = check_in(tmp_path, Capabilities(on_gpu=True, compute_capability=AMPERE, bf16_matmul=True))
    updates.fast_paths(check)
    assert check.result.findings == []
    assert [part.partition(" needs ")[0] for part in check.result.unchecked] == ["fp8: compute.fp8=true"]


def test_torchao_is_asked_only_by_runs_in_fp8(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.float8", None)
    assert trained_model(fp8=False).fp8 is None
