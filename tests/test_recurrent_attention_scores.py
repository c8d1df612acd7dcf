"""Attention scores of the recurrent decoder against loops over the formulas of the papers."""

import numpy as np
import pytest
import torch

from translate.models.recurrent_attention import RecurrentAttention, attend, make_attention

B, T, S, D, H = 2, 3, 4, 6, 3


def weights_of(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy() for name, parameter in module.named_parameters()}


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scores_of(kind: RecurrentAttention) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Scores (B, H, T, S) of the implementation, its weights, and the decoder states and annotations that it read."""
    torch.manual_seed(0)
    attention = make_attention(kind, d_model=D, num_heads=H).double()
    states, annotations = draw(B, T, D, seed=1), draw(B, S, D, seed=2)
    found = attention(states, attention.keys(annotations)).detach().numpy()
    return found, weights_of(attention), states.numpy(), annotations.numpy()


@pytest.mark.parametrize(("kind", "heads"), [(RecurrentAttention.bahdanau, 1), (RecurrentAttention.multi_head, H)])
def test_additive_scores_match_bahdanau(kind, heads):
    """Bahdanau et al. 2015, appendix A.1.2: v · tanh(W s + U h), here with a bias; each head has its part of v."""
    found, weight, states, annotations = scores_of(kind)
    assert found.shape == (B, heads, T, S)
    width = D // heads
    for b, head, t, s in np.ndindex(found.shape):
        total = 0.0
        for unit in range(head * width, (head + 1) * width):
            total_input = weight["key.bias"][unit]
            for d in range(D):
                total_input += weight["query.weight"][unit, d] * states[b, t, d]
                total_input += weight["key.weight"][unit, d] * annotations[b, s, d]
            total += weight["score"][head, unit - head * width] * np.tanh(total_input)
        assert found[b, head, t, s] == pytest.approx(total, abs=1e-12)


@pytest.mark.parametrize("kind", [RecurrentAttention.luong_dot, RecurrentAttention.luong_general])
def test_multiplicative_scores_match_luong(kind):
    """Luong et al. 2015, equation 8: the product of target state and source state, by W between them if general."""
    found, weight, states, annotations = scores_of(kind)
    between = weight["key.weight"] if kind is RecurrentAttention.luong_general else np.eye(D)
    assert found.shape == (B, 1, T, S)
    for b, _, t, s in np.ndindex(found.shape):
        expected = sum(states[b, t, i] * between[i, j] * annotations[b, s, j] for i in range(D) for j in range(D))
        assert found[b, 0, t, s] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("heads", [1, H])
def test_context_vectors_are_means_of_the_unmasked_annotations(heads):
    scores, values = draw(B, heads, T, S, seed=3), draw(B, S, D, seed=4)
    lengths, width = [S, 2], D // heads
    bias = torch.zeros(B, 1, 1, S, dtype=torch.float64)
    bias[1, ..., lengths[1] :] = -1e30
    context, weights = attend(scores, values, bias)
    for b, head, t in np.ndindex(B, heads, T):
        exponentials = [np.exp(scores[b, head, t, s].item()) for s in range(lengths[b])]
        shares = [e / sum(exponentials) for e in exponentials] + [0.0] * (S - lengths[b])
        assert weights[b, head, t].tolist() == pytest.approx(shares, abs=1e-12)
        part = slice(head * width, (head + 1) * width)
        expected = sum(share * values[b, s, part].numpy() for s, share in enumerate(shares))
        np.testing.assert_allclose(context[b, t, part].numpy(), expected, atol=1e-12)
