"""Weights that are cast together give the numbers of autocast, which casts one after the other."""

import copy

import pytest
import torch
from torch import nn

from translate.device import Precision
from translate.training.parallel import ParallelModel
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
