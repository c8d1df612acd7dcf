"""Every kernel of attention against the formula."""

import pytest
import torch
from torch import Tensor

from translate.models.attention_kernels import attend_by_hand, attend_explicitly, self_attend_by_hand
from translate.models.visibility import HIDDEN

B, T, S, H, W = 3, 5, 7, 2, 4


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(B, T, H * W, generator=generator, dtype=dtype)
    key_value = torch.randn(B, S, 2 * H * W, generator=generator, dtype=dtype)
    return query.requires_grad_(), key_value.requires_grad_()


def by_the_formula(query: Tensor, key_value: Tensor, bias: Tensor | None, *, dropout_rate: float) -> Tensor:
    q, k, v = (x.unflatten(-1, (H, W)).transpose(1, 2) for x in (query, *key_value.chunk(2, dim=-1)))
    heads, _ = attend_explicitly(q, k, v, bias, dropout_rate=dropout_rate)
    return heads.transpose(1, 2).flatten(-2)


def padding(keys: int) -> Tensor:
    bias = torch.zeros(B, 1, 1, keys, dtype=torch.float64)
    bias[1, ..., 4:] = HIDDEN
    return bias


@pytest.mark.parametrize("dropout_rate", [0.0, 0.3])
@pytest.mark.parametrize("masked", [False, True])
def test_by_hand_it_has_the_values_and_gradients_of_the_formula(masked, dropout_rate):
    query, key_value = inputs()
    bias = padding(S) if masked else None
    towards = torch.randn(B, T, H * W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = []
    for kernel in (by_the_formula, lambda *args, **kw: attend_by_hand(*args, num_heads=H, **kw)):
        torch.manual_seed(2)
        result = kernel(query, key_value, bias, dropout_rate=dropout_rate)
        results.append((result, *torch.autograd.grad(result, [query, key_value], towards)))
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("dropout_rate", [0.0, 0.3])
def test_self_attention_by_hand_has_the_values_and_gradients_of_the_formula(dropout_rate):
    projected = torch.randn(B, T, 3 * H * W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    projected.requires_grad_()
    bias = torch.zeros(T, T, dtype=torch.float64).masked_fill(torch.ones(T, T).triu(1).bool(), HIDDEN)
    towards = torch.randn(B, T, H * W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.manual_seed(2)
    ours = self_attend_by_hand(projected, bias, num_heads=H, dropout_rate=dropout_rate)
    torch.manual_seed(2)
    expected = by_the_formula(*projected.split([H * W, 2 * H * W], dim=-1), bias, dropout_rate=dropout_rate)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, projected, towards)[0] for x in (ours, expected)))


def test_by_hand_its_gradient_is_the_slope():
    query, key_value = inputs()
    bias = padding(S)
    assert torch.autograd.gradcheck(
        lambda q, kv: attend_by_hand(q, kv, bias, num_heads=H, dropout_rate=0.0), (query, key_value)
    )
