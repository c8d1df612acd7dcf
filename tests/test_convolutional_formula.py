"""The convolutional model against Gehring et al. 2017, with PyTorch's own convolution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from formulas import logits_by_steps, teacher_forced
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.convolutional import GatedConvolution
from translate.tokenizer import BOS, EOS

D = 8
SOURCES, TARGET = [[5, 6, 7, 8, 9], [10, 11]], [12, 13, 14, 13, 12, 11]
HALF = math.sqrt(0.5)


def make_config(kernel_size: int):
    return ARCHITECTURES["convolutional"][0](
        d_model=D, max_length=12, encoder_layers=2, decoder_layers=3, kernel_size=kernel_size
    )


def convolve(linear: nn.Linear, x: Tensor, *, before: int, after: int) -> Tensor:
    """x (L, D) with zeros around it through conv1d, then a gated linear unit: A ⊗ σ(B) of its halves (Dauphin 2017)."""
    size = linear.in_features // D
    kernel = linear.weight.view(2 * D, size, D).transpose(1, 2)  # conv1d wants (out, in, C)
    padded = F.pad(x.T, (before, after))
    result = F.conv1d(padded[None], kernel, linear.bias)[0].T
    return result[:, :D] * result[:, D:].sigmoid()


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 5])
def test_gated_convolution_equals_conv1d_and_glu(kernel_size):
    torch.manual_seed(0)
    layer = GatedConvolution(make_config(kernel_size)).double()
    x = torch.randn(7, D, dtype=torch.float64)
    surroundings = torch.cat([x.new_zeros(kernel_size - 1, D), x])
    expected = convolve(layer.linear, x, before=kernel_size - 1, after=0)
    torch.testing.assert_close(layer(surroundings[None])[0], expected)


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_gated_convolution_matches_its_formula(kernel_size):
    torch.manual_seed(0)
    layer = GatedConvolution(make_config(kernel_size)).double()
    x = np.random.default_rng(0).normal(size=(5, D))
    weight, bias = layer.linear.weight.detach().numpy(), layer.linear.bias.detach().numpy()
    found = layer(torch.from_numpy(x)[None])[0].detach().numpy()
    for t in range(len(x) - kernel_size + 1):
        for d in range(D):
            value, gate = bias[d], bias[D + d]
            for offset in range(kernel_size):
                for i in range(D):
                    value += weight[d, offset * D + i] * x[t + offset, i]
                    gate += weight[D + d, offset * D + i] * x[t + offset, i]
            assert found[t, d] == pytest.approx(value / (1 + math.exp(-gate)), abs=1e-12)


def embed(embedding: nn.Module, ids: list[int]) -> Tensor:
    return embedding.tokens.weight[ids] * math.sqrt(D) + embedding.positions[: len(ids)]


def read_and_write(model: nn.Module, config, source: list[int]) -> tuple[Tensor, Tensor]:
    """Logits (T, V) of one sentence by section 3, with scores divided by √D, and attention (T, S) of the last layer."""
    reach = config.kernel_size - 1
    read = embed(model.source_embedding, [*source, EOS])
    z = read
    for layer in model.encoder:
        z = (z + convolve(layer.linear, z, before=reach // 2, after=reach - reach // 2)) * HALF
    values = (z + read) * HALF
    g = embed(model.target_embedding, [BOS, *TARGET])
    h = g
    for layer in model.decoder:
        gated = convolve(layer.convolution.linear, h, before=reach, after=0)  # a token sees no later one
        query = (layer.query(gated) + g) * HALF
        attention = (query @ z.T / math.sqrt(D)).softmax(-1)
        context = attention @ values * math.sqrt(len(z))  # section 3.5: m √(1/m) restores the variance of a mean
        h = (h + (gated + layer.mean(context)) * HALF) * HALF
    return model.output(h) @ model.projection.weight.T, attention


@pytest.mark.parametrize("kernel_size", [2, 3, 4])
def test_logits_and_attention_match_the_paper(kernel_size):
    torch.manual_seed(0)
    config = make_config(kernel_size)
    model = build_model(config, Vocabularies(20, 20, shared=True)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases as well, which begin at zero
            parameter.add_(0.1 * torch.randn_like(parameter))
        by_steps, forced = logits_by_steps(model, SOURCES, TARGET), teacher_forced(model, SOURCES, TARGET)
        for index, source in enumerate(SOURCES):
            logits, attention = read_and_write(model, config, source)
            # the root of the number of source tokens has single precision
            for found, expected in zip(
                (by_steps[index], *forced[index]), (logits, logits, attention[None]), strict=True
            ):
                np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
