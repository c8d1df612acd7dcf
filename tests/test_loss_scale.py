"""Training in fp16: gradients are scaled up, unscaled before they are clipped, and overflows adapt the scale."""

import copy

import numpy as np
import pytest
import torch

from small_runs import update_config
from translate.batch import pad_batch
from translate.device import Precision
from translate.distributed import World
from translate.losses.cross_entropy import label_smoothed_cross_entropy
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.training import loss_scale
from translate.training.loss_scale import LossScale
from translate.training.optimizer import OptimizerConfig, OptimizerName, make_optimizer
from translate.training.parallel import ParallelModel
from translate.training.run_folder import RunFolder
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder
from translate.training.step import StepResult, train_step

CPU, ALONE = torch.device("cpu"), World()


def model_in(precision: Precision, name: str = "transformer", **settings) -> ParallelModel:
    """On the CPU, where autocast knows fp16 although commands refuse it: PyTorch emulates it."""
    torch.manual_seed(0)
    config = ARCHITECTURES[name][0].tiny(**{"d_model": 32, "dropout": 0.0, "max_length": 20} | settings)
    model = build_model(config, Vocabularies(40, 40, shared=True))
    return ParallelModel(model, model, CPU, precision, LossScale(CPU) if precision is Precision.fp16 else None)


def batch(seed: int = 0):
    random = np.random.default_rng(seed)
    source = [random.integers(4, 40, random.integers(1, 12)) for _ in range(16)]
    return pad_batch(source, [sentence[::-1] for sentence in source])


def train(trained: ParallelModel, optimizer, steps: range, *, clip_norm: float = 1.0) -> list[StepResult]:
    return [
        train_step(trained, optimizer, [batch(seed)], update_config(clip_norm=clip_norm), ALONE, step=seed + 1).result()
        for seed in steps
    ]


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("optimizer", OptimizerName)
def test_fp16_training_follows_fp32_training(name, optimizer):
    found = {}
    for precision in (Precision.fp32, Precision.fp16):
        trained = model_in(precision, name)
        learner = make_optimizer(trained.module, OptimizerConfig(learning_rate=3e-3, name=optimizer))
        found[precision] = train(trained, learner, range(30))
    whole, half = found[Precision.fp32], [result for result in found[Precision.fp16] if not result.skipped]
    assert half[0].gradient_norm == pytest.approx(whole[0].gradient_norm, rel=0.02), "unscaled before it is clipped"
    assert half[-1].loss < half[0].loss - 0.05
    assert half[-1].loss == pytest.approx(whole[-1].loss, rel=0.05)


def test_an_overflow_skips_the_update_and_halves_the_scale():
    trained = model_in(Precision.fp16)
    trained.loss_scale.factor.fill_(2.0**24)
    optimizer = make_optimizer(trained.module, OptimizerConfig(learning_rate=3e-3))
    before = copy.deepcopy(trained.module.state_dict())
    [result] = train(trained, optimizer, range(1))
    assert result.skipped
    assert not result.diverged, "the gradient was too large for fp16 only because it was scaled"
    assert result.loss_scale == 2.0**24
    assert float(trained.loss_scale.factor) == 2.0**23
    for name, weight in trained.module.state_dict().items():
        assert torch.equal(weight, before[name])
    results = train(trained, optimizer, range(30))
    assert not results[-1].skipped, "the scale came down to where gradients are finite"


def test_a_gradient_that_is_not_finite_at_scale_one_is_divergence():
    trained = model_in(Precision.fp16)
    next(trained.module.parameters()).register_hook(lambda gradient: gradient * torch.inf)
    optimizer = make_optimizer(trained.module, OptimizerConfig())
    results = train(trained, optimizer, range(18))
    assert all(result.skipped for result in results)
    assert [result.diverged for result in results] == [False] * 16 + [True] * 2


def test_a_loss_that_is_not_finite_is_divergence_at_any_scale():
    trained = model_in(Precision.fp16)
    with torch.no_grad():
        trained.module.projection.weight[:] = torch.nan
    results = train(trained, make_optimizer(trained.module, OptimizerConfig()), range(2))
    assert [result.diverged for result in results] == [True, True]


def test_the_scale_doubles_after_many_finite_updates(monkeypatch):
    monkeypatch.setattr(loss_scale, "GROWTH_INTERVAL", 3)
    scale, finite, overflow = LossScale(CPU), torch.tensor(0.0), torch.tensor(1.0)
    factors = []
    for found_inf in (finite, finite, finite, finite, overflow, finite, finite, finite):
        scale.update(found_inf)
        factors.append(float(scale.factor) / loss_scale.FIRST_SCALE)
    assert factors == [1, 1, 2, 2, 1, 1, 1, 2]
    scale.factor.fill_(loss_scale.LARGEST_SCALE)
    for _ in range(3):
        scale.update(finite)
    assert float(scale.factor) == loss_scale.LARGEST_SCALE


def test_resumed_fp16_run_equals_the_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(loss_scale, "GROWTH_INTERVAL", 4)

    def begun() -> TrainState:
        model = model_in(Precision.fp16)
        return TrainState(model, make_optimizer(model.module, OptimizerConfig(learning_rate=3e-3)))

    whole, parts, continued = begun(), begun(), begun()
    train(whole.model, whole.optimizer, range(10))
    train(parts.model, parts.optimizer, range(6))
    parts.progress.step = 6
    states = StateFolder(RunFolder(tmp_path), ALONE, keep=1, vocab_size=40)
    states.write(parts)
    states.wait()
    states.restore_newest(continued)
    assert continued.step == 6
    train(continued.model, continued.optimizer, range(6, 10))
    assert continued.model.loss_scale.state_dict() == whole.model.loss_scale.state_dict()
    assert whole.model.loss_scale.state_dict()["factor"] != loss_scale.FIRST_SCALE
    for name, weight in whole.model.module.state_dict().items():
        assert torch.equal(weight, continued.model.module.state_dict()[name])


def test_loss_of_an_unlikely_token_does_not_underflow_in_fp16():
    """exp(-30) is no number of fp16."""
    hidden, weight = torch.tensor([[30.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    with torch.autocast("cpu", dtype=torch.float16):
        loss, _ = label_smoothed_cross_entropy(hidden, weight, torch.tensor([1]), smoothing=0.0)
    assert float(loss) == pytest.approx(30.0, rel=1e-3)
