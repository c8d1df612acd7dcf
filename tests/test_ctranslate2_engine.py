"""The CTranslate2 engine against our own searches: same hypotheses, same scores, same limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ctranslate2_models import (
    assert_equal,
    engine_of,
    favour,
    log_probs,
    native_of,
    random_model,
    save,
    score,
    searchable_model,
    small_tokenizer,
    some_sentences,
)
from translate.decoding.config import NEVER_GENERATED, Hypothesis, SearchConfig, SearchMethod, Sentence, length_limits
from translate.device import Precision
from translate.errors import UserError
from translate.exporting.ctranslate2_model import load_runtime
from translate.models.layers import Positions
from translate.models.transformer import Transformer
from translate.tokenizer import EOS, Tokenizer

pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")


@pytest.fixture(scope="module")
def joint() -> Tokenizer:
    return small_tokenizer(joint=True)


def plain_beam_search(model: Transformer, source: Sentence, config: SearchConfig) -> list[Hypothesis]:
    """Beam search in its simplest form: one sentence, nothing kept, until beam_size hypotheses have ended."""
    [limit] = length_limits([len(source) + 1], config, model.max_length)
    active: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    ended: list[Hypothesis] = []
    for length in range(1, limit + 2):
        following = log_probs(model, source, [tokens for tokens, _ in active])[:, -1].tolist()
        allowed = [EOS] if length > limit else [t for t in range(len(following[0])) if t not in NEVER_GENERATED]
        candidates = [
            ((*tokens, token), total + row[token])
            for (tokens, total), row in zip(active, following, strict=True)
            for token in allowed
        ]
        best = sorted(candidates, key=lambda candidate: candidate[1], reverse=True)[: 2 * config.beam_size]
        ended += [
            Hypothesis(tokens=list(tokens[:-1]), score=total / length**config.length_penalty)
            for tokens, total in best[: config.beam_size]
            if tokens[-1] == EOS
        ]
        active = [candidate for candidate in best if candidate[0][-1] != EOS][: config.beam_size]
        if len(ended) >= config.beam_size:
            break
    return sorted(ended, key=lambda hypothesis: hypothesis.score, reverse=True)[: config.n_best]


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
def test_ctranslate2_search_equals_the_native_search(tmp_path, joint, settings):
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
def test_ctranslate2_beam_search_equals_a_plain_implementation(tmp_path, joint, settings):
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
def test_repetition_limits_equal_those_of_the_native_search(tmp_path, joint, settings, search):
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
def test_no_ngram_repeats_in_translations_of_maximum_length(tmp_path, joint, method, n):
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
def test_translation_ends_before_the_minimum_length_when_no_token_is_allowed(tmp_path, joint, method):
    model, shape = searchable_model(joint, seed=1)
    engine = engine_of(save(model, shape, joint, tmp_path / "model"))
    words = range(EOS + 1, joint.target_vocab_size)
    config = SearchConfig(method=method, min_length=len(words) + 3, max_length=30, no_repeat_ngram=1)
    for [hypothesis] in engine.search(some_sentences(joint, count=4), config):
        assert sorted(hypothesis.tokens) == [*words]


@pytest.mark.parametrize("method", [SearchMethod.beam, SearchMethod.greedy])
def test_length_limits_apply_per_sentence_in_any_batch(tmp_path, joint, method):
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
def test_special_tokens_are_never_generated_and_scores_are_log_probabilities(tmp_path, joint, method, alpha):
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
def test_order_batches_and_workers_change_no_translation(tmp_path, joint, alpha):
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


def test_diverged_model_raises_an_error(tmp_path, joint):
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


@pytest.mark.parametrize(("precision", "workers"), [("fp32", 1), ("int8", 4)])
def test_one_sentence_uses_all_threads_and_many_use_one_each(tmp_path, joint, monkeypatch, precision, workers):
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


@pytest.mark.parametrize("positions", [Positions.sinusoidal, Positions.learned, Positions.rotary])
@pytest.mark.parametrize("longest", [15, 16, 17])
def test_sentences_of_exactly_the_maximum_length_are_translated(tmp_path, joint, positions, longest):
    sizes = {"positions": positions, "max_length": longest}
    model, config = random_model(joint, **sizes)
    favour(model, dict.fromkeys([*NEVER_GENERATED, EOS], -40.0))  # translations end at their limit
    words = [4 + position % (joint.source_vocab_size - 4) for position in range(longest)]
    sentences = [tuple(words[: longest - 1]), tuple(words)]
    directory = save(model, config, joint, tmp_path / "model")
    for beam_size in (1, 3):
        search = SearchConfig(beam_size=beam_size)
        found = engine_of(directory).search(sentences, search)
        assert [len(hypotheses[0].tokens) for hypotheses in found] == [longest, longest]
        for [mine], [theirs] in zip(found, native_of(model).search(sentences, search), strict=True):
            assert mine.tokens == theirs.tokens
            assert mine.score == pytest.approx(theirs.score, abs=1e-3)
