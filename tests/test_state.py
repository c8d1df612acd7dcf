"""States hold the moment at which they were saved; the running average is the one of the formula."""

import threading
from pathlib import Path

import pytest
import torch

from small_runs import ON_CPU
from translate.data.loader import DataPosition, Update
from translate.distributed import World
from translate.files import BackgroundWriter
from translate.models import Vocabularies, build_model
from translate.models.transformer import TransformerConfig
from translate.training.optimizer import OptimizerConfig, RunningAverage, make_optimizer
from translate.training.parallel import parallelize
from translate.training.run_folder import RunFolder
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder, outdated

CPU = torch.device("cpu")


def make_state():
    torch.manual_seed(0)
    config = TransformerConfig(
        d_model=16, ffn_dim=32, num_heads=2, encoder_layers=1, decoder_layers=1, dropout=0.0, max_length=20
    )
    model = build_model(config, Vocabularies(40, 40, shared=True))
    optimizer = make_optimizer(model, OptimizerConfig(learning_rate=0.1))
    return TrainState(parallelize(model, World(), ON_CPU), optimizer, ema_decay=0.9)


def make_folder(directory):
    return StateFolder(RunFolder(directory), World(), keep=1, vocab_size=40)


def learn(state):
    """One update by random gradients."""
    for parameter in state.model.module.parameters():
        parameter.grad = torch.randn_like(parameter)
    state.optimizer.step()
    state.advance(Update([], DataPosition(batches=state.step + 1), 0.0), target_tokens=1)


def everything(state):
    tensors = dict(state.model.module.named_parameters()) | {
        f"average {name}": weight for name, weight in state.average.weights.items()
    }
    moments = state.optimizer.state_dict()["state"]
    tensors |= {f"{index} {name}": value for index, values in moments.items() for name, value in values.items()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def test_asynchronously_written_state_is_a_snapshot(tmp_path):
    state, states, released = make_state(), make_folder(tmp_path), threading.Event()
    learn(state)
    expected = everything(state)
    states.writer.write(lambda: released.wait(60) and None)
    states.write(state)
    assert states.newest == 1
    learn(state)
    released.set()
    states.wait()
    restored, folder = make_state(), make_folder(tmp_path)
    folder.restore_newest(restored)
    assert (restored.step, folder.newest) == (1, 1)
    torch.testing.assert_close(everything(restored), expected, rtol=0, atol=0)


def test_restored_average_equals_the_uninterrupted_one(tmp_path):
    state, states = make_state(), make_folder(tmp_path)
    for _ in range(3):
        learn(state)
    states.write(state)
    states.wait()
    restored = make_state()
    make_folder(tmp_path).restore_newest(restored)
    for each in (state, restored):
        torch.manual_seed(5)
        learn(each)
    torch.testing.assert_close(everything(restored), everything(state), rtol=0, atol=0)


def test_the_running_average_is_a_plain_mean_at_first_and_exponential_later():
    """By hand, with a decay of 0.5: rates 9/10 and 9/11 of the first updates, 1/2 from update 9 on."""
    model = torch.nn.Linear(1, 1)
    model.bias.requires_grad_(False)  # as in an adapted model
    weight = model.weight.data
    weight.fill_(1.0)
    average = RunningAverage(model, 0.5)
    assert list(average.weights) == ["weight"]
    weight.fill_(2.0)
    average.update(1)
    assert average.weights["weight"].item() == pytest.approx(1.0 * 1 / 10 + 2.0 * 9 / 10)
    weight.fill_(4.0)
    average.update(2)
    assert average.weights["weight"].item() == pytest.approx(1.9 * 2 / 11 + 4.0 * 9 / 11)
    average.weights["weight"].fill_(6.0)
    average.update(9)
    assert average.weights["weight"].item() == pytest.approx(5.0)


def test_files_are_written_in_order_and_an_error_is_raised_by_the_next_wait():
    writer, done = BackgroundWriter(), []
    for number in range(3):
        writer.write(lambda number=number: done.append(number))
    writer.wait()
    assert done == [0, 1, 2]
    writer.write(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        writer.wait()
    writer.wait()


@pytest.mark.parametrize(
    ("steps", "keep", "removed"),
    [
        ([10, 20, 30], 2, [10]),
        ([10, 20, 27], 2, [10]),  # a signal came after step 27
        ([10, 20, 27, 30], 3, [27]),
        ([11, 20, 30], 3, []),  # update 10 had failed
        ([7, 9], 5, [7]),
        ([10, 20], 1, [10]),
        ([10], 1, []),
    ],
)
def test_states_between_the_regular_ones_make_room_for_the_next(steps, keep, removed):
    folders = [Path(f"state/step-{step:08}") for step in steps]
    assert outdated(folders, keep=keep, every=10) == [Path(f"state/step-{step:08}") for step in removed]
