"""ONNX graphs against our own models: the same hypotheses, or a refusal by name."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from ctranslate2_models import (
    CPU,
    assert_equal,
    favour,
    native_of,
    random_model,
    save,
    searchable_model,
    small_tokenizer,
    some_sentences,
)
from documented_code import example_of
from translate.checkpoint import load_model, vocabularies_of
from translate.decoding.config import NEVER_GENERATED, DecodingConfig, EngineName, SearchConfig, SearchMethod
from translate.device import Precision
from translate.engines import load_translator
from translate.errors import UserError
from translate.models import ARCHITECTURES, build_model
from translate.models.attention import Norm, Weighting
from translate.models.layers import Positions
from translate.models.seq2seq import Tying
from translate.models.transformer import Activation, NormOrder
from translate.tokenizer import EOS, Tokenizer

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="the extra onnx is not installed")

from translate.exporting.onnx_converter import export_onnx
from translate.exporting.onnx_engine import OnnxEngine, open_onnx

VARIANTS = [
    {"positions": Positions.rotary, "activation": Activation.swiglu, "norm": Norm.rms_norm, "qk_norm": True},
    {"positions": Positions.sinusoidal, "norm_order": NormOrder.post},
    {"positions": Positions.learned, "activation": Activation.gelu, "bias": False, "tying": Tying.none},
    {"positions": Positions.none, "attention": Weighting.sigmoid},
]


@pytest.fixture(scope="module")
def joint() -> Tokenizer:
    return small_tokenizer(joint=True)


def exported(model, config, tokenizer, folder, **options):
    """The engine of a model that was saved, exported and opened again."""
    loaded = load_model(save(model, config, tokenizer, folder / "model"), device=CPU)
    export_onnx(loaded, folder / "export", **options)
    return OnnxEngine(model=open_onnx(folder / "export", threads=1)[0], batch_sentences=5)


@pytest.mark.parametrize("choices", VARIANTS, ids=lambda choices: str(choices["positions"]))
def test_graphs_find_the_hypotheses_of_the_model(tmp_path, joint, choices):
    tokenizer = small_tokenizer(joint=False) if choices.get("tying") is Tying.none else joint
    model, config = random_model(tokenizer, **choices)
    engine, sentences = exported(model, config, tokenizer, tmp_path), some_sentences(tokenizer)
    for search in (SearchConfig(method=SearchMethod.greedy), SearchConfig(beam_size=3, n_best=3)):
        assert_equal(engine.search(sentences, search), native_of(model).search(sentences, search))


def test_the_documented_loop_decodes_greedily(tmp_path, joint):
    model, config = random_model(joint)
    favour(model, dict.fromkeys(NEVER_GENERATED, -40.0) | {EOS: 2.0})
    exported(model, config, joint, tmp_path)
    lines = ["the cat sat", "a dog ran on the mat"]
    translator = load_translator(
        str(tmp_path / "model"),
        DecodingConfig(search=SearchConfig(method=SearchMethod.greedy), precision=Precision.fp32, workers=1),
    )
    expected = [found.text for found in translator.translate(lines)]
    assert [example_of("exporting.md").translate(str(tmp_path / "export"), line) for line in lines] == expected


def test_quantised_graphs_are_smaller_and_said_to_be_int8(tmp_path, joint):
    model, config = searchable_model(joint, d_model=64, ffn_dim=128)
    exact = exported(model, config, joint, tmp_path / "exact")
    engine = exported(model, config, joint, tmp_path / "int8", quantization="int8")
    assert (exact.precision, engine.precision) == (Precision.fp32, Precision.int8)
    sizes = [
        sum(path.stat().st_size for path in (tmp_path / name / "export").glob("*.onnx")) for name in ("int8", "exact")
    ]
    assert sizes[0] < 0.6 * sizes[1]
    assert [len(found) for found in engine.search(some_sentences(joint), SearchConfig())] == [1] * 12
    settings = DecodingConfig(engine=EngineName.onnx, precision=Precision.fp32)
    with pytest.raises(UserError, match="precision=fp32: these graphs were exported in int8"):
        load_translator(str(tmp_path / "int8" / "export"), settings)


def test_what_graphs_cannot_express_is_refused_by_name(tmp_path, joint):
    config = ARCHITECTURES["lstm"][0](d_model=16, encoder_layers=1, decoder_layers=1)
    model = build_model(config, vocabularies_of(joint))
    loaded = load_model(save(model, config, joint, tmp_path / "model"), device=CPU)
    with pytest.raises(UserError, match="model.architecture=lstm: ONNX graphs are made of transformer only"):
        export_onnx(loaded, tmp_path / "export")
    with pytest.raises(UserError, match="quantization=int4: format=onnx has only int8"):
        export_onnx(loaded, tmp_path / "export", quantization="int4")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match="this folder is not replaced, because it holds thesis.tex"):
        export_onnx(loaded, tmp_path / "mine")
    with pytest.raises(UserError, match="engine=onnx reads what python -m translate.export format=onnx has written"):
        open_onnx(tmp_path / "model", threads=1)


def test_a_damaged_description_is_refused(tmp_path, joint):
    model, config = searchable_model(joint)
    exported(model, config, joint, tmp_path)
    file = tmp_path / "export" / "onnx.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"max_length": 10**12}))
    with pytest.raises(UserError, match="onnx.json"):
        open_onnx(tmp_path / "export", threads=1)
    (tmp_path / "export" / "checksums.json").unlink()
    with pytest.raises(UserError, match=r"onnx.json: max_length \(1000000000000\) must be a number from 1"):
        open_onnx(tmp_path / "export", threads=1)


def test_the_model_is_unchanged_by_its_export(tmp_path, joint):
    model, config = searchable_model(joint)
    before = [parameter.clone() for parameter in model.parameters()]
    loaded = dataclasses.replace(load_model(save(model, config, joint, tmp_path / "model"), device=CPU), model=model)
    export_onnx(loaded, tmp_path / "export")
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
