"""The CTranslate2 engine against our own models: the same probabilities, the same searches, the same contracts."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")

import ctranslate2
import sentencepiece

from translate.batch import NO_TARGET, Batch, Tokens
from translate.checkpoint import load_model, save_model, vocabularies_of, weights_of
from translate.decoding.config import NEVER_GENERATED, Hypothesis, SearchConfig, SearchMethod, Sentence, length_limits
from translate.decoding.native_engine import NativeEngine
from translate.device import Device, Precision
from translate.errors import UserError
from translate.exporting.ctranslate2_converter import _encodings, export_ctranslate2
from translate.exporting.ctranslate2_engine import CTranslate2Engine
from translate.exporting.ctranslate2_model import converted_model, load_runtime
from translate.models import ARCHITECTURES, build_model
from translate.models.attention import Weighting
from translate.models.layers import Positions
from translate.models.seq2seq import Tying
from translate.models.transformer import Activation, Norm, NormOrder, Transformer, TransformerConfig
from translate.tokenizer import BOS, EOS, Tokenizer
from translate.tokenizer_training import TokenizerConfig, train_tokenizer

CPU = torch.device("cpu")
SIZES = {"d_model": 16, "ffn_dim": 24, "num_heads": 2, "encoder_layers": 2, "decoder_layers": 1, "max_length": 30}


@pytest.fixture(scope="module")
def joint() -> Tokenizer:
    return _tokenizer(joint=True)


@pytest.fixture(scope="module")
def separate() -> Tokenizer:
    return _tokenizer(joint=False)


def _tokenizer(*, joint: bool) -> Tokenizer:
    source, target = ["the cat sat on the mat, a dog ran"] * 20, ["zwei Hunde laufen um ein Haus"] * 20
    sizes = {} if joint else {"source_vocab_size": 20, "target_vocab_size": 18}
    return train_tokenizer(TokenizerConfig(vocab_size=28, joint=joint, byte_fallback=False, **sizes), source, target)


def save(model: Transformer, config: TransformerConfig, tokenizer: Tokenizer, directory: Path) -> Path:
    save_model(directory, weights=weights_of(model), config=config, tokenizer=tokenizer, manifest={})
    return directory


def random_model(tokenizer: Tokenizer, *, seed: int = 0, **choices) -> tuple[Transformer, TransformerConfig]:
    """Every weight is random, norms and biases too, so that none of them can be mistaken for another."""
    torch.manual_seed(seed)
    config = TransformerConfig(**SIZES | choices)
    model = build_model(config, vocabularies_of(tokenizer))
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return model.eval(), config


def favour(model: Transformer, logits: dict[int, float]) -> None:
    """Add so much to these tokens' logits, at every step."""
    model.decoder.norm.weight.data[0] = 0.0
    model.decoder.norm.bias.data[0] = 10.0
    model.projection.weight.data[:, 0] = 0.0
    for token, logit in logits.items():
        model.projection.weight.data[token, 0] = logit / 10


def searchable_model(tokenizer: Tokenizer, *, seed: int = 0, end: float = 0.0) -> tuple[Transformer, TransformerConfig]:
    """A model that, as trained ones, hardly ever wants to say PAD, UNK or BOS."""
    model, config = random_model(tokenizer, seed=seed)
    favour(model, dict.fromkeys(NEVER_GENERATED, -40.0) | {EOS: end})
    return model, config


def some_sentences(tokenizer: Tokenizer, *, count: int = 12, seed: int = 0) -> list[Sentence]:
    chosen = random.Random(seed)
    words = range(4, tokenizer.source_vocab_size)
    return [tuple(chosen.choices(words, k=1 + place % 7)) for place in range(count)]


def engine_of(directory: Path, **options) -> CTranslate2Engine:
    return CTranslate2Engine(converted_model(directory), **{"threads": 1, "precision": Precision.fp32, **options})


def native_of(model: Transformer) -> NativeEngine:
    return NativeEngine(model=model, device=CPU, batch_tokens=1000, precision=Precision.fp32, workers=1)


@torch.inference_mode()
def log_probs(model: Transformer, source: Sentence, targets: list[tuple[int, ...]]) -> torch.Tensor:
    """Of every next token after BOS and each of the targets' tokens, which are equally long: (N, T + 1, V)."""
    labels = torch.full((len(targets), len(targets[0]) + 1), NO_TARGET)
    read = Tokens.pad([[*source, EOS]] * len(targets)), Tokens.pad([[BOS, *target] for target in targets])
    hidden = model(Batch(*read, labels, 0, 0)).hidden
    return torch.log_softmax(hidden @ model.projection.weight.T, dim=-1)


def score(model: Transformer, source: Sentence, tokens: list[int], alpha: float) -> float:
    """The model's log probability of a translation and its end / length ** alpha."""
    chosen = log_probs(model, source, [tuple(tokens)])[0].gather(1, torch.tensor([*tokens, EOS])[:, None])
    return float(chosen.sum()) / (len(tokens) + 1) ** alpha


def plain_beam_search(model: Transformer, source: Sentence, config: SearchConfig) -> list[Hypothesis]:
    """Beam search in its simplest form: one sentence, nothing kept, until beam_size hypotheses have ended."""
    [limit] = length_limits([len(source) + 1], config, model.max_length)
    living: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    ended: list[Hypothesis] = []
    for length in range(1, limit + 2):
        following = log_probs(model, source, [tokens for tokens, _ in living])[:, -1].tolist()
        allowed = [EOS] if length > limit else [t for t in range(len(following[0])) if t not in NEVER_GENERATED]
        candidates = [
            ((*tokens, token), total + row[token])
            for (tokens, total), row in zip(living, following, strict=True)
            for token in allowed
        ]
        best = sorted(candidates, key=lambda candidate: candidate[1], reverse=True)[: 2 * config.beam_size]
        ended += [
            Hypothesis(tokens=list(tokens[:-1]), score=total / length**config.length_penalty)
            for tokens, total in best[: config.beam_size]
            if tokens[-1] == EOS
        ]
        living = [candidate for candidate in best if candidate[0][-1] != EOS][: config.beam_size]
        if len(ended) >= config.beam_size:
            break
    return sorted(ended, key=lambda hypothesis: hypothesis.score, reverse=True)[: config.n_best]


def assert_equal(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [[h.tokens for h in hypotheses] for hypotheses in found] == [[h.tokens for h in some] for some in expected]
    scores = [h.score for hypotheses in found for h in hypotheses]
    assert scores == pytest.approx([h.score for hypotheses in expected for h in hypotheses], abs=2e-5)


@pytest.mark.parametrize(
    "choices",
    [{"positions": Positions.none}, {"attention": Weighting.sigmoid}],
    ids=lambda choices: next(iter(choices)),
)
def test_a_transformer_that_the_runtime_cannot_run_is_refused_by_name(tmp_path, joint, choices):
    model, config = random_model(joint, **choices)
    loaded = load_model(save(model, config, joint, tmp_path / "model"), device=CPU)
    with pytest.raises(UserError, match=f"model.{next(iter(choices))}=.*: CTranslate2 runs"):
        export_ctranslate2(loaded, tmp_path / "converted")


@pytest.mark.parametrize("architecture", ["lstm", "convolutional"])
def test_an_architecture_that_the_runtime_does_not_know_is_refused(tmp_path, joint, architecture):
    config = ARCHITECTURES[architecture][0](d_model=16, encoder_layers=1, decoder_layers=1)
    model = build_model(config, vocabularies_of(joint))
    loaded = load_model(save(model, config, joint, tmp_path / "model"), device=CPU)
    with pytest.raises(UserError, match=f"model.architecture={architecture}: CTranslate2 runs transformer only"):
        export_ctranslate2(loaded, tmp_path / "converted")


@pytest.mark.parametrize("tying", list(Tying))
@pytest.mark.parametrize("positions", [Positions.sinusoidal, Positions.learned, Positions.rotary])
@pytest.mark.parametrize("activation", list(Activation))
@pytest.mark.parametrize("norm_order", list(NormOrder))
@pytest.mark.parametrize("norm", list(Norm))
def test_converted_model_has_the_models_probabilities(
    tmp_path, joint, separate, norm, norm_order, activation, positions, tying
):
    tokenizer = joint if tying is Tying.all else separate
    choices = {"norm": norm, "norm_order": norm_order, "activation": activation, "positions": positions}
    model, config = random_model(tokenizer, **choices, tying=tying)
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


@pytest.mark.parametrize(
    "settings",
    [
        {"method": SearchMethod.greedy},
        {"method": SearchMethod.greedy, "length_penalty": 0.5, "max_length": 3},
        {"beam_size": 1},
        {"length_penalty": 0.0},
        {"length_penalty": 0.0, "beam_size": 3, "max_length_ratio": 0.5, "max_length_offset": 2},
    ],
    ids=str,
)
def test_search_gives_what_our_own_gives(tmp_path, joint, settings):
    config, sentences = SearchConfig(**settings), some_sentences(joint)
    for seed in range(2):
        model, shape = searchable_model(joint, seed=seed, end=2.0)
        found = engine_of(save(model, shape, joint, tmp_path / str(seed))).search(sentences, config)
        assert_equal(found, native_of(model).search(sentences, config))


@pytest.mark.parametrize(
    "settings",
    [
        {"n_best": 5},
        {"beam_size": 3, "length_penalty": 0.6, "n_best": 2},
        {"max_length": 2, "n_best": 3},
        {"max_length_ratio": 0.5, "max_length_offset": 1},
    ],
    ids=str,
)
def test_beam_search_is_that_of_a_plain_program(tmp_path, joint, settings):
    config, sentences = SearchConfig(**settings), some_sentences(joint, count=6)
    for end in (-1.0, 2.0):
        model, shape = searchable_model(joint, end=end)
        found = engine_of(save(model, shape, joint, tmp_path / str(end))).search(sentences, config)
        assert_equal(found, [plain_beam_search(model, sentence, config) for sentence in sentences])


REPETITION = [
    {"no_repeat_ngram": 1},
    {"no_repeat_ngram": 2},
    {"no_repeat_ngram": 3},
    {"repetition_penalty": 1.4},
    {"no_repeat_ngram": 2, "repetition_penalty": 1.2},
]


@pytest.mark.parametrize("settings", REPETITION, ids=str)
@pytest.mark.parametrize(
    "search",
    [{"method": SearchMethod.greedy}, {"n_best": 5}, {"n_best": 2, "beam_size": 3}, {"length_penalty": 0.0}],
    ids=str,
)
def test_repetition_is_limited_as_our_own_searches_limit_it(tmp_path, joint, settings, search):
    config = SearchConfig(max_length_offset=28, **search)
    sentences = some_sentences(joint, count=8)
    for seed in range(2):
        model, shape = searchable_model(joint, seed=seed, end=3.5)
        engine = engine_of(save(model, shape, joint, tmp_path / str(seed)))
        limited = replace(config, **settings)
        found = engine.search(sentences, limited)
        assert_equal(found, native_of(model).search(sentences, limited))
        assert config.length_penalty == 0 or found != engine.search(sentences, config)
        for sentence, hypotheses in zip(sentences, found, strict=True):
            assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
            for hypothesis in hypotheses:
                own = score(model, sentence, hypothesis.tokens, config.length_penalty)
                assert hypothesis.score == pytest.approx(own, abs=2e-5)


@pytest.mark.parametrize("method", [SearchMethod.beam, SearchMethod.greedy])
@pytest.mark.parametrize("n", [1, 2])
def test_no_ngram_comes_twice_where_translations_run_to_their_limit(tmp_path, joint, method, n):
    model, shape = searchable_model(joint, end=-30.0)
    engine = engine_of(save(model, shape, joint, tmp_path / "model"))
    config = SearchConfig(method=method, n_best=3 if method is SearchMethod.beam else 1, no_repeat_ngram=n)
    sentences = [(4,), (4, 5, 6), (7,) * 12]
    for sentence, hypotheses in zip(sentences, engine.search(sentences, config), strict=True):
        for hypothesis in hypotheses:
            ngrams = [tuple(hypothesis.tokens[i : i + n]) for i in range(len(hypothesis.tokens) - n + 1)]
            assert len(set(ngrams)) == len(ngrams) > 0
            assert min(hypothesis.tokens) > EOS
            assert hypothesis.score == pytest.approx(score(model, sentence, hypothesis.tokens, 1.0), abs=2e-5)


@pytest.mark.parametrize("method", [SearchMethod.beam, SearchMethod.greedy])
def test_a_translation_without_another_token_left_ends_before_the_minimum_length(tmp_path, joint, method):
    model, shape = searchable_model(joint, seed=1)
    engine = engine_of(save(model, shape, joint, tmp_path / "model"))
    words = range(EOS + 1, joint.target_vocab_size)
    config = SearchConfig(method=method, min_length=len(words) + 3, max_length=30, no_repeat_ngram=1)
    for [hypothesis] in engine.search(some_sentences(joint, count=4), config):
        assert sorted(hypothesis.tokens) == [*words]


@pytest.mark.parametrize("method", [SearchMethod.beam, SearchMethod.greedy])
def test_each_sentence_has_its_own_limit_in_any_batch(tmp_path, joint, method):
    model, shape = searchable_model(joint, end=-30.0)
    engine = engine_of(save(model, shape, joint, tmp_path / "model"))
    config = SearchConfig(method=method, max_length_ratio=1.5, max_length_offset=2)
    sentences = [(4,), (4, 5, 6), (7,) * 7, (7,) * 28]
    found = engine.search(sentences, config)
    assert [len(hypotheses[0].tokens) for hypotheses in found] == [5, 8, 14, 30]
    assert_equal([engine.search([sentence], config)[0] for sentence in sentences], found)
    for sentence, [hypothesis] in zip(sentences, found, strict=True):
        assert hypothesis.score == pytest.approx(score(model, sentence, hypothesis.tokens, 1.0), abs=2e-5)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
@pytest.mark.parametrize("method", [SearchMethod.beam, SearchMethod.greedy])
def test_forbidden_tokens_are_not_said_and_scores_are_the_models_own(tmp_path, joint, method, alpha):
    model, shape = random_model(joint)
    favour(model, dict.fromkeys(NEVER_GENERATED, 1.5) | {EOS: 1.0})
    engine = engine_of(save(model, shape, joint, tmp_path / "model"))
    n_best = 3 if method is SearchMethod.beam else 1
    config = SearchConfig(method=method, n_best=n_best, length_penalty=alpha, min_length=2, max_length=9)
    sentences = some_sentences(joint)
    for sentence, hypotheses in zip(sentences, engine.search(sentences, config), strict=True):
        assert len(hypotheses) == n_best == len({tuple(hypothesis.tokens) for hypothesis in hypotheses})
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        for hypothesis in hypotheses:
            assert 2 <= len(hypothesis.tokens) <= 9
            assert min(hypothesis.tokens) > EOS
            assert hypothesis.score == pytest.approx(score(model, sentence, hypothesis.tokens, alpha), abs=2e-5)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_neither_order_nor_batches_nor_workers_change_a_translation(tmp_path, joint, alpha):
    model, shape = searchable_model(joint, end=0.5)
    directory = save(model, shape, joint, tmp_path / "model")
    config, sentences = SearchConfig(n_best=2, length_penalty=alpha), some_sentences(joint, count=40)
    found = engine_of(directory).search(sentences, config)
    assert_equal(engine_of(directory, batch_sentences=1).search(sentences, config), found)
    assert_equal(engine_of(directory, threads=2, batch_tokens=20).search(sentences[::-1], config), found[::-1])


def test_progress_rises_to_one(tmp_path, joint):
    model, shape = searchable_model(joint, end=0.5)
    engine, shares = engine_of(save(model, shape, joint, tmp_path / "model"), batch_sentences=5), []
    engine.search(some_sentences(joint, count=20), SearchConfig(), progress=shares.append)
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert engine.search([], SearchConfig()) == []


def test_a_diverged_model_is_an_error(tmp_path, joint):
    model, shape = searchable_model(joint)
    model.decoder.norm.bias.data.fill_(torch.nan)
    engine = engine_of(save(model, shape, joint, tmp_path / "model"))
    for method in (SearchMethod.beam, SearchMethod.greedy):
        with pytest.raises(UserError, match="diverged"):
            engine.search([(4, 5)], SearchConfig(method=method))


def test_sampling_is_refused(tmp_path, joint):
    model, shape = searchable_model(joint)
    engine = engine_of(save(model, shape, joint, tmp_path / "model"))
    with pytest.raises(UserError, match=r"search\.method=sampling: .* use engine=native"):
        engine.search([(4, 5)], SearchConfig(method=SearchMethod.sampling))


def test_conversion_is_made_once_and_anew_when_the_weights_change(tmp_path, joint):
    config, sentences = SearchConfig(length_penalty=0.0), some_sentences(joint)
    model, shape = searchable_model(joint, seed=1, end=1.0)
    directory = save(model, shape, joint, tmp_path / "run" / "best")
    first = engine_of(tmp_path / "run").search(sentences, config)
    converted = converted_model(directory).directory / "model.bin"
    assert directory not in converted.parents
    time = converted.stat().st_mtime_ns
    assert_equal(engine_of(directory).search(sentences, config), first)
    assert converted.stat().st_mtime_ns == time

    other, _ = searchable_model(joint, seed=2, end=1.0)
    weights = save(other, shape, joint, tmp_path / "other") / "weights.safetensors"
    (directory / "weights.safetensors").write_bytes(weights.read_bytes())
    second = engine_of(directory).search(sentences, config)
    assert second != first
    assert_equal(second, native_of(other).search(sentences, config))


def test_a_conversion_that_came_with_a_model_is_not_believed(tmp_path, joint):
    """As earlier versions kept it: in the model's folder, with a note of what it was made from."""
    config, sentences = SearchConfig(length_penalty=0.0), some_sentences(joint)
    model, shape = searchable_model(joint, seed=1, end=1.0)
    directory = save(model, shape, joint, tmp_path / "model")
    kept = converted_model(directory).directory
    other, _ = searchable_model(joint, seed=2, end=1.0)
    stranger = converted_model(save(other, shape, joint, tmp_path / "other")).directory
    for place in (directory / "ctranslate2", directory):
        place.mkdir(exist_ok=True)
        (place / "model.bin").write_bytes((stranger / "model.bin").read_bytes())
    assert converted_model(directory).directory == kept
    assert_equal(engine_of(directory).search(sentences, config), native_of(model).search(sentences, config))


@pytest.mark.parametrize("damage", ["cut", "flipped", "checksums", "added", "removed"])
def test_a_damaged_conversion_is_made_again(tmp_path, joint, caplog, damage):
    config, sentences = SearchConfig(length_penalty=0.0), some_sentences(joint)
    model, shape = searchable_model(joint, seed=1, end=1.0)
    directory = save(model, shape, joint, tmp_path / "model")
    kept = converted_model(directory).directory
    content = (kept / "model.bin").read_bytes()
    if damage == "cut":
        (kept / "model.bin").write_bytes(content[:1000])
    elif damage == "flipped":
        (kept / "model.bin").write_bytes(content[:-1] + bytes([content[-1] ^ 0x80]))
    elif damage == "checksums":
        (kept / "checksums.json").write_text("{")
    elif damage == "added":
        (kept / "vmap.txt").write_text("")
    else:
        (kept / "config.json").unlink()
    assert_equal(engine_of(directory).search(sentences, config), native_of(model).search(sentences, config))
    assert "is damaged: the model is converted again" in caplog.text
    assert (kept / "model.bin").read_bytes() == content


@contextmanager
def without_root() -> Iterator[None]:
    """Root may write everywhere: be nobody for a while."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_cache_that_cannot_be_written_costs_a_conversion_each_time(tmp_path, joint, monkeypatch, caplog):
    model, shape = searchable_model(joint)
    directory = save(model, shape, joint, tmp_path / "model")
    expected = engine_of(directory).search([(4, 5)], SearchConfig())
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o555)
    monkeypatch.setenv("TRANSLATE_CACHE", str(cache))
    for folder in takewhile(lambda folder: folder != Path(gettempdir()), (tmp_path, *tmp_path.parents)):
        folder.chmod(0o755)
    with without_root():
        engine = engine_of(directory)
        assert_equal(engine.search([(4, 5)], SearchConfig()), expected)
        del engine
    assert not list(cache.iterdir())
    assert "cannot be written; the model is converted for this time only" in caplog.text


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


def test_quantised_export_is_smaller_and_leaves_the_model_alone(tmp_path, joint):
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


def test_a_weight_that_the_runtime_cannot_hold_is_named(tmp_path, joint):
    model, shape = searchable_model(joint)
    loaded = load_model(save(model, shape, joint, tmp_path / "model"), device=CPU)
    loaded.model.gate = nn.Parameter(torch.zeros(1))
    with pytest.raises(UserError, match="gate: CTranslate2 has no place"):
        export_ctranslate2(loaded, tmp_path / "exported")
    assert not (tmp_path / "exported").exists()


def test_what_the_machine_or_the_settings_lack_is_an_error_that_says_so(tmp_path, joint, monkeypatch):
    model, shape = searchable_model(joint)
    directory = save(model, shape, joint, tmp_path / "model")
    with pytest.raises(UserError, match=r"workers \(-1\) must not be negative"):
        engine_of(directory, workers=-1)
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda device: {"float32", "int8"})
    with pytest.raises(UserError, match=r"precision=bf16: .* it supports fp32, int8"):
        engine_of(directory, precision=Precision.bf16)
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: 0)
    with pytest.raises(UserError, match="device=cuda, but CTranslate2 finds no GPU"):
        engine_of(directory, device=Device.cuda)
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(UserError, match=r"pip install 'translate-seq2seq\[ctranslate2\]'"):
        engine_of(directory)


@pytest.mark.parametrize(("precision", "workers"), [("fp32", 1), ("int8", 4)])
def test_one_sentence_has_all_threads_and_many_one_each(tmp_path, joint, monkeypatch, precision, workers):
    loaded = []

    def load(converted, **settings):
        loaded.append((settings["inter_threads"], settings["intra_threads"]))
        return load_runtime(converted, **settings)

    monkeypatch.setattr("translate.exporting.ctranslate2_engine.load_runtime", load)
    model, shape = searchable_model(joint)
    engine = engine_of(save(model, shape, joint, tmp_path / "model"), threads=4, precision=Precision(precision))
    sentences = some_sentences(joint, count=40)
    alone = [engine.search([sentence], SearchConfig()) for sentence in sentences[:2]]
    assert loaded == [(workers, 4 // workers)]
    assert [[h.tokens for h in one] for [one] in alone] == [
        [h.tokens for h in one] for one in engine.search(sentences, SearchConfig())[:2]
    ]
    assert loaded[-1] == (4, 1)


def test_an_export_replaces_an_earlier_one_and_nothing_else(tmp_path, joint):
    model, shape = searchable_model(joint)
    loaded = load_model(save(model, shape, joint, tmp_path / "model"), device=CPU)
    export_ctranslate2(loaded, tmp_path / "exported")
    export_ctranslate2(loaded, tmp_path / "exported", quantization="int8")
    (tmp_path / "exported" / "thesis.tex").touch()
    for folder in ("exported", "model"):
        with pytest.raises(UserError, match=rf"directory=.*{folder}: this folder is not replaced"):
            export_ctranslate2(loaded, tmp_path / folder)


def test_a_damaged_export_is_an_error(tmp_path, joint):
    model, shape = searchable_model(joint)
    exported = tmp_path / "exported"
    export_ctranslate2(load_model(save(model, shape, joint, tmp_path / "model"), device=CPU), exported)
    (exported / "model.bin").write_bytes((exported / "model.bin").read_bytes()[:1000])
    with pytest.raises(UserError, match=r"model\.bin: damaged, it does not match checksums\.json"):
        engine_of(exported)
    (exported / "checksums.json").unlink()  # as in an export of an earlier version
    with pytest.raises(UserError, match="CTranslate2 cannot load the model"):
        engine_of(exported).search([(5, 6)], SearchConfig())
    (exported / "manifest.json").unlink()
    with pytest.raises(UserError, match=r"manifest\.json is missing"):
        engine_of(exported)


@pytest.mark.parametrize("positions", [Positions.sinusoidal, Positions.learned, Positions.rotary])
@pytest.mark.parametrize("longest", [15, 16, 17])
def test_it_reads_and_writes_sentences_of_exactly_the_limit(tmp_path, joint, positions, longest):
    sizes = {"positions": positions, "max_length": longest}
    model, config = random_model(joint, **sizes)
    favour(model, dict.fromkeys([*NEVER_GENERATED, EOS], -40.0))  # translations end at their limit
    words = [4 + place % (joint.source_vocab_size - 4) for place in range(longest)]
    sentences = [tuple(words[: longest - 1]), tuple(words)]
    directory = save(model, config, joint, tmp_path / "model")
    for beam_size in (1, 3):
        search = SearchConfig(beam_size=beam_size)
        found = engine_of(directory).search(sentences, search)
        assert [len(hypotheses[0].tokens) for hypotheses in found] == [longest, longest]
        for [mine], [theirs] in zip(found, native_of(model).search(sentences, search), strict=True):
            assert mine.tokens == theirs.tokens
            assert mine.score == pytest.approx(theirs.score, abs=1e-3)


@pytest.mark.parametrize("positions", [Positions.sinusoidal, Positions.learned, Positions.rotary])
def test_padding_to_multiples_of_eight_has_positions(positions):
    """On a GPU the runtime pads batches in fp16 and bf16 so, and refuses positions that have no row."""
    config = TransformerConfig(**SIZES | {"positions": positions, "max_length": 16})
    learned = np.random.default_rng(0).normal(size=(17, 16)).astype(np.float32)
    encodings = _encodings(config, "source", {"source_embedding.positions": learned})
    assert encodings.shape == (24, 16)
    if positions is Positions.learned:
        assert (encodings[:17] == learned).all()
