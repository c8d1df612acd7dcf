"""The Transformer with each of its options against the formulas of their papers in NumPy, one sentence at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from formulas import Array, Weights, logits_by_steps, sigmoid, softmax
from translate.models import Vocabularies, build_model
from translate.models.transformer import TransformerConfig
from translate.tokenizer import BOS, EOS

D, H = 8, 2
W = D // H
SOURCES, TARGET = [[5, 6, 7, 8], [9, 10]], [11, 12, 13, 12, 14]
OPTIONS = [
    {},
    {"norm_order": "post"},
    {"norm": "rms_norm"},
    {"norm": "rms_norm", "norm_order": "post", "activation": "swiglu"},
    {"activation": "gelu"},
    {"positions": "learned"},
    {"positions": "rotary"},
    {"positions": "none"},
    {"attention": "sigmoid"},
    {"attention": "sigmoid", "positions": "rotary", "activation": "swiglu", "norm": "rms_norm"},
]


def normalise(weights: Weights, name: str, x: Array) -> Array:
    """Layer norm (Ba et al. 2016), or without a bias RMSNorm (Zhang and Sennrich 2019)."""
    if f"{name}.bias" not in weights:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * weights[f"{name}.weight"]
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def rotate(x: Array) -> Array:
    """Su et al. 2021, section 3.2: pairs (i, W/2 + i) of a head's vector (L, W) turned by t · 10,000^(-2i/W)."""
    turned = np.empty_like(x)
    for t, i in np.ndindex(len(x), W // 2):
        angle = t * 10_000 ** (-2 * i / W)
        first, second = x[t, i], x[t, W // 2 + i]
        turned[t, i] = first * math.cos(angle) - second * math.sin(angle)
        turned[t, W // 2 + i] = first * math.sin(angle) + second * math.cos(angle)
    return turned


def attend(query: Array, key: Array, value: Array, config: TransformerConfig, *, causal: bool, turned: bool) -> Array:
    """Vaswani et al. 2017, equation 1, for each head; with sigmoids Ramapuram et al. 2024, bias -log n."""
    heads = []
    for head in range(H):
        part = slice(head * W, (head + 1) * W)
        q, k = (rotate(x[:, part]) if turned else x[:, part] for x in (query, key))
        scores = q @ k.T / math.sqrt(W)
        visible = np.tri(*scores.shape, dtype=bool) if causal else np.ones(scores.shape, dtype=bool)
        if config.attention == "sigmoid":
            shares = sigmoid(scores - np.log(visible.sum(-1, keepdims=True))) * visible
        else:
            shares = softmax(np.where(visible, scores, -np.inf))
        heads.append(shares @ value[:, part])
    return np.concatenate(heads, axis=-1)


def self_attend(weights: Weights, name: str, x: Array, config: TransformerConfig, *, causal: bool) -> Array:
    parts = np.split(weights.linear(f"{name}.self_attention.query_key_value", x), 3, axis=-1)
    heads = attend(*parts, config, causal=causal, turned=config.positions == "rotary")
    return weights.linear(f"{name}.self_attention.output", heads)


def cross_attend(weights: Weights, name: str, x: Array, memory: Array, config: TransformerConfig) -> Array:
    key, value = np.split(weights.linear(f"{name}.cross_attention.key_value", memory), 2, axis=-1)
    heads = attend(weights.linear(f"{name}.cross_attention.query", x), key, value, config, causal=False, turned=False)
    return weights.linear(f"{name}.cross_attention.output", heads)


def feed_forward(weights: Weights, name: str, x: Array, config: TransformerConfig) -> Array:
    """Vaswani et al. 2017, equation 2; GELU of Hendrycks and Gimpel 2016; SwiGLU of Shazeer 2020, equation 6."""
    hidden = weights.linear(f"{name}.feed_forward.inner", x)
    if config.activation == "swiglu":
        gate, value = np.split(hidden, 2, axis=-1)
        hidden = gate * sigmoid(gate) * value
    elif config.activation == "gelu":
        hidden = hidden * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2))) / 2
    else:
        hidden = np.maximum(hidden, 0)
    return weights.linear(f"{name}.feed_forward.outer", hidden)


def run_layer(weights: Weights, name: str, x: Array, sublayers, config: TransformerConfig) -> Array:
    """Residual connections, norms before the sublayers or after them (Xiong et al. 2020, table 1)."""
    norms = [key.removesuffix(".weight") for key in weights if key.startswith(name) and key.endswith("norm.weight")]
    for norm, sublayer in zip(norms, sublayers, strict=True):
        if config.norm_order == "pre":
            x = x + sublayer(normalise(weights, norm, x))
        else:
            x = normalise(weights, norm, x + sublayer(x))
    return x


def embed(weights: Weights, side: str, ids: list[int], config: TransformerConfig) -> Array:
    x = weights[f"{side}_embedding.tokens.weight"][ids] * math.sqrt(D)
    if config.positions == "learned":
        x = x + weights[f"{side}_embedding.positions"][: len(ids)]
    if config.positions == "sinusoidal":  # section 3.5, with all sines before all cosines
        angles = np.array([[t / 10_000 ** (2 * i / D) for i in range(D // 2)] for t in range(len(ids))])
        x = x + np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    return x


def logits_by_formula(weights: Weights, config: TransformerConfig, source: list[int]) -> Array:
    final = (lambda name, x: normalise(weights, name, x)) if config.norm_order == "pre" else (lambda name, x: x)
    memory = embed(weights, "source", [*source, EOS], config)
    for name in weights.layers("encoder.layers."):
        sublayers = [
            lambda x, name=name: self_attend(weights, name, x, config, causal=False),
            lambda x, name=name: feed_forward(weights, name, x, config),
        ]
        memory = run_layer(weights, name, memory, sublayers, config)
    memory = final("encoder.norm", memory)
    x = embed(weights, "target", [BOS, *TARGET], config)
    for name in weights.layers("decoder.layers."):
        sublayers = [
            lambda x, name=name: self_attend(weights, name, x, config, causal=True),
            lambda x, name=name: cross_attend(weights, name, x, memory, config),
            lambda x, name=name: feed_forward(weights, name, x, config),
        ]
        x = run_layer(weights, name, x, sublayers, config)
    return final("decoder.norm", x) @ weights["projection.weight"].T


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_logits_are_those_of_the_papers(options):
    torch.manual_seed(0)
    config = TransformerConfig(d_model=D, ffn_dim=12, num_heads=H, encoder_layers=2, decoder_layers=2, max_length=12)
    for name, value in options.items():
        setattr(config, name, type(getattr(config, name))(value))
    model = build_model(config, Vocabularies(20, 20, shared=True)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms as well, which begin at zero and one
            parameter.add_(0.1 * torch.randn_like(parameter))
    for source, found in zip(SOURCES, logits_by_steps(model, SOURCES, TARGET), strict=True):
        # tables of positions have single precision
        np.testing.assert_allclose(found, logits_by_formula(Weights(model), config, source), rtol=1e-5, atol=1e-6)
