"""Models converted for CTranslate2 against our own: the same probabilities, or a refusal by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from ctranslate2_models import (
    CPU,
    SIZES,
    assert_equal,
    engine_of,
    favour,
    log_probs,
    native_of,
    random_model,
    save,
    searchable_model,
    small_tokenizer,
    some_sentences,
)
from small_runs import composed
from translate.checkpoint import load_model, vocabularies_of
from translate.decoding.config import NEVER_GENERATED, SearchConfig
from translate.errors import UserError
from translate.exporting.ctranslate2_converter import _encodings, export_ctranslate2
from translate.models import ARCHITECTURES, build_model
from translate.models.attention import Norm, Weighting
from translate.models.layers import Positions
from translate.models.seq2seq import Tying
from translate.models.transformer import Activation, NormOrder, TransformerConfig
from translate.tokenizer import EOS, Tokenizer

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")

import ctranslate2
import sentencepiece


@pytest.fixture(scope="module")
def joint() -> Tokenizer:
    return small_tokenizer(joint=True)


@pytest.fixture(scope="module")
def separate() -> Tokenizer:
    return small_tokenizer(joint=False)


@pytest.mark.parametrize(
    "choices",
    [
        {"positions": Positions.none},
        {"attention": Weighting.sigmoid},
        {"source_prefix": [7]},
        {"target_prefix": [3, 9]},
    ],
    ids=lambda choices: next(iter(choices)),
)
def test_unsupported_transformer_options_are_named(tmp_path, joint, choices):
    model, config = random_model(joint, **choices)
    loaded = load_model(save(model, config, joint, tmp_path / "model"), device=CPU)
    with pytest.raises(UserError, match=f"model.{next(iter(choices))}=.*: CTranslate2 runs"):
        export_ctranslate2(loaded, tmp_path / "converted")


@pytest.mark.parametrize("architecture", ["lstm", "convolutional"])
def test_unsupported_architecture_is_refused(tmp_path, joint, architecture):
    config = ARCHITECTURES[architecture][0](d_model=16, encoder_layers=1, decoder_layers=1)
    model = build_model(config, vocabularies_of(joint))
    loaded = load_model(save(model, config, joint, tmp_path / "model"), device=CPU)
    with pytest.raises(UserError, match=f"model.architecture={architecture}: CTranslate2 runs only transformer"):
        export_ctranslate2(loaded, tmp_path / "converted")


@pytest.mark.parametrize("tying", list(Tying))
@pytest.mark.parametrize("positions", [Positions.sinusoidal, Positions.learned, Positions.rotary])
@pytest.mark.parametrize("activation", list(Activation))
@pytest.mark.parametrize("norm_order", list(NormOrder))
@pytest.mark.parametrize("norm", list(Norm))
def test_converted_model_has_equal_probabilities(
    tmp_path, joint, separate, norm, norm_order, activation, positions, tying
):
    tokenizer = joint if tying is Tying.all else separate
    choices = {"norm": norm, "norm_order": norm_order, "activation": activation, "positions": positions}
    assert_equal_probabilities(tmp_path, tokenizer, **choices, tying=tying)


OPTIONS = [
    {"bias": False},
    {"bias": False, "norm_order": NormOrder.post},
    {"bias": False, "norm": Norm.rms_norm, "activation": Activation.swiglu},
    {"qk_norm": True},
    {"qk_norm": True, "norm": Norm.rms_norm, "norm_order": NormOrder.post},
    {"qk_norm": True, "bias": False, "positions": Positions.rotary, "activation": Activation.swiglu},
    {"output_bias": True, "norm_order": NormOrder.post, "activation": Activation.swish},
    {"positions": Positions.fairseq, "scale_embeddings": False},
]


@pytest.mark.parametrize("choices", OPTIONS, ids=str)
def test_converted_model_without_biases_or_with_norms_of_heads_has_equal_probabilities(tmp_path, joint, choices):
    assert_equal_probabilities(tmp_path, joint, **choices)


@pytest.mark.parametrize("preset", ["tiny", "mini", "small", "base", "big", "vaswani_base", "vaswani_big"])
def test_converted_preset_has_equal_probabilities_and_translations(tmp_path, joint, preset):
    """In small sizes: what the runtime might not run are the parts."""
    parts = {key: value for key, value in vars(composed([f"model={preset}"]).model).items() if key not in SIZES}
    assert_equal_probabilities(tmp_path, joint, **parts)
    model, shape = searchable_model(joint, end=1.0, **parts)
    sentences, config = some_sentences(joint), SearchConfig(length_penalty=0.0)
    engine = engine_of(save(model, shape, joint, tmp_path / "searched"))
    assert_equal(engine.search(sentences, config), native_of(model).search(sentences, config))


def assert_equal_probabilities(tmp_path, tokenizer, **choices) -> None:
    """Convert a random model, and compare the probabilities of all tokens of some translations."""
    model, config = random_model(tokenizer, **choices)
    loaded = load_model(save(model, config, tokenizer, tmp_path / "model"), device=CPU)
    export_ctranslate2(loaded, tmp_path / "exported")
    runtime = ctranslate2.Translator(str(tmp_path / "exported"), intra_threads=1)
    sources, targets = [(5, 6, 7, 8), (9, 10), (17, 16, 5, 6, 7, 16, 17)], [[5, 6], [7, 8, 17, 10, 11], []]
    results = runtime.score_batch(
        [tokenizer.source_pieces(source) for source in sources],
        [tokenizer.target_pieces(target) for target in targets],
    )
    for source, target, result in zip(sources, targets, results, strict=True):
        expected = log_probs(model, source, [tuple(target)])[0].gather(1, torch.tensor([*target, EOS])[:, None])
        assert result.log_probs == pytest.approx(expected.flatten().tolist(), abs=1e-4)


def test_export_is_usable_alone(tmp_path, separate):
    model, shape = random_model(separate, tying=Tying.none)
    favour(model, dict.fromkeys(NEVER_GENERATED, -40.0) | {EOS: 2.0})
    directory, exported = save(model, shape, separate, tmp_path / "model"), tmp_path / "exported"
    export_ctranslate2(load_model(directory, device=CPU), exported)
    config = SearchConfig(length_penalty=0.0)
    [[expected]] = native_of(model).search([tuple(separate.encode_source(["the cat sat"])[0])], config)

    encode = sentencepiece.SentencePieceProcessor(model_file=str(exported / "source.tokenizer.model")).encode
    decode = sentencepiece.SentencePieceProcessor(model_file=str(exported / "target.tokenizer.model")).decode
    runtime = ctranslate2.Translator(str(exported), intra_threads=1)
    [result] = runtime.translate_batch(
        [encode("the cat sat", out_type=str)],
        beam_size=5,
        length_penalty=0,
        max_decoding_length=31,
        min_decoding_length=0,
    )
    assert [decode(result.hypotheses[0])] == separate.decode_target([expected.tokens])

    assert_equal(engine_of(exported).search([tuple(separate.encode_source(["the cat sat"])[0])], config), [[expected]])


def test_quantised_export_is_smaller_and_the_model_unchanged(tmp_path, joint):
    model, shape = searchable_model(joint)
    loaded = load_model(save(model, shape, joint, tmp_path / "model"), device=CPU)
    sizes = {}
    for quantization in ("int8", "float16", None):
        export_ctranslate2(loaded, tmp_path / "exported", quantization=quantization)
        sizes[quantization] = (tmp_path / "exported" / "model.bin").stat().st_size
    assert sizes["int8"] < sizes["float16"] < sizes[None]
    assert all(torch.equal(x, y) for x, y in zip(loaded.model.parameters(), model.parameters(), strict=True))
    with pytest.raises(UserError, match="quantization=int4 is none of int8"):
        export_ctranslate2(loaded, tmp_path / "exported", quantization="int4")


def test_unsupported_weight_is_named(tmp_path, joint):
    model, shape = searchable_model(joint)
    loaded = load_model(save(model, shape, joint, tmp_path / "model"), device=CPU)
    loaded.model.gate = nn.Parameter(torch.zeros(1))
    with pytest.raises(UserError, match="gate: CTranslate2 has no such weight"):
        export_ctranslate2(loaded, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_an_export_replaces_an_earlier_one_and_nothing_else(tmp_path, joint):
    model, shape = searchable_model(joint)
    loaded = load_model(save(model, shape, joint, tmp_path / "model"), device=CPU)
    export_ctranslate2(loaded, tmp_path / "exported")
    export_ctranslate2(loaded, tmp_path / "exported", quantization="int8")
    (tmp_path / "exported" / "thesis.tex").touch()
    for folder in ("exported", "model"):
        with pytest.raises(UserError, match=rf"output=.*{folder}: this folder is not replaced"):
            export_ctranslate2(loaded, tmp_path / folder)


@pytest.mark.parametrize("positions", [Positions.sinusoidal, Positions.learned, Positions.rotary])
def test_padding_to_multiples_of_eight_has_positions(positions):
    """On a GPU the runtime pads batches in fp16 and bf16 so, and refuses positions that have no row."""
    config = TransformerConfig(**SIZES | {"positions": positions, "max_length": 16})
    learned = np.random.default_rng(0).normal(size=(17, 16)).astype(np.float32)
    encodings = _encodings(config, "source", {"source_embedding.positions": learned})
    if positions is Positions.sinusoidal:
        angles = np.arange(24)[:, None] * 10_000 ** (-np.arange(0, 16, 2) / 16)
        expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    else:
        expected = np.zeros((24, 16))
        if positions is Positions.learned:
            expected[:17] = learned
    np.testing.assert_allclose(encodings, expected, atol=1e-5)
