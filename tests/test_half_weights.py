"""Linear maps with half-precision weights: what they compute, and that a search never uses outdated ones."""

import pytest
import torch
from torch import nn

from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision, capabilities
from translate.errors import UserError
from translate.models import Vocabularies, build_model
from translate.models.quantised import HalfLinear, pack_fp16, pack_fp16_deprecated, with_half_weights
from translate.models.transformer import Transformer, TransformerConfig

CPU = torch.device("cpu")
SENTENCES = [(5, 6, 7), (8,), (9, 10, 11, 12), (5, 6)]

needs_half_weights = pytest.mark.skipif(
    not capabilities(CPU).half_weights, reason="PyTorch has no FBGEMM for this processor"
)


def small_model(seed: int = 0, **settings) -> Transformer:
    torch.manual_seed(seed)
    config = TransformerConfig(
        d_model=32, ffn_dim=64, num_heads=4, encoder_layers=2, decoder_layers=2, max_length=20, **settings
    )
    return build_model(config, Vocabularies(50, 50, shared=True)).eval()


def engine_of(model: Transformer, precision: Precision) -> NativeEngine:
    return NativeEngine(model=model, device=CPU, batch_tokens=100, precision=precision, workers=1)


@needs_half_weights
@pytest.mark.parametrize("pack", [pack_fp16_deprecated, pack_fp16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (7,), (40, 5), (200,)])
def test_half_linear_equals_the_linear_map_of_rounded_weights(shape, bias, pack):
    if pack is pack_fp16_deprecated and not hasattr(torch, "fbgemm_linear_fp16_weight_fp32_activation"):
        pytest.skip("this PyTorch has dropped the functions")
    torch.manual_seed(0)
    weight, b = torch.randn(33, 24), torch.randn(33) if bias else None
    x = torch.randn(*shape, 24)
    with torch.inference_mode():
        torch.testing.assert_close(pack(weight, b)(x), nn.functional.linear(x, weight.half().float(), b))


@needs_half_weights
@pytest.mark.parametrize("tying", ["none", "target", "all"])
def test_copy_has_half_weights_and_the_original_is_unchanged(tying):
    model = small_model(tying=tying)
    kinds = {name: type(module) for name, module in model.named_modules()}
    twin = with_half_weights(model)
    assert {name: type(module) for name, module in model.named_modules()} == kinds
    assert not any(type(module) is nn.Linear for module in twin.modules())
    linear = {name for name, kind in kinds.items() if kind is nn.Linear}
    assert {name for name, module in twin.named_modules() if type(module) is HalfLinear} == linear
    assert twin.target_embedding.tokens.weight is model.target_embedding.tokens.weight


@needs_half_weights
def test_search_with_half_weights_equals_fp32():
    model = small_model()
    config = SearchConfig(beam_size=3, max_length=8)
    half, whole = (
        engine_of(model, precision).search(SENTENCES, config) for precision in (Precision.fp16, Precision.fp32)
    )
    assert [[h.tokens for h in found] for found in half] == [[h.tokens for h in found] for found in whole]
    scores = [torch.tensor([found[0].score for found in results]) for results in (half, whole)]
    torch.testing.assert_close(*scores, rtol=1e-2, atol=0)
    assert not torch.equal(*scores), "the weights were not rounded"


@needs_half_weights
def test_changed_weights_are_converted_again():
    model, other = small_model(), small_model(seed=1)
    engine, config = engine_of(model, Precision.auto), SearchConfig(beam_size=2, max_length=8)
    before = engine.search(SENTENCES, config)
    with torch.no_grad():
        for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
            mine.copy_(theirs)
    assert engine.search(SENTENCES, config) == engine_of(other, Precision.auto).search(SENTENCES, config) != before


@needs_half_weights
def test_weights_changed_by_a_fused_optimizer_are_converted_again():
    """Once, validation of a run without a running average decoded with the weights of an earlier validation."""
    model, config = small_model().train(), SearchConfig(beam_size=2, max_length=8)
    engine = engine_of(model, Precision.fp16)
    before = engine.search(SENTENCES, config)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    torch.optim.AdamW(model.parameters(), lr=0.1, fused=True).step()
    assert engine.search(SENTENCES, config) == engine_of(model, Precision.fp16).search(SENTENCES, config) != before


def test_without_half_precision_products_auto_is_fp32_and_fp16_an_error(monkeypatch):
    monkeypatch.setattr("translate.device._has_half_weights", lambda: False)
    assert engine_of(small_model(), Precision.auto).precision is Precision.fp32
    with pytest.raises(UserError, match=r"precision=fp16: .* use precision=fp32"):
        engine_of(small_model(), Precision.fp16)
