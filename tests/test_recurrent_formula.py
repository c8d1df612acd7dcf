"""The recurrent model against its equations in NumPy: LSTM cells, both encoders, attention, input feeding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from formulas import Array, Weights, logits_by_steps, sigmoid, softmax, teacher_forced
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.recurrent_attention import RecurrentAttention
from translate.tokenizer import BOS, EOS

D, H = 8, 2
SOURCES, TARGET = [[5, 6, 7, 8], [9, 10]], [11, 12, 13, 12]


def cell(weights: Weights, name: str, end: str, x: Array, hidden: Array, memory: Array) -> tuple[Array, Array]:
    """One step of an LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000)."""
    of_input = weights[f"{name}.weight_ih_{end}"] @ x + weights[f"{name}.bias_ih_{end}"]
    of_state = weights[f"{name}.weight_hh_{end}"] @ hidden + weights[f"{name}.bias_hh_{end}"]
    write, forget, candidate, read = np.split(of_input + of_state, 4)
    memory = sigmoid(forget) * memory + sigmoid(write) * np.tanh(candidate)
    return sigmoid(read) * np.tanh(memory), memory


def run_over(weights: Weights, end: str, inputs: list[Array]) -> list[Array]:
    """Hidden states of one direction of an encoder layer."""
    hidden = memory = np.zeros(D // 2)
    states = []
    for x in inputs:
        hidden, memory = cell(weights, "encoder", end, x, hidden, memory)
        states.append(hidden)
    return states


def encode(weights: Weights, source: list[int], layers: int) -> tuple[Array, Array]:
    """Annotations (S, D), and the last states of both directions of the last layer, (D,)."""
    inputs = [weights["source_embedding.tokens.weight"][token] * np.sqrt(D) for token in [*source, EOS]]
    for layer in range(layers):
        forwards = run_over(weights, f"l{layer}", inputs)
        backwards = run_over(weights, f"l{layer}_reverse", inputs[::-1])[::-1]
        inputs = [np.concatenate(pair) for pair in zip(forwards, backwards, strict=True)]
    return np.stack(inputs), np.concatenate([forwards[-1], backwards[0]])


def scores(weights: Weights, kind: RecurrentAttention, state: Array, annotations: Array) -> Array:
    """(H, S): see test_recurrent_attention_scores.py for the same formulas as loops."""
    if kind in (RecurrentAttention.luong_dot, RecurrentAttention.luong_general):
        general = weights.get("decoder.attention.key.weight", np.eye(D))
        return (annotations @ (general.T @ state))[None]
    hidden = np.tanh(
        weights.linear("decoder.attention.query", state) + weights.linear("decoder.attention.key", annotations)
    )
    parts = np.split(hidden, len(weights["decoder.attention.score"]), axis=1)
    return np.stack([part @ v for part, v in zip(parts, weights["decoder.attention.score"], strict=True)])


def attentional_vector(
    weights: Weights, kind: RecurrentAttention, state: Array, annotations: Array
) -> tuple[Array, Array]:
    """tanh(W [context; state]) (Luong et al. 2015, equation 5), and the weights (H, S) of the context."""
    shares = softmax(scores(weights, kind, state, annotations))
    values = np.split(annotations, len(shares), axis=1)
    context = np.concatenate([own @ part for own, part in zip(shares, values, strict=True)])
    return np.tanh(weights.linear("decoder.combine", np.concatenate([context, state]))), shares


def read_and_write(model: torch.nn.Module, config, source: list[int]) -> tuple[Array, Array | None]:
    """Logits (T, V) and attention weights (H, T, S)."""
    weights = Weights(model)
    annotations, last = encode(weights, source, config.encoder_layers)
    initial = np.tanh(weights.linear("bridge", last)).reshape(2, config.decoder_layers, D)
    hidden, memory = list(initial[0]), list(initial[1])
    feed, rows, maps = np.zeros(D), [], []
    for token in (BOS, *TARGET):
        x = weights["target_embedding.tokens.weight"][token] * np.sqrt(D)
        if config.input_feeding and config.has_attention:
            x = np.concatenate([x, feed])
        for layer in range(config.decoder_layers):
            hidden[layer], memory[layer] = cell(weights, "decoder.lstm", f"l{layer}", x, hidden[layer], memory[layer])
            x = hidden[layer]
        feed = x
        if config.has_attention:
            feed, shares = attentional_vector(weights, config.attention, x, annotations)
            maps.append(shares)
        rows.append(weights["projection.weight"] @ feed)
    return np.stack(rows), np.stack(maps, axis=1) if maps else None


@pytest.mark.parametrize("attention", RecurrentAttention)
@pytest.mark.parametrize("input_feeding", [True, False])
@pytest.mark.parametrize("layers", [(1, 2), (2, 1)])
def test_logits_and_attention_match_the_equations(attention, input_feeding, layers):
    torch.manual_seed(0)
    config = ARCHITECTURES["lstm"][0](
        d_model=D,
        num_heads=H,
        max_length=12,
        attention=attention,
        input_feeding=input_feeding,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
    )
    model = build_model(config, Vocabularies(20, 20, shared=True)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # biases as well, which begin with zeros and ones
            parameter.add_(0.3 * torch.randn_like(parameter))
    by_steps, forced = logits_by_steps(model, SOURCES, TARGET), teacher_forced(model, SOURCES, TARGET)
    for index, source in enumerate(SOURCES):
        logits, weights = read_and_write(model, config, source)
        np.testing.assert_allclose(by_steps[index], logits, atol=1e-9)
        np.testing.assert_allclose(forced[index][0], logits, atol=1e-9)
        assert (forced[index][1] is None) == (weights is None)
        if weights is not None:
            np.testing.assert_allclose(forced[index][1], weights, atol=1e-9)
