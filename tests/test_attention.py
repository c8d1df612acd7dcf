"""Every kernel of attention against the formula."""

import math

import pytest
import torch
from torch import Tensor

from translate.batch import Tokens
from translate.models.attention import AttentionMask, Weighting, attend, make_attention_mask
from translate.models.layers import dropout, mask_value
from translate.models.rotary import Rotary

B, T, S, H, W = 3, 5, 7, 2, 4


def inputs(*, keys: int = S) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value, in double precision."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(B, H, length, W, generator=generator, dtype=torch.float64).requires_grad_()
        for length in (T, keys, keys)
    )


def padding(keys: int = S) -> AttentionMask:
    bias = torch.zeros(B, 1, 1, keys, dtype=torch.float64)
    bias[1, ..., 4:] = mask_value(bias.dtype)
    return AttentionMask(bias)


def causal() -> AttentionMask:
    later = torch.ones(T, T).triu(1).bool()
    return AttentionMask(torch.zeros(B, 1, T, T, dtype=torch.float64).masked_fill(later, mask_value(torch.float64)))


def formula(query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask, *, dropout_rate: float = 0.0) -> Tensor:
    """softmax(Q Kᵀ / √W) V of each sentence, head and query, over the visible keys alone; heads joined."""
    visible = (mask.bias == 0).expand(B, H, T, key.shape[2])
    scores = torch.einsum("bhtw,bhsw->bhts", query, key) / math.sqrt(W)
    weights = torch.where(visible, scores.exp(), 0.0)
    weights = weights / weights.sum(-1, keepdim=True)
    return torch.einsum("bhts,bhsw->bthw", dropout(weights, dropout_rate), value).flatten(-2)


@pytest.mark.parametrize("dropout_rate", [0.0, 0.3])
@pytest.mark.parametrize("return_weights", [False, True])
@pytest.mark.parametrize("mask", [padding(), causal()], ids=["padding", "causal"])
def test_each_kernel_has_the_values_and_gradients_of_the_formula(mask, return_weights, dropout_rate):
    parts = inputs(keys=mask.bias.shape[-1])
    towards = torch.randn(B, T, H * W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.manual_seed(2)
    heads, weights = attend(*parts, mask, dropout_rate=dropout_rate, return_weights=return_weights)
    torch.manual_seed(2)
    expected = formula(*parts, mask, dropout_rate=dropout_rate)
    torch.testing.assert_close(heads, expected)
    gradients = (torch.autograd.grad(x, parts, towards) for x in (heads, expected))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert (weights is not None) == return_weights
    if weights is not None:
        torch.testing.assert_close(weights.sum(-1), torch.ones(B, H, T, dtype=torch.float64))


def test_sigmoid_weights_have_the_values_of_the_formula():
    """Ramapuram et al. 2024, section 2: sigmoid(q · k / √W - log n), n the number of visible keys."""
    query, key, value = inputs()
    heads, _ = attend(query, key, value, padding(), weighting=Weighting.sigmoid)
    for sentence, visible in enumerate([S, 4, S]):
        scores = query[sentence] @ key[sentence, :, :visible].transpose(-1, -2) / math.sqrt(W)
        weights = 1 / (1 + torch.exp(-scores + math.log(visible)))
        expected = (weights @ value[sentence, :, :visible]).transpose(0, 1).flatten(-2)
        torch.testing.assert_close(heads[sentence], expected)


def test_packed_attention_equals_attention_per_sentence():
    lengths, key_lengths = [2, 3], [4, 1]
    generator = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(sum(sizes), H, W, generator=generator) for sizes in (lengths, key_lengths, key_lengths)
    )
    offsets = [torch.tensor([0, sizes[0], sum(sizes)]) for sizes in (lengths, key_lengths)]
    heads, _ = attend(query, key, value, AttentionMask(None, False, *offsets, 3, 4))
    for (q0, q1), (k0, k1) in (((0, 2), (0, 4)), ((2, 5), (4, 5))):
        alone = [x.transpose(0, 1)[None] for x in (query[q0:q1], key[k0:k1], value[k0:k1])]
        expected, _ = attend(*alone, AttentionMask(torch.zeros(1, 1, 1, k1 - k0)))
        torch.testing.assert_close(heads[q0:q1], expected[0])


def test_a_causal_mask_hides_padding_and_later_tokens():
    tokens = Tokens.pad([[5, 6, 7], [8, 9]])
    visible = make_attention_mask(tokens, tokens, causal=True).bias[:, 0] == 0
    assert visible.tolist() == [
        [[True, False, False], [True, True, False], [True, True, True]],
        [[True, False, False], [True, True, False], [True, True, False]],
    ]


def test_a_rotation_multiplies_complex_numbers():
    """Su et al. 2021, section 3.2: elements i and W / 2 + i are one number, rotated by position · 10,000^(-2 i / W)."""
    x = torch.randn(B, H, T, W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rotated = Rotary(W, T)(torch.arange(T).expand(B, T)).rotate(x)
    angles = torch.arange(T)[:, None] * 10_000 ** (-torch.arange(0, W, 2, dtype=torch.float64) / W)
    expected = torch.complex(*x.chunk(2, dim=-1)) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(rotated, torch.cat([expected.real, expected.imag], dim=-1), rtol=1e-6, atol=1e-6)


def test_scores_of_rotated_queries_and_keys_depend_on_distance_alone():
    query, key = torch.randn(2, 1, 1, 1, W, generator=torch.Generator().manual_seed(0)).unbind()
    rotary = Rotary(W, 40)

    def score(position: int, other: int) -> float:
        rotated = [rotary(torch.tensor([[p]])).rotate(x) for x, p in ((query, position), (key, other))]
        return float((rotated[0] * rotated[1]).sum())

    assert score(3, 1) == pytest.approx(score(39, 37), abs=1e-5)
    assert score(3, 1) != pytest.approx(score(1, 3), abs=1e-2)
    assert score(3, 3) == pytest.approx(float((query * key).sum()), abs=1e-5)
