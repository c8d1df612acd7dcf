"""The Transformer of the papers in NumPy, one sentence at a time, with weights of a model of this program.

Letters: S and T source and target tokens, D width, H heads, W = D / H.
"""

from __future__ import annotations

import math

import numpy as np

from formulas import Array, Weights, sigmoid, softmax
from translate.models.transformer import TransformerConfig


def normalise(weights: Weights, name: str, x: Array, config: TransformerConfig) -> Array:
    """Layer norm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019)."""
    if config.norm == "rms_norm":
        return rms_normalise(x, 1e-6) * weights[f"{name}.weight"]
    scaled = rms_normalise(x - x.mean(-1, keepdims=True), 1e-5)
    return scaled * weights[f"{name}.weight"] + weights.get(f"{name}.bias", 0.0)


def rms_normalise(x: Array, epsilon: float) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon)


def rotate(x: Array) -> Array:
    """Su et al. 2021, section 3.2: pairs (i, W/2 + i) of a head's vector (L, W) turned by t · 10,000^(-2i/W)."""
    width = x.shape[1]
    turned = np.empty_like(x)
    for t, i in np.ndindex(len(x), width // 2):
        angle = t * 10_000 ** (-2 * i / width)
        first, second = x[t, i], x[t, width // 2 + i]
        turned[t, i] = first * math.cos(angle) - second * math.sin(angle)
        turned[t, width // 2 + i] = first * math.sin(angle) + second * math.cos(angle)
    return turned


def attend(
    weights: Weights, name: str, parts: tuple[Array, Array, Array], config: TransformerConfig, *, causal: bool
) -> tuple[Array, Array]:
    """Vaswani et al. 2017, equation 1, for each head; with sigmoids Ramapuram et al. 2024, bias -log n.

    parts are queries (T, D), keys and values (S, D); causal is self-attention of the decoder. A prefix of keys and
    values stands before those of the sentence (Li and Liang 2021). Also returns the weights (H, T, S).
    """
    heads, maps = [], []
    for head, (q, k, v) in enumerate(zip(*(np.split(part, config.num_heads, axis=1) for part in parts), strict=True)):
        if f"{name}.query_norm.weight" in weights:
            epsilon = 1e-6 if config.norm == "rms_norm" else 1e-5
            q = rms_normalise(q, epsilon) * weights[f"{name}.query_norm.weight"]
            k = rms_normalise(k, epsilon) * weights[f"{name}.key_norm.weight"]
        if config.positions == "rotary" and name.endswith("self_attention"):
            q, k = rotate(q), rotate(k)
        visible = np.tri(len(q), dtype=bool) if causal else np.ones((len(q), len(k)), dtype=bool)
        bias = np.zeros(visible.shape)
        if f"{name}.prefix.key" in weights:
            before = [weights[f"{name}.prefix.{kind}"][head] for kind in ("key", "value", "bias")]
            k, v = np.concatenate([before[0], k]), np.concatenate([before[1], v])
            added = ((0, 0), (len(before[0]), 0))
            visible = np.pad(visible, added, constant_values=True)
            bias = np.pad(bias, added, constant_values=before[2].item())
        scores = q @ k.T / math.sqrt(k.shape[1]) + bias
        if config.attention == "sigmoid":
            shares = sigmoid(scores - np.log(visible.sum(-1, keepdims=True))) * visible
        else:
            shares = softmax(np.where(visible, scores, -np.inf))
        heads.append(shares @ v)
        maps.append(shares[:, len(k) - len(parts[1]) :])
    return weights.linear(f"{name}.output", np.concatenate(heads, axis=-1)), np.stack(maps)


def self_attend(weights: Weights, layer: str, x: Array, config: TransformerConfig, *, causal: bool) -> Array:
    name = f"{layer}.self_attention"
    query, key, value = np.split(weights.linear(f"{name}.query_key_value", x), 3, axis=-1)
    return attend(weights, name, (query, key, value), config, causal=causal)[0]


def cross_attend(
    weights: Weights, layer: str, x: Array, memory: Array, config: TransformerConfig
) -> tuple[Array, Array]:
    name = f"{layer}.cross_attention"
    key, value = np.split(weights.linear(f"{name}.key_value", memory), 2, axis=-1)
    return attend(weights, name, (weights.linear(f"{name}.query", x), key, value), config, causal=False)


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
    kinds = ("attention_norm", "cross_norm", "ffn_norm")
    norms = [f"{name}.{kind}" for kind in kinds if f"{name}.{kind}.weight" in weights]
    for norm, sublayer in zip(norms, sublayers, strict=True):
        if config.norm_order == "pre":
            x = x + sublayer(normalise(weights, norm, x, config))
        else:
            x = normalise(weights, norm, x + sublayer(x), config)
    return x


def embed(weights: Weights, side: str, ids: list[int], config: TransformerConfig) -> Array:
    x = weights[f"{side}_embedding.tokens.weight"][ids] * math.sqrt(config.d_model)
    if config.positions == "learned":
        x = x + weights[f"{side}_embedding.positions"][: len(ids)]
    if config.positions == "sinusoidal":  # section 3.5, with all sines before all cosines
        frequencies = [10_000 ** (-2 * i / config.d_model) for i in range(config.d_model // 2)]
        angles = np.arange(len(ids))[:, None] * np.array(frequencies)
        x = x + np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)
    return x


def transform(
    weights: Weights, config: TransformerConfig, source: list[int], target: list[int]
) -> tuple[Array, list[Array]]:
    """Logits (T, V), and the weights (H, T, S) of each layer's cross-attention; ids with EOS and BOS."""
    memory, maps = embed(weights, "source", source, config), []
    for name in weights.layers("encoder.layers."):
        sublayers = [
            lambda x, name=name: self_attend(weights, name, x, config, causal=False),
            lambda x, name=name: feed_forward(weights, name, x, config),
        ]
        memory = run_layer(weights, name, memory, sublayers, config)
    if config.norm_order == "pre":
        memory = normalise(weights, "encoder.norm", memory, config)

    def look(name: str, x: Array) -> Array:
        found, shares = cross_attend(weights, name, x, memory, config)
        maps.append(shares)
        return found

    x = embed(weights, "target", target, config)
    for name in weights.layers("decoder.layers."):
        sublayers = [
            lambda x, name=name: self_attend(weights, name, x, config, causal=True),
            lambda x, name=name: look(name, x),
            lambda x, name=name: feed_forward(weights, name, x, config),
        ]
        x = run_layer(weights, name, x, sublayers, config)
    if config.norm_order == "pre":
        x = normalise(weights, "decoder.norm", x, config)
    return x @ weights["projection.weight"].T, maps
