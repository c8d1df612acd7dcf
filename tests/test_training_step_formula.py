"""One update against a plain PyTorch loop: losses, their weights, the division by tokens, clipping."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from documented_code import example_of
from formulas import batch_of
from small_runs import ON_CPU, update_config
from translate.batch import Batch
from translate.distributed import World
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.training.parallel import parallelize
from translate.training.step import train_step

PENALTY = example_of("losses.md")
ALL = AUXILIARY_LOSSES | {"confidence_penalty": (PENALTY.ConfidencePenaltyConfig, PENALTY.confidence_penalty)}
BATCHES = [
    batch_of([[5, 6, 7], [8], [9, 10, 11, 12]], [[13, 14], [15, 16, 17, 18], [19]]),
    batch_of([[6, 6], [7, 8, 9]], [[20, 21, 22], [23]]),
]
TOKENS = sum(batch.num_target_tokens for batch in BATCHES)


def make_model(architecture: str) -> nn.Module:
    torch.manual_seed(0)
    sizes = {"transformer": {"ffn_dim": 32, "num_heads": 4}}.get(architecture, {})
    config = ARCHITECTURES[architecture][0](
        d_model=16, encoder_layers=2, decoder_layers=2, max_length=12, dropout=0.1, **sizes
    )
    return build_model(config, Vocabularies(30, 30, shared=True)).train()


def cross_entropy(output, batch: Batch, *, smoothing: float) -> Tensor:
    logits = output.logits().flatten(0, 1)
    return F.cross_entropy(logits, batch.labels.flatten(), label_smoothing=smoothing, reduction="sum")


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, weights = zip(*model.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
    return dict(zip(names, found, strict=True))


def updated(architecture: str, *, clip_norm: float = 0.0, **auxiliary):
    """The result of one update by plain gradient descent at a rate of 1, and the changes of all weights."""
    model = make_model(architecture)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, fused=True)
    config = update_config(smoothing=0.1, clip_norm=clip_norm, **auxiliary)
    torch.manual_seed(2)
    pending = train_step(parallelize(model, World(), ON_CPU), optimizer, BATCHES, config, World(), step=1)
    return pending.result(), {name: weight.detach() - before[name] for name, weight in model.named_parameters()}


def assert_descends(changes: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, gradient in expected.items():
        torch.testing.assert_close(changes[name], -gradient, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("clip_norm", [0.0, 0.05, 100.0])
def test_update_equals_a_plain_training_loop(clip_norm):
    model = make_model("transformer")
    torch.manual_seed(2)
    outputs = [model(batch) for batch in BATCHES]
    loss, plain = (
        sum(cross_entropy(output, batch, smoothing=smoothing) for output, batch in zip(outputs, BATCHES, strict=True))
        / TOKENS
        for smoothing in (0.1, 0.0)
    )
    expected, loss = gradients(model, loss), loss.detach()
    norm = float(torch.cat([gradient.flatten() for gradient in expected.values()]).norm())
    assert 0.05 < norm < 100
    result, changes = updated("transformer", clip_norm=clip_norm)
    assert result.loss == pytest.approx(float(loss), rel=1e-5)
    assert result.cross_entropy == pytest.approx(float(plain.detach()), rel=1e-5)
    assert result.gradient_norm == pytest.approx(norm, rel=1e-4), "before it is clipped"
    scale = min(1.0, clip_norm / norm) if clip_norm else 1.0
    assert_descends(changes, {name: scale * gradient for name, gradient in expected.items()})


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_auxiliary_loss_is_reported_per_token_and_added_by_its_weight(name, architecture, monkeypatch):
    monkeypatch.setitem(AUXILIARY_LOSSES, name, ALL[name])
    config, function = ALL[name][0](weight=0.7), ALL[name][1]
    model = make_model(architecture)
    torch.manual_seed(2)
    total, reported = torch.zeros(()), 0.0
    for batch in BATCHES:
        output = model(batch, return_attention=config.NEEDS_ATTENTION)
        auxiliary = function(config, model, batch, output)
        total = total + cross_entropy(output, batch, smoothing=0.1) + 0.7 * auxiliary
        reported += float(auxiliary.detach()) / TOKENS
    expected = gradients(model, total / TOKENS)
    result, changes = updated(architecture, **{name: config})
    assert result.auxiliary == {name: pytest.approx(reported, rel=1e-4)}
    assert abs(reported) > 1e-4
    assert_descends(changes, expected)


def test_two_auxiliary_losses_are_both_added():
    configs = {
        name: AUXILIARY_LOSSES[name][0](weight=weight)
        for name, weight in (("guided_attention", 2.0), ("attention_entropy", -0.5))
    }
    model = make_model("transformer")
    torch.manual_seed(2)
    total = torch.zeros(())
    for batch in BATCHES:
        output = model(batch, return_attention=True)
        total = total + cross_entropy(output, batch, smoothing=0.1)
        for name, config in configs.items():
            total = total + config.weight * AUXILIARY_LOSSES[name][1](config, model, batch, output)
    result, changes = updated("transformer", **configs)
    assert list(result.auxiliary) == list(configs)
    assert_descends(changes, gradients(model, total / TOKENS))
