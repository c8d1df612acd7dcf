"""Operations that are joined, for a GPU or a CPU, give what the plain ones give; here computed on the CPU."""

from unittest.mock import patch

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from translate.gpu_check.kernels import WIDTHS, Case, packed_tokens
from translate.gpu_check.launches import work_of
from translate.models import packed_attention
from translate.models.attention import AttentionMask, make_attention_mask
from translate.models.layers import Dropout, _AddDropped, joined_linear, split_heads
from translate.models.rotary import Rotary, _SplitAndRotate, _SplitAndRotateHalves

N, H, W = 10, 2, 8  # tokens, heads, width of a head


@pytest.mark.parametrize("shape", [(N, 3 * H, W), (3, 3 * H, N, W)], ids=["packed", "padded"])
@pytest.mark.parametrize("function", [_SplitAndRotate, _SplitAndRotateHalves])
def test_heads_are_split_and_rotated_as_by_single_operations(function, shape):
    torch.manual_seed(1)
    positions = torch.arange(N) if len(shape) == 3 else torch.arange(N).expand(3, N)
    rotation = Rotary(W, 32)(positions)
    first, second = (torch.randn(shape, generator=torch.Generator().manual_seed(2), requires_grad=True) for _ in "12")
    query_key, value = first.split((2 * H, H), dim=1)
    expected = *rotation.rotate(query_key).chunk(2, dim=1), value
    found = function.apply(second, rotation.cosines, rotation.sines)
    weights = [torch.randn_like(x) for x in expected]
    for heads, parts in ((first, expected), (second, found)):
        sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True)).backward()
        assert heads.grad is not None
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(first.grad, second.grad)


def test_gradients_of_heads_on_a_cpu_have_the_layout_of_their_projection():
    projected = torch.randn(3, N, 3 * H * W, requires_grad=True)
    heads = split_heads(projected, 3 * H)
    rotation = Rotary(W, 32)(torch.arange(N).expand(3, N))
    loss = sum(x.square().sum() for x in rotation.split(heads))
    names = work_of(loss.backward).by_name()
    assert names["addcmul_"] == 4
    assert names["clone"] == 0


def test_rotated_heads_keep_the_type_of_products():
    rotation = Rotary(W, 32)(torch.arange(N))
    heads = torch.randn(N, 3 * H, W, dtype=torch.bfloat16, requires_grad=True)
    parts = _SplitAndRotate.apply(heads, rotation.cosines, rotation.sines)
    assert {part.dtype for part in parts} == {torch.bfloat16}
    parts[0].float().sum().backward()
    assert heads.grad.dtype is torch.bfloat16
    exact = rotation.rotate(heads.detach()[:, :H].float())
    torch.testing.assert_close(parts[0].float(), exact, rtol=2**-8, atol=1e-3)


def test_a_residual_connection_drops_and_scales_values_and_gradients_alike():
    torch.manual_seed(1)
    x = torch.randn(64, 32, requires_grad=True)
    y = torch.ones(64, 32, dtype=torch.bfloat16, requires_grad=True)
    result = _AddDropped.apply(x, y, torch.zeros(()), 0.25)
    result.backward(torch.full_like(result, 3.0))
    kept = (result - x).detach() > 0.5
    assert 0.7 < kept.float().mean() < 0.8
    torch.testing.assert_close((result - x).detach(), kept / 0.75, atol=1e-5, rtol=0)
    assert y.grad.dtype is torch.bfloat16
    assert torch.equal(y.grad.float(), kept * 4.0)
    assert torch.equal(x.grad, torch.full_like(x, 3.0))


@pytest.fixture
def named_kernels(monkeypatch):
    """Both kernels of packed sentences return their names."""
    monkeypatch.setattr(packed_attention, "attend_packed_memory_efficient", lambda *_: "short")
    monkeypatch.setattr(packed_attention, "attend_packed_flash", lambda *_: "flash")


@pytest.mark.parametrize(
    ("tokens", "room", "width", "chosen"),
    [
        (32_768, 2048, 64, "short"),
        (880, 10, 64, "short"),
        (881, 10, 64, "flash"),
        (600, 10, 32, "short"),
        (601, 10, 32, "flash"),
        (512, 2, 32, "flash"),
    ],
)
def test_short_packed_sentences_have_a_kernel_of_their_own(named_kernels, tokens, room, width, chosen):
    offsets = torch.zeros(room + 1, dtype=torch.int32)
    mask = AttentionMask(query_offsets=offsets, key_offsets=offsets)
    query, key = torch.zeros(tokens, 1, width), torch.zeros(tokens // 2, 1, width)
    assert packed_attention.attend_packed_fused(query, key, key, mask) == chosen
    assert packed_attention.attend_packed_fused(key, query, query, mask) == chosen


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("kernel", "chosen"), [("packed", "short"), ("packed long", "flash")])
def test_gpu_check_compares_both_kernels_of_packed_sentences(named_kernels, kernel, chosen, width, causal):
    case = Case(kernel, torch.bfloat16, width, causal)
    queries, keys = packed_tokens(case.query_lengths), packed_tokens(case.key_lengths)
    mask = make_attention_mask(queries, keys, causal=causal)
    query, key = torch.zeros(len(queries.ids), 1, width), torch.zeros(len(keys.ids), 1, width)
    assert packed_attention.attend_packed_fused(query, key, key, mask) == chosen


@pytest.fixture
def cuda_autocast():
    """Autocast as on a GPU, for tensors that only have a shape: its lists of operations are other ones than a CPU's."""
    before = torch.get_autocast_dtype("cuda")
    torch.set_autocast_enabled("cuda", True)  # torch.autocast would see that there is no GPU
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    with FakeTensorMode():
        yield {"device": "cuda:0"}
    torch.set_autocast_enabled("cuda", False)
    torch.set_autocast_dtype("cuda", before)


def test_a_residual_connection_and_a_rotation_have_no_casts_on_a_gpu(cuda_autocast):
    x = torch.empty(64, 32, **cuda_autocast)
    y = torch.empty(64, 32, dtype=torch.bfloat16, **cuda_autocast)
    work = work_of(lambda: _AddDropped.apply(x, y, torch.empty((), **cuda_autocast), 0.25))
    assert work.by_name() == {"bernoulli_": 1, "addcmul": 1}
    heads = torch.empty(N, 3 * H, W, dtype=torch.bfloat16, **cuda_autocast)
    tables = torch.empty(2, N, 1, W, **cuda_autocast).unbind()
    assert work_of(lambda: _SplitAndRotate.apply(heads, *tables)).by_name() == {"cat": 1, "mul": 1, "addcmul": 1}


def test_residual_connections_of_one_type_or_without_dropout_are_plain_sums():
    x, y = torch.randn(2, 4, 4)
    with patch.object(Tensor, "is_cuda", True):
        assert torch.equal(Dropout(0.0).add(x, y.bfloat16()), x + y.bfloat16())
        assert torch.equal(Dropout(0.5).eval().add(x, y), x + y)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers_of_one_input_are_one_product(bias):
    torch.manual_seed(1)
    layers, x = [nn.Linear(6, 4, bias=bias) for _ in range(3)], torch.randn(5, 6)
    expected = [layer(x) for layer in layers]
    with patch.object(Tensor, "is_cuda", True), patch.object(nn.Linear, "forward", None):
        found = joined_linear(layers, x)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b)


def test_layers_that_are_adapted_keep_their_own_products():
    layers = [nn.Sequential(nn.Linear(6, 4)), nn.Linear(6, 4)]
    x = torch.randn(5, 6)
    with patch.object(Tensor, "is_cuda", True):
        assert all(torch.equal(a, layer(x)) for a, layer in zip(joined_linear(layers, x), layers, strict=True))
