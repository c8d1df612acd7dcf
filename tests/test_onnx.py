"""ONNX graphs against our own models: the same hypotheses, or a refusal by name."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from ctranslate2_models import CPU, assert_equal, native_of, random_model, save, small_tokenizer, some_sentences
from documented_code import example_of
from translate.checkpoint import LoadedModel, load_model, vocabularies_of
from translate.decoding.config import DecodingConfig, EngineName, SearchConfig, SearchMethod
from translate.device import Device, Precision
from translate.engines import load_translator
from translate.errors import UserError
from translate.exporting.onnx_converter import export_onnx
from translate.exporting.onnx_engine import OnnxEngine, open_onnx
from translate.models import ARCHITECTURES, build_model
from translate.models.attention import Norm, Weighting
from translate.models.layers import Positions
from translate.models.seq2seq import Tying
from translate.models.transformer import Transformer
from translate.models.transformer_config import Activation, NormOrder
from translate.tokenizer import Tokenizer

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="the extra onnx is not installed")

SIZES = {"encoder_layers": 1, "decoder_layers": 2}  # fewer take the exporter less time
GREEDY = SearchConfig(method=SearchMethod.greedy)


@dataclass
class Exported:
    """A model, as it was before and as its export is opened; folder: has both."""

    model: Transformer
    tokenizer: Tokenizer
    folder: Path

    @property
    def engine(self) -> OnnxEngine:
        return OnnxEngine(model=open_onnx(self.folder / "export", threads=1)[0], batch_sentences=5)


def export(folder: Path, **choices) -> Exported:
    tokenizer = small_tokenizer(joint=choices.get("tying") is not Tying.none)
    model, config = random_model(tokenizer, **SIZES | choices)
    export_onnx(load_model(save(model, config, tokenizer, folder / "model"), device=CPU), folder / "export")
    return Exported(model, tokenizer, folder)


@pytest.fixture(scope="module")
def rotary(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return export(
        tmp_path_factory.mktemp("rotary"),
        positions=Positions.rotary,
        activation=Activation.swiglu,
        norm=Norm.rms_norm,
        qk_norm=True,
    )


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """With a vocabulary for each language, and tokens that the model puts in front of sentences."""
    return export(
        tmp_path_factory.mktemp("learned"),
        positions=Positions.learned,
        activation=Activation.gelu,
        norm_order=NormOrder.post,
        attention=Weighting.sigmoid,
        bias=False,
        tying=Tying.none,
        source_prefix=[5],
        target_prefix=[2, 7],
    )


@pytest.fixture(params=["rotary", "learned"])
def exported(request, rotary: Exported, learned: Exported) -> Exported:
    return {"rotary": rotary, "learned": learned}[request.param]


@pytest.fixture
def lstm(tmp_path) -> LoadedModel:
    tokenizer = small_tokenizer(joint=True)
    config = ARCHITECTURES["lstm"][0](d_model=16, encoder_layers=1, decoder_layers=1)
    model = build_model(config, vocabularies_of(tokenizer))
    return load_model(save(model, config, tokenizer, tmp_path / "model"), device=CPU)


@pytest.mark.parametrize("search", [GREEDY, SearchConfig(beam_size=3, n_best=3)], ids=lambda search: str(search.method))
def test_graphs_find_the_hypotheses_of_the_model(exported, search):
    sentences = some_sentences(exported.tokenizer)
    assert_equal(exported.engine.search(sentences, search), native_of(exported.model).search(sentences, search))


def test_graphs_score_given_translations_as_the_model_does(exported):
    sources = some_sentences(exported.tokenizer, count=6)
    targets = [(5, 6), (), (7,) * 9, (16, 17), (8, 9, 10), (4,)]
    pairs = list(zip(sources, targets, strict=True))
    found = exported.engine.score(pairs, details=True)
    for one, other in zip(found, native_of(exported.model).score(pairs, details=True), strict=True):
        assert one.log_probs == pytest.approx(other.log_probs, abs=2e-5)
        assert one.entropies == pytest.approx(other.entropies, abs=2e-5)


def test_the_model_is_unchanged_by_its_export(exported):
    again = load_model(exported.folder / "model", device=CPU).model
    assert all(torch.equal(one, two) for one, two in zip(exported.model.parameters(), again.parameters(), strict=True))
    batches = [native_of(model).search([(5, 6, 7)] * 2, GREEDY) for model in (exported.model, again)]
    assert_equal(*batches)


def test_the_documented_loop_decodes_greedily(rotary):
    lines = ["the cat sat", "a dog ran on the mat"]
    config = DecodingConfig(
        search=SearchConfig(method=SearchMethod.greedy, max_length_ratio=100), precision=Precision.fp32, workers=1
    )
    expected = [found.text for found in load_translator(str(rotary.folder / "model"), config).translate(lines)]
    translate = example_of("exporting.md").translate
    assert [translate(str(rotary.folder / "export"), line) for line in lines] == expected


def test_quantised_graphs_are_smaller_and_said_to_be_int8(rotary, tmp_path):
    export_onnx(load_model(rotary.folder / "model", device=CPU), tmp_path / "export", quantization="int8")
    engine = OnnxEngine(model=open_onnx(tmp_path / "export", threads=1)[0])
    assert (rotary.engine.precision, engine.precision) == (Precision.fp32, Precision.int8)
    assert size_of(tmp_path / "export") < size_of(rotary.folder / "export")
    assert [len(each) for each in engine.search(some_sentences(rotary.tokenizer), SearchConfig())] == [1] * 12
    settings = DecodingConfig(engine=EngineName.onnx, precision=Precision.fp32)
    with pytest.raises(UserError, match="precision=fp32: these graphs were exported in int8"):
        load_translator(str(tmp_path / "export"), settings)
    with pytest.raises(UserError, match="device=cuda: engine=onnx runs on the CPU"):
        load_translator(str(tmp_path / "export"), DecodingConfig(engine=EngineName.onnx, device=Device.cuda))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.onnx"))


def test_what_graphs_cannot_express_is_refused_by_name(lstm, tmp_path):
    with pytest.raises(UserError, match=r"model\.architecture=lstm: ONNX graphs are made of transformer only"):
        export_onnx(lstm, tmp_path / "export")
    with pytest.raises(UserError, match="quantization=int4: format=onnx has only int8"):
        export_onnx(lstm, tmp_path / "export", quantization="int4")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"this folder is not replaced, because it holds thesis\.tex"):
        export_onnx(lstm, tmp_path / "mine")
    with pytest.raises(UserError, match=r"engine=onnx reads what python -m translate\.export"):
        open_onnx(tmp_path / "model", threads=1)


def test_a_search_that_wants_attention_is_refused(rotary):
    with pytest.raises(UserError, match=r"search\.coverage_penalty \(0\.5\)"):
        rotary.engine.search([(5, 6)], SearchConfig(coverage_penalty=0.5))


def test_a_damaged_description_is_refused(rotary, tmp_path):
    copy = shutil.copytree(rotary.folder / "export", tmp_path / "copy")
    file = copy / "onnx.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"max_length": 10**12}))
    with pytest.raises(UserError, match=r"onnx\.json"):
        open_onnx(copy, threads=1)
    (copy / "checksums.json").unlink()
    with pytest.raises(UserError, match=r"onnx\.json: max_length \(1000000000000\) must be a number from 1"):
        open_onnx(copy, threads=1)
