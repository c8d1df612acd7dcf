"""Weights that are cast together give the numbers of autocast, which casts one after the other."""

import copy

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from translate.batch import pad_batch
from translate.device import Capabilities, Precision
from translate.distributed import World
from translate.losses.consistency import AdversarialConfig, adversarial
from translate.models import Vocabularies, build_model
from translate.models.seq2seq import Tying
from translate.models.transformer import TransformerConfig
from translate.training.parallel import ParallelModel, decide_training, parallelize
from translate.training.weight_casts import WeightCasts, _grouped


class Net(nn.Module):
    """Two layers, of which one is used twice, and an embedding that shares its weight with the output."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(12, 8)
        self.inner, self.norm = nn.Linear(8, 8), nn.LayerNorm(8)
        self.output = nn.Linear(8, 12, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, ids):
        x = self.norm(self.inner(self.inner(self.embedding(ids))))
        return self.output(x)


def gradients(model: nn.Module, casts: WeightCasts | None, *, batches: int = 1):
    wrapper = ParallelModel(model, model, torch.device("cpu"), Precision.bf16, casts=casts)
    for number in range(batches):
        ids = torch.arange(12).roll(number)
        with wrapper.autocast():
            loss = model(ids).float().logsumexp(-1).sum()
        loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("batches", [1, 3])
def test_gradients_are_those_of_autocast(overlapping, batches):
    torch.manual_seed(1)
    model = Net()
    twin = copy.deepcopy(model)
    expected = gradients(model, None, batches=batches)
    found = gradients(twin, WeightCasts(twin, torch.bfloat16, overlapping=overlapping), batches=batches)
    for name, gradient in expected.items():
        assert found[name].dtype is torch.float32
        assert torch.equal(found[name], gradient), name


def test_processes_exchange_the_gradients_of_autocast(monkeypatch):
    """Of several groups of casts, over two updates of three batches each, of which the last one is exchanged."""
    monkeypatch.setattr("translate.training.weight_casts._GROUP", 50)
    torch.manual_seed(1)
    model = Net()
    model.inner.bias.requires_grad_(False)
    twin = copy.deepcopy(model)
    cpu = torch.device("cpu")
    decision = decide_training(cpu, Capabilities(on_gpu=False), precision=Precision.bf16, head_width=0)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        trained = parallelize(model, World(size=2), decision)
        for _ in range(2):
            twin.zero_grad()
            model.zero_grad()
            expected = gradients(twin, None, batches=3)
            for number in range(3):
                with trained.gradient_sync(enabled=number == 2):
                    with trained.autocast():
                        loss = trained.forward(torch.arange(12).roll(number)).float().logsumexp(-1).sum()
                    loss.backward()
            for name, parameter in model.named_parameters():
                assert (parameter.grad is None) == (expected[name] is None)
                assert parameter.grad is None or torch.equal(parameter.grad, expected[name]), name
    finally:
        dist.destroy_process_group()


def test_an_adversarial_move_has_the_type_of_embeddings_whatever_that_of_the_output():
    """The output layer shares no weight here, so that its weight is cast."""
    torch.manual_seed(1)
    config = TransformerConfig.tiny(tying=Tying.none, dropout=0.1)
    model = build_model(config, Vocabularies(40, 40, shared=False)).train()
    sides = [[np.array([5, 6, 7]), np.array([8])] for _ in range(2)]
    results = []
    for casts in (None, WeightCasts(model, torch.bfloat16, overlapping=False)):
        torch.manual_seed(2)
        trained = ParallelModel(model, model, torch.device("cpu"), Precision.bf16, casts=casts)
        with trained.autocast():
            batch = pad_batch(*sides)
            loss = adversarial(AdversarialConfig(), model, batch, model(batch))
        results.append(torch.autograd.grad(loss, list(model.parameters()), allow_unused=True))
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)


def test_weights_are_back_after_use_and_after_an_error():
    model = Net()
    before = dict(model.named_parameters())
    casts = WeightCasts(model, torch.bfloat16, overlapping=False)
    with casts.in_use():
        assert model.inner.weight.dtype is model.inner.bias.dtype is torch.bfloat16
    with pytest.raises(RuntimeError), casts.in_use():
        raise RuntimeError
    after = dict(model.named_parameters())
    assert after.keys() == before.keys()
    assert all(after[name] is parameter for name, parameter in before.items())


def test_frozen_weights_are_cast_once_until_they_change():
    model = Net()
    model.inner.weight.requires_grad_(False)
    casts = WeightCasts(model, torch.bfloat16, overlapping=False)
    with casts.in_use():
        first = model.inner.weight
    with casts.in_use():
        assert model.inner.weight is first
    with torch.no_grad():
        model.inner.weight.fill_(2)
    with casts.in_use():
        assert model.inner.weight is not first
        assert bool((model.inner.weight == 2).all())
    assert model.inner.weight.dtype is torch.float32


def test_the_weight_of_an_embedding_stays_as_it_is():
    model = Net()
    with WeightCasts(model, torch.bfloat16, overlapping=False).in_use():
        assert model.output.weight is model.embedding.weight
        assert model.norm.weight.dtype is torch.float32


def test_groups_have_consecutive_weights():
    weights = [nn.Parameter(torch.zeros(4)) for _ in range(5)]
    assert [len(group) for group in _grouped(weights, 7)] == [2, 2, 1]
