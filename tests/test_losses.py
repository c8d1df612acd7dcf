"""The loss against PyTorch's own cross entropy."""

import pytest
import torch
import torch.nn.functional as F

from translate.batch import NO_TARGET
from translate.losses.cross_entropy import label_smoothed_cross_entropy


def example(tokens=50, width=8, vocabulary=40):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(5, tokens // 5, width, generator=generator, requires_grad=True)
    weight = torch.randn(vocabulary, width, generator=generator, requires_grad=True)
    labels = torch.randint(0, vocabulary, (5, tokens // 5), generator=generator)
    labels[1, 3:] = NO_TARGET
    return hidden, weight, labels


def pytorchs(hidden, weight, labels, smoothing):
    logits = F.linear(hidden, weight).flatten(0, 1)
    return F.cross_entropy(logits, labels.flatten(), label_smoothing=smoothing, reduction="sum")


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_value_and_gradients_equal_pytorch(smoothing):
    hidden, weight, labels = example()
    expected = pytorchs(hidden, weight, labels, smoothing)
    gradients = torch.autograd.grad(expected, [hidden, weight])
    loss, plain = label_smoothed_cross_entropy(hidden, weight, labels, smoothing=smoothing)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(plain, pytorchs(hidden, weight, labels, 0.0).detach())
    for ours, theirs in zip(torch.autograd.grad(loss, [hidden, weight]), gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_labels_with_underflowing_probability_have_the_exact_loss(dtype):
    """As of a model that has diverged: at 87 nats and more exp(-loss) is no normal number of single precision."""
    hidden, weight, labels = (x.detach().to(dtype) if x.is_floating_point() else x for x in example())
    hidden *= 64
    expected = [pytorchs(hidden.double(), weight.double(), labels, smoothing).item() for smoothing in (0.1, 0.0)]
    losses = label_smoothed_cross_entropy(hidden, weight, labels, smoothing=0.1)
    assert expected[1] > 100 * labels.ne(NO_TARGET).sum()
    assert [loss.item() for loss in losses] == pytest.approx(expected, rel=1e-4 if dtype is torch.float32 else 5e-3)


@pytest.mark.parametrize("rows", [1, 7, 50, 64])
def test_chunk_size_changes_no_loss(rows, monkeypatch):
    monkeypatch.setattr("translate.losses.cross_entropy.ROWS_AT_ONCE", rows)
    hidden, weight, labels = example()
    loss, _ = label_smoothed_cross_entropy(hidden, weight, labels, smoothing=0.1)
    torch.testing.assert_close(loss, pytorchs(hidden, weight, labels, 0.1))


def test_loss_of_a_batch_without_labels_is_zero():
    hidden, weight, labels = example()
    loss, plain = label_smoothed_cross_entropy(hidden, weight, torch.full_like(labels, NO_TARGET), smoothing=0.1)
    loss.backward()
    assert loss.item() == plain.item() == 0.0
    assert not hidden.grad.any()
    assert not weight.grad.any()


def test_bfloat16_products_still_give_float32_sums():
    hidden, weight, labels = example(tokens=5000)
    exact = pytorchs(hidden, weight, labels, 0.1).item()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = label_smoothed_cross_entropy(hidden, weight, labels, smoothing=0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=1e-3)
