"""Losses of a second pass against PyTorch's distributions, and disturbances that are made by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence

from formulas import batch_of
from translate.batch import NO_TARGET, Batch
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES, Vocabularies, build_model

BATCH = batch_of([[5, 6, 7], [8], [9, 10, 11, 12]], [[13, 14], [15, 16, 17, 18], [19]])
REAL = BATCH.labels != NO_TARGET


def make_model(*, architecture: str = "transformer", dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    sizes = {"transformer": {"ffn_dim": 32, "num_heads": 4}}.get(architecture, {})
    config = ARCHITECTURES[architecture][0](
        d_model=16, encoder_layers=2, decoder_layers=2, max_length=12, dropout=dropout, **sizes
    )
    return build_model(config, Vocabularies(30, 30, shared=True)).train()


def value(name: str, model: nn.Module, **settings) -> float:
    """The loss after a first pass with seed 1, whatever is drawn in both."""
    config, function = AUXILIARY_LOSSES[name]
    torch.manual_seed(1)
    return float(function(config(**settings), model, BATCH, model(BATCH)).detach())


def predictions(model: nn.Module) -> Categorical:
    """Distributions of all real target tokens."""
    return Categorical(logits=model(BATCH).logits()[REAL])


def cross_entropy(model: nn.Module) -> Tensor:
    return F.cross_entropy(model(BATCH).logits()[REAL], BATCH.labels[REAL], reduction="sum")


@contextmanager
def embeddings_changed(model: nn.Module, source: Callable, target: Callable) -> Iterator[None]:
    handles = [
        side.register_forward_hook(lambda module, arguments, embedded, change=change: change(embedded))
        for side, change in ((model.source_embedding, source), (model.target_embedding, target))
    ]
    yield
    for handle in handles:
        handle.remove()


def test_r_drop_is_cross_entropy_plus_symmetric_divergence_of_two_passes():
    """Liang et al. 2021, equations 3 and 4, of which the first pass's cross entropy is the main loss."""
    model = make_model(dropout=0.3)
    found = value("r_drop", model, alpha=7.0)
    torch.manual_seed(1)
    first, logits = predictions(model), model(BATCH).logits()[REAL]
    second = Categorical(logits=logits)
    divergence = (kl_divergence(first, second) + kl_divergence(second, first)).sum() / 2
    plain = F.cross_entropy(logits, BATCH.labels[REAL], reduction="sum")
    assert divergence > 0.1
    assert found == pytest.approx(float((plain + 7 * divergence).detach()), rel=1e-5)


def test_sim_cut_is_the_divergence_from_embeddings_with_tokens_cut():
    """Gao et al. 2022, equation 4: each token of either side loses its whole embedding with the probability `cut`."""
    model = make_model()
    found = value("sim_cut", model, cut=0.4)
    torch.manual_seed(1)
    kept = [(torch.rand(side.ids.shape) >= 0.4).unsqueeze(-1) for side in (BATCH.source, BATCH.target)]
    assert all(mask.any() and not mask.all() for mask in kept)
    with embeddings_changed(model, lambda x: x * kept[0], lambda x: x * kept[1]):
        disturbed = predictions(model)
    expected = kl_divergence(predictions(model), disturbed).sum()
    assert expected > 0.1
    assert found == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("distance", [0.1, 2.0])
def test_adversarial_loss_uses_embeddings_moved_along_their_gradient(distance, dropout):
    """Miyato et al. 2017, equation 5, for the embeddings of each side of each pair; both passes drop the same."""
    model, embedded = make_model(dropout=dropout), []

    def remember(x: Tensor) -> Tensor:
        embedded.append(x)
        return x

    found = value("adversarial", model, distance=distance)
    torch.manual_seed(1)
    model(BATCH)
    random_state = torch.get_rng_state()
    with embeddings_changed(model, remember, remember):
        plain = cross_entropy(model)
        gradients = torch.autograd.grad(plain, embedded)
    moves = [torch.stack([distance * own / own.square().sum().sqrt() for own in gradient]) for gradient in gradients]
    torch.set_rng_state(random_state)
    with embeddings_changed(model, lambda x: x + moves[0], lambda x: x + moves[1]):
        expected = float(cross_entropy(model).detach())
    assert found == pytest.approx(expected, rel=1e-5)
    assert expected > float(plain.detach())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sim_cut_of_a_row_of_padding_adds_nothing(architecture, monkeypatch):
    """It draws for every token: here the same numbers for the same sentences."""
    numbers = torch.rand(4, 8, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(torch, "rand", lambda shape, **_: numbers[-shape[0] :, : shape[1]])
    model = make_model(architecture=architecture)

    def loss_and_gradients(batch: Batch) -> tuple[float, list[Tensor]]:
        config, function = AUXILIARY_LOSSES["sim_cut"]
        model.zero_grad()
        loss = function(config(cut=0.4), model, batch, model(batch))
        loss.backward()
        return loss.item(), [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]

    expected, expected_gradients = loss_and_gradients(BATCH)
    sentences = [[[5, 6, 7], [8], [9, 10, 11, 12]], [[13, 14], [15, 16, 17, 18], [19]]]
    longer = batch_of(*([[], *side] for side in sentences))
    for side in (longer.source, longer.target):
        side.mask[0] = False
    longer.labels[0] = NO_TARGET
    found, gradients = loss_and_gradients(longer)
    assert found > 1e-3
    assert found == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-3, atol=1e-5)
