"""Int8 weights: products against exact integers, translations that no batch changes, and refusals."""

import random
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from translate.decoding.config import DecodingConfig, SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine, search_batch
from translate.device import Precision, capabilities
from translate.errors import UserError
from translate.models import ARCHITECTURES, Vocabularies, build_model
from translate.models.attention import Weighting, attend_reference
from translate.models.batch_invariant_attention import attend_batch_invariant
from translate.models.ensemble import Ensemble
from translate.models.layers import mask_value
from translate.models.quantised import Int8Linear, pack_int8, quantise_rows, with_int8_weights
from translate.models.transformer import Transformer, TransformerConfig
from translate.models.transformer_config import Activation

CPU = torch.device("cpu")
needs_int8 = pytest.mark.skipif(not capabilities(CPU).int8_products, reason="this processor has no AVX-512 VNNI")


def small_model(seed: int = 0, **settings) -> Transformer:
    torch.manual_seed(seed)
    sizes = {"d_model": 32, "ffn_dim": 64, "num_heads": 4, "encoder_layers": 2, "decoder_layers": 2, "max_length": 40}
    return build_model(TransformerConfig(**{**sizes, **settings}), Vocabularies(60, 60, shared=True)).eval()


def engine_of(model, *, precision: Precision = Precision.int8, **settings) -> NativeEngine:
    return NativeEngine(model=model, device=CPU, precision=precision, workers=1, **settings)


def sentences_of(count: int) -> list[tuple[int, ...]]:
    draw = random.Random(0)
    return [
        tuple(draw.randrange(4, 60) for _ in range(draw.choice([1, 2, 3, 7, 15, 16, 17, 30]))) for _ in range(count)
    ]


@needs_int8
@pytest.mark.parametrize("rows", [1, 5, 320])
@pytest.mark.parametrize("width", [33, 64, 2048])
def test_product_of_the_largest_integers_is_exact(rows, width):
    """Without VNNI, FBGEMM's sums of pairs would overflow here."""
    integers = torch.full((48, width), 127, dtype=torch.int8)
    integers[::2] = -127
    x = torch.ones(rows, width)
    x[1::2] = -1
    products = pack_int8(integers, torch.full((48,), 127.0))(x)
    assert torch.equal(products, 127 * (x @ integers.float().T))


@needs_int8
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (7,), (4, 5), (200,)])
def test_int8_linear_equals_the_linear_map_of_dequantised_weights_and_rows(shape, bias):
    torch.manual_seed(0)
    linear, x = nn.Linear(48, 33, bias=bias), torch.randn(*shape, 48) * torch.rand(*shape, 1) * 100
    integers, scales = quantise_rows(linear.weight)
    units = x.abs().amax(-1, keepdim=True).double() / 127
    rounded = (x.double() / units).round() * units
    expected = F.linear(rounded, integers.double() * scales[:, None].double(), linear.bias.double() if bias else None)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Int8Linear(linear)(x)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)
        exact = linear(x)
        assert 0 < (found - exact).abs().max() < 0.02 * exact.abs().max(), "8 bits are near, and not nothing"


@needs_int8
def test_rows_of_zeros_give_the_bias_and_nan_stays_nan():
    linear, x = nn.Linear(16, 8), torch.randn(3, 16)
    with torch.no_grad():
        linear.weight[2] = 0
    x[0], x[1, 3] = 0, float("nan")
    with torch.inference_mode():
        y = Int8Linear(linear)(x)
    assert torch.equal(y[0], linear.bias)
    assert y[1].isnan().all()
    assert y[2, 2] == linear.bias[2]


@needs_int8
def test_a_row_has_the_same_product_among_others():
    linear, x = Int8Linear(nn.Linear(168, 336)), torch.randn(320, 168)
    with torch.inference_mode():
        together = linear(x)
        for first, last in ((0, 1), (3, 10), (64, 128), (1, 320)):
            assert torch.equal(linear(x[first:last]), together[first:last])


@pytest.mark.parametrize("width", [8, 32, 64])
@pytest.mark.parametrize("queries", [1, 2, 5, None])
def test_attention_does_not_depend_on_the_batch(queries, width):
    """Other sentences, padding, and slots of other hypotheses between the keys. None: as many queries as keys."""
    draw, heads = random.Random(0), 4
    torch.manual_seed(0)
    for _ in range(25):
        keys, room, sentences = draw.randint(1, 40), draw.choice([0, 1, 9, 50]), draw.choice([1, 2, 7, 40])
        alone = queries or keys
        query, key, value = (torch.randn(1, heads, n, width) for n in (alone, keys, keys))
        bias = torch.zeros(1, 1, alone if queries else 1, keys)
        expected = attend_batch_invariant(query, key, value, bias)
        reference = attend_reference(query, key, value, bias, weighting=Weighting.softmax)[0]
        torch.testing.assert_close(expected, reference)

        slots, row = sorted(draw.sample(range(keys + room), keys)), draw.randrange(sentences)
        many = queries or keys + room
        others = torch.randn(2, sentences, heads, keys + room + 3, width).narrow(3, 0, keys + room)
        batch = torch.randn(sentences, heads, many, width)
        mask = torch.zeros(sentences, 1, many if queries else 1, keys + room)
        mask[row], batch[row, :, :alone] = mask_value(mask.dtype), query[0]
        mask[row][..., slots] = 0
        others[0][row][:, slots], others[1][row][:, slots] = key[0], value[0]
        found = attend_batch_invariant(batch, *others, mask)[row, :, :alone]
        assert torch.equal(found, expected[0])


@needs_int8
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (SearchMethod.beam, {}),
        (SearchMethod.greedy, {"activation": Activation.gelu, "positions": "rotary"}),
        (SearchMethod.beam, {"norm_order": "post", "d_model": 96}),
    ],
)
def test_batch_changes_neither_translations_nor_scores(settings, method):
    model, sentences = small_model(**settings), sentences_of(16)
    config = SearchConfig(method=method, beam_size=3, max_length=7, n_best=3 if method is SearchMethod.beam else 1)
    expected = search_batch(with_int8_weights(model), sentences, config)
    assert len({h.score for [h, *_] in expected}) > 8, "the sentences differ"
    for size in (1, 7, 16):
        assert engine_of(model, batch_sentences=size).search(sentences, config) == expected


@needs_int8
def test_copy_has_int8_weights_and_the_original_is_unchanged():
    model = small_model()
    kinds = {name: type(module) for name, module in model.named_modules()}
    twin = with_int8_weights(model)
    assert {name: type(module) for name, module in model.named_modules()} == kinds
    assert not any(getattr(module, "batch_invariant", False) for module in model.modules())
    linear = {name for name, kind in kinds.items() if kind is nn.Linear}
    assert {name for name, module in twin.named_modules() if type(module) is Int8Linear} == linear


@needs_int8
def test_ensembles_and_changed_weights_are_quantised():
    model, other, config = small_model(), small_model(seed=1), SearchConfig(beam_size=2, max_length=8)
    engine, sentences = engine_of(Ensemble([model, other])), sentences_of(5)
    before = engine.search(sentences, config)
    model.load_state_dict(other.state_dict())
    after = engine.search(sentences, config)
    expected = engine_of(Ensemble([other, other])).search(sentences, config)
    assert after == expected != before


def test_models_of_which_it_is_not_known_are_refused(monkeypatch):
    monkeypatch.setattr("translate.device._cpu_has", lambda test: True)
    monkeypatch.setattr("translate.device._has_half_weights", lambda: True)
    DecodingConfig(precision=Precision.int8).check()
    for architecture, (config, _) in ARCHITECTURES.items():
        if architecture != "transformer":
            with pytest.raises(UserError, match="int8: this model is no Transformer with softmax"):
                engine_of(build_model(config.tiny(), Vocabularies(30, 30, shared=True)))
    with pytest.raises(UserError, match="int8: this model is no Transformer with softmax"):
        engine_of(small_model(attention=Weighting.sigmoid))
    assert engine_of(small_model()).precision is Precision.int8


def test_processors_without_vnni_are_refused(monkeypatch):
    monkeypatch.setattr("translate.device._cpu_has", lambda test: False)
    assert engine_of(small_model(), precision=Precision.auto).precision is not Precision.int8
    with pytest.raises(UserError, match=r"precision=int8: .* use precision=auto, or engine=ctranslate2"):
        engine_of(small_model())
