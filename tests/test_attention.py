"""Every kernel of attention against the formula."""

import pytest
import torch
from torch import Tensor

from translate.models.attention import attend_by_hand, attend_explicitly, self_attend_by_hand
from translate.models.layers import Rotary, Rotation, mask_value

B, T, S, H, W = 3, 5, 7, 2, 4


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(B, T, H * W, generator=generator, dtype=dtype)
    key_value = torch.randn(B, S, 2 * H * W, generator=generator, dtype=dtype)
    return query.requires_grad_(), key_value.requires_grad_()


def by_the_formula(
    query: Tensor, key_value: Tensor, bias: Tensor | None, rotation: Rotation | None = None, *, dropout_rate: float
) -> Tensor:
    q, k, v = (x.unflatten(-1, (H, W)).transpose(1, 2) for x in (query, *key_value.chunk(2, dim=-1)))
    if rotation is not None:
        q, k = rotation.turn(q), rotation.turn(k)
    heads, _ = attend_explicitly(q, k, v, bias, dropout_rate=dropout_rate)
    return heads.transpose(1, 2).flatten(-2)


def padding(keys: int) -> Tensor:
    bias = torch.zeros(B, 1, 1, keys, dtype=torch.float64)
    bias[1, ..., 4:] = mask_value(bias.dtype)
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


@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("dropout_rate", [0.0, 0.3])
def test_self_attention_by_hand_has_the_values_and_gradients_of_the_formula(dropout_rate, rotary):
    rotation = Rotary(width=W, max_positions=T).double()(torch.arange(T).expand(B, T)) if rotary else None
    projected = torch.randn(B, T, 3 * H * W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    projected.requires_grad_()
    bias = torch.zeros(T, T, dtype=torch.float64).masked_fill(torch.ones(T, T).triu(1).bool(), -1e30)
    towards = torch.randn(B, T, H * W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.manual_seed(2)
    ours = self_attend_by_hand(projected, bias, rotation, num_heads=H, dropout_rate=dropout_rate)
    torch.manual_seed(2)
    query, key_value = projected.split([H * W, 2 * H * W], dim=-1)
    expected = by_the_formula(query, key_value, bias, rotation, dropout_rate=dropout_rate)
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(*(torch.autograd.grad(x, projected, towards)[0] for x in (ours, expected)))


def test_by_hand_its_gradient_is_the_slope():
    query, key_value = inputs()
    bias = padding(S)
    assert torch.autograd.gradcheck(
        lambda q, kv: attend_by_hand(q, kv, bias, num_heads=H, dropout_rate=0.0), (query, key_value)
    )


def test_a_rotation_multiplies_complex_numbers():
    """Su et al. 2021, section 3.2: elements i and W / 2 + i are one number, turned by place · 10,000^(-2 i / W)."""
    x = torch.randn(B, H, T, W, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rotary = Rotary(width=W, max_positions=T)
    turned = rotary(torch.arange(T).expand(B, T)).turn(x)
    angles = torch.arange(T)[:, None] * 10_000 ** (-torch.arange(0, W, 2, dtype=torch.float64) / W)
    expected = torch.complex(*x.chunk(2, dim=-1)) * torch.polar(torch.ones_like(angles), angles)
    torch.testing.assert_close(turned, torch.cat([expected.real, expected.imag], dim=-1), rtol=1e-6, atol=1e-6)


def test_scores_of_rotated_queries_and_keys_depend_on_distance_alone():
    query, key = torch.randn(2, 1, 1, 1, W, generator=torch.Generator().manual_seed(0)).unbind()
    rotary = Rotary(width=W, max_positions=40)

    def score(place: int, other: int) -> float:
        turned = [rotary(torch.tensor([[p]])).turn(x) for x, p in ((query, place), (key, other))]
        return float((turned[0] * turned[1]).sum())

    assert score(3, 1) == pytest.approx(score(39, 37), abs=1e-5)
    assert score(3, 1) != pytest.approx(score(1, 3), abs=1e-2)
    assert score(3, 3) == pytest.approx(float((query * key).sum()), abs=1e-5)
