"""What is written in the background is what was there when it was handed over."""

import threading

import pytest
import torch

from translate.device import Precision
from translate.distributed import World
from translate.files import BackgroundWriter
from translate.models import Vocabularies, build_model
from translate.models.transformer import TransformerConfig
from translate.training.optimizer import OptimizerConfig, make_optimizer
from translate.training.parallel import parallelize
from translate.training.state import StateFolder, TrainState


def make_state(directory):
    torch.manual_seed(0)
    config = TransformerConfig(
        d_model=16, ffn_dim=32, num_heads=2, encoder_layers=1, decoder_layers=1, dropout=0.0, max_length=20
    )
    model = build_model(config, Vocabularies(40, 40, shared=True))
    trained = parallelize(model, World(), device=torch.device("cpu"), precision=Precision.fp32)
    optimizer = make_optimizer(model, OptimizerConfig(learning_rate=0.1))
    return RunState(trained, optimizer, RunningAverage(model, 0.9), directory, World())


def learn(state):
    """One update by random gradients."""
    for parameter in state.model.module.parameters():
        parameter.grad = torch.randn_like(parameter)
    state.optimizer.step()
    state.progress.step += 1
    state.average.update(state.model.module, state.progress.step)


def everything(state):
    tensors = dict(state.model.module.named_parameters()) | {
        f"average {k}": v for k, v in state.average.weights.items()
    }
    moments = state.optimizer.state_dict()["state"]
    tensors |= {f"{place} {name}": value for place, values in moments.items() for name, value in values.items()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def test_a_state_is_that_of_its_moment_however_late_it_is_written(tmp_path):
    state, writer, released = make_state(tmp_path), Writer(), threading.Event()
    learn(state)
    expected = everything(state)
    writer.write(lambda: released.wait(60) and None)
    state.save(1, writer)
    assert state.saved == 1
    learn(state)
    released.set()
    writer.wait()
    restored = make_state(tmp_path)
    assert restored.restore()
    assert (restored.progress.step, restored.saved) == (1, 1)
    torch.testing.assert_close(everything(restored), expected, rtol=0, atol=0)


def test_work_is_done_in_order_and_an_error_is_raised_by_the_next_wait():
    writer, done = Writer(), []
    for number in range(3):
        writer.write(lambda number=number: done.append(number))
    writer.wait()
    assert done == [0, 1, 2]
    writer.write(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        writer.wait()
    writer.wait()
