"""One update is the same however its sentences are spread over batches and processes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from forked_ranks import run_ranks
from small_runs import ON_CPU, update_config
from translate.batch import NO_TARGET, copy_to_cpu, pad_batch
from translate.distributed import World, join_world
from translate.losses import AUXILIARY_LOSSES
from translate.models import Vocabularies, build_model
from translate.models.transformer import TransformerConfig
from translate.training.optimizer import OptimizerConfig, OptimizerName, make_optimizer
from translate.training.parallel import parallelize
from translate.training.step import PendingUpdate, train_step

ALONE = World()


def make_model(world=ALONE):
    torch.manual_seed(0)
    config = TransformerConfig(
        d_model=16, ffn_dim=32, num_heads=2, encoder_layers=1, decoder_layers=1, dropout=0.0, max_length=20
    )
    model = build_model(config, Vocabularies(40, 40, shared=True))
    return parallelize(model, world, ON_CPU)


def sentences():
    random = np.random.default_rng(0)
    return [[random.integers(4, 40, random.integers(1, 12)) for _ in range(8)] for _ in range(2)]


def batches_of(size, chosen=range(8)):
    source, target = sentences()
    numbers = list(chosen)
    pieces = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    return [pad_batch([source[i] for i in piece], [target[i] for i in piece]) for piece in pieces]


def step(batches, *, world=ALONE, **settings):
    trained = make_model(world)
    # plain descent: Adam's first step is the gradient's sign, which rounding decides where the gradient is zero
    optimizer = torch.optim.SGD(trained.module.parameters(), lr=1.0, fused=True)
    result = train_step(trained, optimizer, batches, update_config(**settings), world, step=1).result()
    return result, {name: x.detach().clone() for name, x in trained.module.named_parameters()}


def assert_same(one, other):
    result, weights = one
    expected, expected_weights = other
    assert result.target_tokens == expected.target_tokens
    assert result.loss == pytest.approx(expected.loss, rel=1e-5)
    assert result.gradient_norm == pytest.approx(expected.gradient_norm, rel=1e-4)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected_weights[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_accumulated_batches_equal_one_large_batch(size):
    assert_same(step(batches_of(size)), step(batches_of(8)))


def by_two_processes(shares, **settings):
    """An update by two processes, each with its share of the batches, as the second one sees it."""

    def work(rank):
        with join_world(torch.device("cpu")) as world:
            found = step(shares[rank], world=world, **settings)
            world.wait()
            return found

    return run_ranks(2, work)[1]


def without_labels(batch):
    return replace(batch, labels=torch.full_like(batch.labels, NO_TARGET), num_target_tokens=0, num_source_tokens=0)


def test_two_ranks_equal_one_large_batch():
    shares = [batches_of(2, range(start, start + 4)) for start in (0, 4)]
    assert_same(by_two_processes(shares), step(batches_of(8)))


def test_rank_without_labels_adds_no_gradient():
    """As at the end of an epoch that has no batch for it; guided attention divided by its number of labels, 0."""
    auxiliary = {name: AUXILIARY_LOSSES[name][0]() for name in ("guided_attention", "self_attention_loss")}
    [batch] = batches_of(8)
    found = by_two_processes([[batch], [without_labels(batch)]], **auxiliary)
    assert not found[0].skipped
    expected = step([batch], **auxiliary)
    assert_same(found, expected)
    assert found[0].auxiliary == pytest.approx(expected[0].auxiliary, rel=1e-5)


def test_an_update_without_any_label_changes_nothing():
    result, weights = step([without_labels(batch) for batch in batches_of(4)])
    assert (result.target_tokens, result.loss, result.gradient_norm) == (0, 0.0, 0.0)
    before = dict(make_model().module.named_parameters())
    for name, weight in weights.items():
        torch.testing.assert_close(weight, before[name].detach(), rtol=0, atol=0)


def test_update_with_infinite_loss_and_finite_gradient_is_skipped(monkeypatch):
    """An infinite constant has the gradient zero."""
    config, _ = AUXILIARY_LOSSES["guided_attention"]
    monkeypatch.setitem(AUXILIARY_LOSSES, "guided_attention", (config, lambda *_: torch.tensor(float("inf"))))
    result, weights = step(batches_of(8), guided_attention=config())
    assert np.isfinite(result.gradient_norm)
    assert result.skipped
    before = dict(make_model().module.named_parameters())
    for name, weight in weights.items():
        torch.testing.assert_close(weight, before[name].detach(), rtol=0, atol=0)


@pytest.mark.parametrize("name", OptimizerName)
def test_update_with_a_gradient_that_is_not_finite_is_skipped(name):
    trained = make_model()
    optimizer = make_optimizer(trained.module, OptimizerConfig(name=name, learning_rate=0.1))
    with torch.no_grad():
        next(trained.module.parameters())[5] = float("nan")
    before = {name: x.detach().clone() for name, x in trained.module.named_parameters()}
    result = train_step(trained, optimizer, batches_of(8), update_config(), ALONE, step=1).result()
    assert result.skipped
    for name, weight in trained.module.named_parameters():
        torch.testing.assert_close(weight.detach(), before[name], equal_nan=True, rtol=0, atol=0)


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU, and whose copy to the CPU arrives when its event is waited for."""

    is_cuda = True
    calls: list[str]

    def to(self, device, *, non_blocking):
        assert (device, non_blocking) == ("cpu", True)
        self.calls.append("copy")
        self.late = torch.full(self.shape, torch.nan)
        return self.late

    def record_event(self):
        self.calls.append("record")
        return self

    def synchronize(self):
        self.calls.append("wait")
        self.late.copy_(torch.tensor([8.0, 4.0, 0.0, 0.5, 0.0, 1.0]))


def test_a_result_is_copied_when_it_is_launched_and_read_after_its_own_event(monkeypatch):
    """Otherwise reading it would wait for the update that has been launched since."""
    numbers = torch.zeros(6).as_subclass(OnGpu)
    numbers.calls = calls = []
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: numbers)
    pending = PendingUpdate(1, *copy_to_cpu(numbers), (), target_tokens=4, source_tokens=4, positions=8)
    assert calls == ["copy", "record"]
    result = pending.result()
    assert calls == ["copy", "record", "wait"]
    assert (result.loss, result.cross_entropy, result.gradient_norm) == (2.0, 1.0, 0.5)
