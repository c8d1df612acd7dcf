"""Launches of an update and of a decoding step, counted on a simulated GPU.

Before weights were cast together, the loss taken in large pieces and residual connections and rotations joined, the
same counter had 1,457 launches for an update of base with 4,096 tokens, and 2,577 with 32,768. Before decoding had a
copy of the model with cast weights, a step of beam search had 304.
"""

import pytest
import torch

from translate.config.calls import configured
from translate.decoding.config import SearchConfig, SearchMethod
from translate.gpu_check.launches import work_of
from translate.gpu_check.roofline import H100, predict
from translate.gpu_check.simulated_gpu import replayed_step_work, steps_work, update_work
from translate.train import ADDITIONS, CHOICES
from translate.training.config import TrainConfig


@pytest.fixture(scope="module")
def base():
    with configured("train", TrainConfig, {"model": "base"}, choices=CHOICES, additions=ADDITIONS) as config:
        return config


@pytest.fixture(scope="module")
def update(base):
    return update_work(base, tokens=4096)


def test_an_update_never_waits_for_the_gpu(update):
    assert update.host_reads == []


def test_launches_of_an_update(base, update):
    assert update.launches <= 920
    # a piece of the loss is 8,192 rows
    assert update_work(base, tokens=32_768).launches <= 1040


def test_products_of_an_update_are_those_of_the_formula(base, update):
    """Six operations a token and weight, forward and backward; attention and embeddings left out."""
    model = base.model
    layer = 4 * model.d_model**2, 3 * model.d_model * model.ffn_dim
    weights = model.encoder_layers * sum(layer) + model.decoder_layers * (sum(layer) + layer[0]) + 8000 * model.d_model
    products = sum(kernel.flops for kernel in update.kernels if "attn" not in kernel.name)
    assert products == pytest.approx(6 * 4096 * weights, rel=0.02)


@pytest.mark.parametrize(("method", "most"), [(SearchMethod.beam, 211), (SearchMethod.greedy, 170)])
def test_decoding_steps(base, method, most):
    work = steps_work(base, SearchConfig(method=method, beam_size=4), sentences=64, length=20)
    assert work.host_reads == []
    assert work.launches <= 4 * most


def test_a_replayed_decoding_step_reads_nothing_on_the_host(base):
    work = replayed_step_work(base, SearchConfig(beam_size=4), sentences=64, length=20, slots=256)
    assert work.host_reads == []
    # of the device: kernels in one launch
    assert work.launches <= 223


def test_the_counter_tells_kernels_from_views_and_reads():
    def work():
        x = torch.ones(4, 4)  # 1
        y = (x @ x).view(16)[:8].t()  # 1
        torch._foreach_add_([x] * 200, 1.0)  # 2
        return y.sum().item()  # 1, and a read

    found = work_of(work)
    assert found.launches == 5
    assert found.host_reads == ["_local_scalar_dense"]
    assert sum(kernel.flops for kernel in found.kernels) == 2 * 4**3


def test_copies_between_layouts_are_launched_one_by_one():
    """As PyTorch does where strides differ; types may."""
    matrices, targets = ([torch.ones(4, 4, dtype=dtype) for _ in range(3)] for dtype in (torch.float32, torch.bfloat16))
    assert work_of(lambda: torch._foreach_copy_(targets, matrices)).launches == 1
    assert work_of(lambda: torch._foreach_copy_(targets, [x.t() for x in matrices])).launches == 3


def test_time_is_that_of_the_slower_of_host_and_device(update):
    slow, fast = (predict(update, launch=launch) for launch in (56e-6, 0.0))
    assert slow.seconds == slow.host == update.launches * 56e-6
    assert fast.seconds == fast.device >= sum(kernel.flops for kernel in update.kernels) / H100.products
