"""Auxiliary losses: what they are by hand, and that each can be learned from."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from documented_code import example_of
from small_runs import ON_CPU, update_config
from translate.batch import NO_TARGET, pad_batch
from translate.distributed import World
from translate.explanation import uncovered
from translate.losses import AUXILIARY_LOSSES, label_smoothed_cross_entropy
from translate.losses.attention import Over, received_shares
from translate.losses.cross_entropy import kl_divergence
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.attention import Weighting
from translate.models.seq2seq import Output
from translate.training.optimizer import OptimizerConfig, make_optimizer
from translate.training.parallel import parallelize
from translate.training.step import train_step

PENALTY = example_of("losses.md")
ALL = AUXILIARY_LOSSES | {"confidence_penalty": (PENALTY.ConfidencePenaltyConfig, PENALTY.confidence_penalty)}
every_loss = pytest.mark.parametrize("name", ALL)


def make_batch():
    random = np.random.default_rng(0)
    source, target = ([random.integers(4, 30, random.integers(1, 9)) for _ in range(6)] for _ in range(2))
    return pad_batch(source, target)


def make_model(architecture="transformer", **settings):
    torch.manual_seed(0)
    config = ARCHITECTURES[architecture][0].tiny(max_length=20, **settings)
    return build_model(config, Vocabularies(30, 30, shared=True)).train()


def value(name, model, batch, **settings):
    config, function = ALL[name]
    torch.manual_seed(1)
    return function(config(**settings), model, batch, model(batch, return_attention=True))


def real_attention(model, batch):
    """Mean weights of each sentence without padding: arrays (T, S)."""
    weights = model(batch, return_attention=True).attention.mean(1)
    lengths = zip((batch.labels != NO_TARGET).sum(1).tolist(), batch.source.mask.sum(1).tolist(), strict=True)
    return [weights[row, :t, :s] for row, (t, s) in enumerate(lengths)]


def test_self_attention_loss_over_softmax_keys_is_zero():
    model, batch = make_model(dropout=0.0), make_batch()
    assert value("self_attention_loss", model, batch, over=Over.keys).item() < 1e-10
    sigmoid = make_model(dropout=0.0, attention=Weighting.sigmoid)
    assert value("self_attention_loss", sigmoid, batch, over=Over.keys).item() > 0.1


def test_self_attention_loss_over_queries_is_squared_distance_from_one():
    model, batch = make_model(dropout=0.0), make_batch()
    expected = sum(((weights.sum(0) - 1) ** 2).sum().item() for weights in real_attention(model, batch))
    assert value("self_attention_loss", model, batch).item() == pytest.approx(expected, rel=1e-5)


def test_uncovered_tokens_receive_attention_below_the_threshold():
    model, batch = make_model(dropout=0.0), make_batch()
    expected = sum(int((weights.sum(0) < 0.2).sum()) for weights in real_attention(model, batch))
    assert int(uncovered(batch, model(batch, return_attention=True))) == expected > 0


def test_uniform_attention_gives_plain_cross_entropy():
    """Then the attention-weighted cross entropy is the plain one, exactly."""
    batch, model = make_batch(), make_model(dropout=0.0)
    output = model(batch, return_attention=True)
    lengths = batch.source.mask.sum(1).float()
    uniform = (batch.source.mask / lengths[:, None])[:, None, None].expand_as(output.attention)
    config, function = AUXILIARY_LOSSES["attention_weighted_cross_entropy"]
    found = function(config(), model, batch, Output(output.hidden, output.weight, uniform))
    plain = label_smoothed_cross_entropy(output.hidden, output.weight, batch.labels, smoothing=0.0)[0]
    torch.testing.assert_close(found, plain)


def test_received_attention_is_normalised_per_sentence():
    weights = torch.tensor([[[0.9, 0.1], [0.8, 0.2], [0.0, 0.0]]])
    target = torch.tensor([[1.0, 1.0, 0.0]])
    received = torch.tensor([1.7, 0.3])
    raw = torch.stack([weights[0, 0] @ received, weights[0, 1] @ received, torch.tensor(0.0)])
    torch.testing.assert_close(received_shares(weights, target)[0], raw * 2 / raw.sum())


def test_weighted_cross_entropy_has_the_value_and_gradients_of_the_formula():
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(7, 5, generator=generator), torch.randn(11, 5, generator=generator)
    labels = torch.tensor([1, 2, NO_TARGET, 4, 10, 0, 3])
    shares = torch.rand(7, generator=generator)
    results = []
    for kind in ("ours", "formula"):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        if kind == "ours":
            loss, _ = label_smoothed_cross_entropy(h, w, labels, smoothing=0.1, shares=shares)
        else:
            losses = F.cross_entropy(h @ w.T, labels, reduction="none", label_smoothing=0.1, ignore_index=NO_TARGET)
            loss = (losses * shares).sum()
        results.append((loss, *torch.autograd.grad(loss, (h, w))))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_divergence_has_the_value_and_gradients_of_the_formula(monkeypatch):
    monkeypatch.setattr("translate.losses.cross_entropy.ROWS_AT_ONCE", 3)
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 7, 5, generator=generator)
    weight = torch.randn(11, 5, generator=generator)
    labels = torch.tensor([1, 2, NO_TARGET, 4, 10, 0, 3])
    results = []
    for kind in ("ours", "formula"):
        p, q, w = (x.clone().requires_grad_() for x in (first, second, weight))
        if kind == "ours":
            loss = kl_divergence(p, q, w, labels)
        else:
            log_p, log_q = ((x @ w.T).log_softmax(-1)[labels != NO_TARGET] for x in (p, q))
            loss = F.kl_div(log_q, log_p, log_target=True, reduction="sum")
        results.append((loss, *torch.autograd.grad(loss, (p, q, w))))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-6)


def test_attention_entropy_and_guided_attention_match_their_formulas():
    model, batch = make_model(dropout=0.0, num_heads=1), make_batch()
    entropy = guided = 0.0
    for weights in real_attention(model, batch):
        t, s = (torch.arange(length) / length for length in weights.shape)
        entropy -= (weights * weights.log()).sum().item()
        guided += (weights * (1 - torch.exp(-((t[:, None] - s) ** 2) / (2 * 0.2**2)))).sum().item()
    assert value("attention_entropy", model, batch).item() == pytest.approx(entropy, rel=1e-5)
    assert value("guided_attention", model, batch).item() == pytest.approx(guided, rel=1e-5)


def test_documented_confidence_penalty_is_minimal_for_uniform_predictions():
    model, batch = make_model(dropout=0.0), make_batch()
    tokens = int((batch.labels != NO_TARGET).sum())
    distributions = torch.distributions.Categorical(logits=model(batch).logits()[batch.labels != NO_TARGET])
    assert value("confidence_penalty", model, batch).item() == pytest.approx(-distributions.entropy().sum().item())
    torch.nn.init.zeros_(model.projection.weight)
    assert value("confidence_penalty", model, batch).item() == pytest.approx(-tokens * math.log(30))


def test_without_dropout_and_cuts_consistency_losses_are_zero():
    model, batch = make_model(dropout=0.0), make_batch()
    plain = label_smoothed_cross_entropy(*_hidden(model, batch), batch.labels, smoothing=0.0)[0].item()
    assert value("r_drop", model, batch).item() == pytest.approx(plain, rel=1e-5)
    assert value("sim_cut", model, batch, cut=0.0).item() == pytest.approx(0, abs=1e-4)


def _hidden(model, batch):
    output = model(batch)
    return output.hidden, output.weight


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_adversarial_perturbation_raises_the_loss(architecture):
    model, batch = make_model(architecture, dropout=0.0), make_batch()
    plain = value("adversarial", model, batch, distance=0.0).item()
    assert value("adversarial", model, batch, distance=0.1).item() > plain + 0.05
    against = value("adversarial", model, batch, distance=-0.1).item()
    assert against < plain


def learned(architecture, *, backend=None):
    """Result of the last of two updates with every loss, and the weights; backend of torch.compile, None: none."""
    model = make_model(architecture)
    trained = parallelize(model, World(), ON_CPU)
    if backend is not None:
        torch._dynamo.reset()
        model.compile(backend=backend)
    optimizer = make_optimizer(model, OptimizerConfig(learning_rate=1e-2))
    settings = update_config(**{name: config.tiny() for name, (config, _) in ALL.items()})
    torch.manual_seed(2)
    for step in (1, 2):
        pending = train_step(trained, optimizer, [make_batch()], settings, World(), step=step)
    return pending.result(), [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_compiled_model_has_equal_losses(architecture, monkeypatch):
    """sim_cut was 0.0 and adversarial crashed while hooks changed the embeddings: a compiled model skips them."""
    for name, loss in ALL.items():
        monkeypatch.setitem(AUXILIARY_LOSSES, name, loss)
    monkeypatch.setattr("translate.models.layers.pooled_dropout", F.dropout)  # as in a compiled model
    plain, weights = learned(architecture)
    compiled, compiled_weights = learned(architecture, backend="eager")
    assert plain.auxiliary.keys() == ALL.keys()
    assert all(plain.auxiliary.values())
    assert compiled.auxiliary == plain.auxiliary
    assert compiled.loss == plain.loss
    for ours, expected in zip(compiled_weights, weights, strict=True):
        assert torch.equal(ours, expected)


def without_labels(batch, rows):
    """The batch with no labels in these rows, as ranks get it that are left over at the end of an epoch."""
    labels = batch.labels.clone()
    labels[rows] = NO_TARGET
    return replace(batch, labels=labels, num_target_tokens=int((labels != NO_TARGET).sum()))


def with_an_empty_row(batch):
    """The batch with a first row of padding alone, on both sides."""
    masks = [side.mask.clone() for side in (batch.source, batch.target)]
    for mask in masks:
        mask[0] = False
    source, target = (replace(side, mask=mask) for side, mask in zip((batch.source, batch.target), masks, strict=True))
    return replace(without_labels(batch, [0]), source=source, target=target)


def loss_and_gradients(name, model, batch):
    model.zero_grad()
    loss = value(name, model, batch)
    loss.backward()
    return loss.item(), [x.grad.clone() for x in model.parameters() if x.grad is not None]


@every_loss
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_without_labels_every_loss_and_gradient_is_zero(name, architecture):
    model, batch = make_model(architecture, dropout=0.1), make_batch()
    loss, gradients = loss_and_gradients(name, model, without_labels(batch, slice(None)))
    assert loss == 0
    assert all(torch.equal(gradient, torch.zeros_like(gradient)) for gradient in gradients)


# sim_cut draws for every token, of a row of padding as well: see test_consistency_loss_formulas.py
@pytest.mark.parametrize("name", [name for name in ALL if name != "sim_cut"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_row_of_padding_changes_no_loss(name, architecture):
    model, batch = make_model(architecture, dropout=0.0), with_an_empty_row(make_batch())
    others = pad_batch(
        [ids[mask].numpy()[:-1] for ids, mask in list(zip(batch.source.ids, batch.source.mask, strict=True))[1:]],
        [row[row != NO_TARGET].numpy()[:-1] for row in batch.labels[1:]],
    )
    loss, gradients = loss_and_gradients(name, model, batch)
    expected, expected_gradients = loss_and_gradients(name, model, others)
    assert loss == pytest.approx(expected, rel=1e-4)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-4)
