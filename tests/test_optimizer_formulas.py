"""Optimizers against their formulas in NumPy, over several updates with a learning rate that changes."""

from __future__ import annotations

import numpy as np
import torch

from translate.models import Vocabularies, build_model
from translate.models.transformer import TransformerConfig
from translate.training.optimizer import OptimizerConfig, OptimizerName, fits_optimizer, make_optimizer

Array = np.ndarray
RATES = [0.01, 0.02, 0.005]


def make_model():
    torch.manual_seed(0)
    config = TransformerConfig(d_model=8, ffn_dim=12, num_heads=2, encoder_layers=1, decoder_layers=1)
    return build_model(config, Vocabularies(20, 20, shared=True))


def gradients(name: str, shape: tuple[int, ...]) -> list[Array]:
    """One gradient for each update."""
    random = np.random.default_rng(sum(name.encode()))
    return [random.normal(size=shape).astype(np.float32) for _ in RATES]


def trained(config: OptimizerConfig) -> tuple[dict[str, Array], dict[str, Array]]:
    """Weights of a model before and after the updates."""
    model = make_model()
    optimizer = make_optimizer(model, config)
    before = {name: weight.detach().numpy().astype(np.float64) for name, weight in model.named_parameters()}
    for update, rate in enumerate(RATES):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for name, weight in model.named_parameters():
            weight.grad = torch.from_numpy(gradients(name, weight.shape)[update])
        optimizer.step()
    return before, {name: weight.detach().numpy() for name, weight in model.named_parameters()}


def adamw(weight: Array, steps: list[Array], config: OptimizerConfig, *, decay: float) -> Array:
    """Loshchilov and Hutter 2019, algorithm 2."""
    (beta1, beta2), mean, square = config.betas, np.zeros_like(weight), np.zeros_like(weight)
    for t, (rate, gradient) in enumerate(zip(RATES, steps, strict=True), start=1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        corrected = (mean / (1 - beta1**t)) / (np.sqrt(square / (1 - beta2**t)) + config.epsilon)
        weight = weight - rate * (corrected + decay * weight)
    return weight


def orthogonalise(matrix: Array) -> Array:
    """Five Newton-Schulz iterations with Jordan et al.'s (2024) coefficients, for a matrix that is not tall."""
    x = matrix / np.linalg.norm(matrix)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x


def muon(weight: Array, steps: list[Array], config: OptimizerConfig) -> Array:
    """Nesterov momentum, made orthogonal, as large as an update of AdamW: 0.2 √max(n, m) (Liu et al. 2025)."""
    momentum = np.zeros_like(weight)
    for rate, gradient in zip(RATES, steps, strict=True):
        momentum = config.momentum * momentum + (1 - config.momentum) * gradient
        ahead = config.momentum * momentum + (1 - config.momentum) * gradient
        tall = ahead.shape[0] > ahead.shape[1]
        change = orthogonalise(ahead.T).T if tall else orthogonalise(ahead)
        weight = weight - rate * (0.2 * max(weight.shape) ** 0.5 * change + config.weight_decay * weight)
    return weight


def test_adamw_matches_its_formula_and_decays_only_matrices():
    config = OptimizerConfig(betas=[0.8, 0.95], epsilon=1e-3, weight_decay=0.3)
    before, after = trained(config)
    for name, weight in before.items():
        decay = 0.3 if weight.ndim == 2 else 0.0
        expected = adamw(weight, gradients(name, weight.shape), config, decay=decay)
        np.testing.assert_allclose(after[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_muon_matches_its_formula_on_hidden_matrices_and_adamw_elsewhere():
    config = OptimizerConfig(name=OptimizerName.muon, momentum=0.9, weight_decay=0.3)
    before, after = trained(config)
    hidden = {name for name, weight in before.items() if weight.ndim == 2 and "embedding" not in name}
    assert len(hidden) == 4 + 7, "maps of the encoder layer and of the decoder layer"
    for name, weight in before.items():
        steps = gradients(name, weight.shape)
        if name in hidden:
            expected = muon(weight, steps, config)
            error = np.linalg.norm(after[name] - expected) / np.linalg.norm(expected - weight)
            assert error < 0.02, (name, "the iterations have the precision of bfloat16")
        else:
            expected = adamw(weight, steps, config, decay=0.3 if weight.ndim == 2 else 0.0)
            np.testing.assert_allclose(after[name], expected, rtol=1e-4, atol=1e-5, err_msg=name)


def test_muon_equals_pytorch_on_one_matrix():
    config = OptimizerConfig(name=OptimizerName.muon, momentum=0.9, weight_decay=0.3)
    before, after = trained(config)
    name = "encoder.layers.0.feed_forward.inner.weight"
    weight = torch.nn.Parameter(torch.from_numpy(before[name]).float())
    theirs = torch.optim.Muon([weight], momentum=0.9, weight_decay=0.3, adjust_lr_fn="match_rms_adamw")
    for rate, gradient in zip(RATES, gradients(name, tuple(weight.shape)), strict=True):
        theirs.param_groups[0]["lr"] = rate
        weight.grad = torch.from_numpy(gradient)
        theirs.step()
    np.testing.assert_array_equal(after[name], weight.detach().numpy())


def test_a_stored_state_without_a_value_of_adamw_does_not_fit():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimizer.step()
    saved = optimizer.state_dict()
    assert fits_optimizer(saved, optimizer)
    del saved["state"][0]["step"]
    assert not fits_optimizer(saved, optimizer)
