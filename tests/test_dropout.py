"""Dropout with cheap masks is dropout."""

import pytest
import torch

from translate.models.layers import Dropout, _random_bytes, dropout, dropout_mask


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.25, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dropout_keeps_the_expectation_at_the_configured_rate(rate, dtype):
    torch.manual_seed(0)
    x = torch.ones(1000, 1000, dtype=dtype)
    y = dropout(x, rate)
    assert y.dtype is dtype
    assert (y == 0).float().mean().item() == pytest.approx(rate, abs=1 / 512 + 1e-3)
    assert y.mean().item() == pytest.approx(1.0, abs=2e-3)


def test_the_scale_is_not_rounded_to_bfloat16():
    """All elements would be smaller by 0.3 %."""
    torch.manual_seed(0)
    x = torch.randn(1000, 100).bfloat16()
    y = dropout(x, 0.1)
    exact = x.double() * (256 / (256 - round(0.1 * 256)))
    assert torch.equal(y[y != 0], exact.bfloat16()[y != 0])


def test_dropout_gradient_uses_the_mask_of_the_forward_pass():
    x = torch.ones(64, 64, requires_grad=True)
    y = dropout(x, 0.3)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_every_byte_is_uniform():
    """Also each word's highest one: PyTorch's default range leaves its top bit empty."""
    bytes_ = _random_bytes(8 * 200_000, generator=torch.Generator().manual_seed(0)).view(-1, 8).float()
    for position in range(8):
        assert bytes_[:, position].mean().item() == pytest.approx(127.5, abs=0.7)
        assert bytes_[:, position].max() == 255


def test_successive_masks_are_uncorrelated():
    torch.manual_seed(0)
    masks = [dropout_mask(torch.Size([1000, 1000]), 0.5)[0].flatten().float() for _ in range(10)]
    assert torch.corrcoef(torch.stack(masks)).fill_diagonal_(0).abs().max() < 5e-3


def test_a_mask_larger_than_the_pool_is_drawn(monkeypatch):
    monkeypatch.setattr("translate.models.layers._POOL_SIZE", 1000)
    torch.manual_seed(0)
    first, second = (dropout_mask(torch.Size([40, 50]), 0.25)[0] for _ in range(2))
    assert (first != 0).float().mean().item() == pytest.approx(0.75, abs=0.05)
    assert not torch.equal(first, second)


def test_equal_seeds_give_equal_masks():
    x = torch.ones(100)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(dropout(x, 0.5))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_nothing_is_dropped_outside_training():
    x = torch.ones(10)
    assert torch.equal(Dropout(0.5).eval()(x), x)
