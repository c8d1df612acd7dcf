"""Averages of weights worked out by hand: the running average of training and the mean of checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from translate.training.final_evaluation import average_weights
from translate.training.optimizer import RunningAverage


def averages(decay: float, values: np.ndarray) -> np.ndarray:
    """The running average after each update of a model whose weight takes these values, the first before any update."""
    model = nn.Linear(1, 1, bias=False).double()
    nn.init.constant_(model.weight, values[0])
    average = RunningAverage(model, decay)
    found = []
    for step, value in enumerate(values[1:], start=1):
        nn.init.constant_(model.weight, value)
        average.update(step)
        found.append(average.weights["weight"].item())
    return np.array(found)


def test_running_average_matches_its_recurrence():
    """Rates 9/10, 9/11, 9/12 of the first three updates, as long as they exceed 1 - decay; 0.8 from then on."""
    first = 0.1 * 2 + 0.9 * 4
    second = first * 2 / 11 + 9 / 11 * 1
    assert averages(0.99, np.array([2.0, 4.0, 1.0, 8.0])) == pytest.approx([first, second, second / 4 + 6])
    assert averages(0.2, np.array([2.0, 4.0, 1.0, 8.0]))[1:] == pytest.approx([second, second * 0.2 + 8 * 0.8])


def test_initial_weights_are_forgotten_like_in_a_plain_mean():
    """After n updates they count 1 / C(n + 9, 9), the product of k / (k + 9): not decay to the n, which is 0.9 here."""
    updates = 10
    [*_, last] = averages(0.99, np.array([1.0] + [0.0] * updates))
    assert last == pytest.approx(1 / 92378)  # C(19, 9)


@pytest.mark.parametrize("decay", [0.9, 0.99])
def test_running_average_converges_to_exponential_weights(decay):
    values = np.random.default_rng(0).normal(size=3001)
    powers = (1 - decay) * decay ** np.arange(2000)
    expected = (powers * values[::-1][:2000]).sum()
    assert averages(decay, values)[-1] == pytest.approx(expected, abs=1e-7)


def test_running_average_copies_every_trained_weight():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    before = {name: weight.detach().numpy().copy() for name, weight in model.named_parameters()}
    average = RunningAverage(model, 0.99)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(-2)
    average.update(1)
    assert average.weights.keys() == before.keys()
    for name, weight in average.weights.items():
        np.testing.assert_allclose(weight.numpy(), 0.1 * before[name] + 0.9 * -2 * before[name], rtol=1e-6)
        np.testing.assert_array_equal(dict(model.named_parameters())[name].detach().numpy(), -2 * before[name])


class Operations(TorchDispatchMode):
    """Records the names of PyTorch's operations."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, arguments=(), settings=None):
        self.names.append(function.__name__)
        return function(*arguments, **settings or {})


def test_running_average_copies_nothing_from_the_cpu():
    """A copy to a GPU would wait for all of its work, in every update."""
    average = RunningAverage(nn.Linear(3, 2, device="meta"), 0.99)
    with Operations() as operations:
        average.update(1)
    assert not [name for name in operations.names if "copy" in name]
    assert "_foreach_lerp_.Scalar" in operations.names


@pytest.mark.parametrize("count", [1, 2, 5])
def test_averaged_checkpoints_have_the_mean_of_their_weights(tmp_path, count):
    random = np.random.default_rng(0)
    stacks = {"a": random.normal(size=(count, 4, 3)), "b": random.normal(size=(count, 2)) * 1e4}
    stacks = {name: stack.astype(np.float32) for name, stack in stacks.items()}
    files = [tmp_path / f"{index}.safetensors" for index in range(count)]
    for index, file in enumerate(files):
        weights = {name: torch.from_numpy(stack[index].copy()) for name, stack in stacks.items()}
        safetensors.torch.save_file(weights, file)
    found = average_weights(files)
    assert found.keys() == stacks.keys()
    for name, stack in stacks.items():
        assert found[name].dtype == torch.float32
        np.testing.assert_array_equal(found[name].numpy(), stack.astype(np.float64).mean(0).astype(np.float32))


def test_averages_of_checkpoints_do_not_lose_small_changes_to_large_weights(tmp_path):
    """In single precision 2²⁴ + 1 is 2²⁴."""
    files = [tmp_path / f"{index}.safetensors" for index in range(4)]
    for file, value in zip(files, [2.0**24, 1.0, 1.0, 2.0], strict=True):
        safetensors.torch.save_file({"x": torch.tensor([value])}, file)
    assert average_weights(files)["x"].item() == 2**22 + 1
