"""search.no_repeat_ngram and search.repetition_penalty, against a program that does the same slowly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from fake_models import FakeModel, random_model, table_model
from translate.decoding.config import NEVER_GENERATED, Hypothesis, SearchConfig, SearchMethod, length_limits
from translate.decoding.native_engine import SEARCHES, NativeEngine
from translate.decoding.search import beam, greedy
from translate.decoding.search.base import limit_repetition
from translate.errors import UserError
from translate.tokenizer import BOS, EOS

A, B, C = 4, 5, 6
SETTINGS = [
    {"no_repeat_ngram": 1},
    {"no_repeat_ngram": 2},
    {"no_repeat_ngram": 3},
    {"repetition_penalty": 1.5},
    {"repetition_penalty": 0.5},
    {"no_repeat_ngram": 2, "repetition_penalty": 1.3, "min_length": 3},
]

Tokens = tuple[int, ...]


def search(model: FakeModel, sources: Sequence[Tokens], config: SearchConfig, **options: int) -> list[list[Hypothesis]]:
    options = {"batch_tokens": 1000, "workers": 1, **options}
    return NativeEngine(model=model, device=torch.device("cpu"), **options).search(sources, config)


def ngrams(tokens: Sequence[int], n: int) -> list[Tokens]:
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def slow_log_probs(model: FakeModel, source: Tokens, tokens: Tokens, config: SearchConfig) -> dict[int, float]:
    """Of every token that may come next, by loops over the definition."""
    logits = list(model.next_logits(source, tokens))
    for token in set(tokens):
        logits[token] *= 1 / config.repetition_penalty if logits[token] > 0 else config.repetition_penalty
    n = config.no_repeat_ngram
    allowed = [token for token in range(len(logits)) if not n or (*tokens, token)[-n:] not in ngrams(tokens, n)]
    total = math.log(sum(math.exp(logits[token]) for token in allowed))
    said = {token: logits[token] - total for token in allowed if token not in NEVER_GENERATED}
    if len(tokens) < config.min_length and len(said) > 1:
        del said[EOS]
    return said


def own_score(model: FakeModel, source: Tokens, tokens: Tokens, config: SearchConfig) -> float:
    total = 0.0
    for position, token in enumerate((*tokens, EOS)):
        total += float(torch.tensor(model.next_logits(source, tokens[:position])).log_softmax(0)[token])
    return total / (len(tokens) + 1) ** config.length_penalty


def slow_beam_search(model: FakeModel, source: Tokens, config: SearchConfig) -> list[Hypothesis]:
    """One sentence, nothing kept, until beam_size hypotheses have ended."""
    [limit] = length_limits([len(source) + 1], config, model.max_length)
    active: list[tuple[Tokens, float]] = [((), 0.0)]
    ended: list[tuple[float, Tokens]] = []
    for length in range(1, limit + 2):
        candidates = []
        for tokens, total in active:
            said = slow_log_probs(model, source, tokens, config)
            if length > limit:
                # by the model's own probability
                said = {EOS: float(torch.tensor(model.next_logits(source, tokens)).log_softmax(0)[EOS])}
            candidates += [((*tokens, token), total + log_prob) for token, log_prob in said.items()]
        best = sorted(candidates, key=lambda candidate: candidate[1], reverse=True)[: 2 * config.beam_size]
        for tokens, total in best[: config.beam_size]:
            if tokens[-1] == EOS:
                ended.append((total / length**config.length_penalty, tokens[:-1]))
        active = [candidate for candidate in best if candidate[0][-1] != EOS][: config.beam_size]
        if len(ended) >= config.beam_size:
            break
    chosen = [tokens for _, tokens in sorted(ended, reverse=True)[: config.n_best]]
    found = [Hypothesis(tokens=list(tokens), score=own_score(model, source, tokens, config)) for tokens in chosen]
    return sorted(found, key=lambda hypothesis: hypothesis.score, reverse=True)


def assert_equal(found: list[list[Hypothesis]], expected: list[list[Hypothesis]]) -> None:
    assert [[h.tokens for h in some] for some in found] == [[h.tokens for h in some] for some in expected]
    scores = [[h.score for some in side for h in some] for side in (found, expected)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_beam_search_equals_a_plain_implementation(settings):
    config = SearchConfig(beam_size=3, n_best=2, length_penalty=0.7, max_length=9, **settings)
    sources = [(4 + i % 5,) * (1 + i % 3) + (4 + i // 5,) for i in range(20)]
    for seed in range(3):
        model = random_model(vocabulary_size=9, seed=seed, end=-1.0, spread=2.0)
        expected = [slow_beam_search(model, source, config) for source in sources]
        for batch_sentences in (1, 3, 20):
            assert_equal(search(model, sources, config, batch_sentences=batch_sentences), expected)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_greedy_search_is_a_beam_of_one(settings):
    config = SearchConfig(method=SearchMethod.greedy, beam_size=1, max_length=9, **settings)
    sources = [(4 + i % 5, 4 + i // 5) for i in range(20)]
    model = random_model(vocabulary_size=9, end=-1.0, spread=2.0)
    found = search(model, sources, config)
    assert_equal(found, [slow_beam_search(model, source, config) for source in sources])
    assert found == search(model, sources, config, batch_sentences=3)
    assert found != search(model, sources, replace(config, no_repeat_ngram=0, repetition_penalty=1.0))


def test_sampling_uses_penalised_probabilities_and_scores_unpenalised_ones():
    model = table_model(
        {(): {A: 1.0}, (A,): {A: 0.5, B: 0.3, EOS: 0.2}, (A, B): {EOS: 1.0}, (A, A): {EOS: 1.0}}, vocabulary_size=7
    )
    config = SearchConfig(method=SearchMethod.sampling, length_penalty=0.0, no_repeat_ngram=1)
    draws = [search(model, [(4,)], replace(config, seed=seed))[0][0] for seed in range(800)]
    for tokens, share, own in (([A, B], 0.6, 0.3), ([A], 0.4, 0.2)):
        scores = [draw.score for draw in draws if draw.tokens == tokens]
        assert len(scores) / 800 == pytest.approx(share, abs=4 * math.sqrt(0.25 / 800))
        assert scores == pytest.approx([math.log(own)] * len(scores), abs=1e-5)


def test_repetition_penalty_matches_its_formula():
    """Twice as hard: log(0.5) of a token said before becomes 2 log(0.5), and the rest takes what it loses."""
    row = {A: 0.5, B: 0.3, EOS: 0.2}
    model = table_model({(): {A: 1.0}, (A,): row, (A, B): {EOS: 1.0}, (A, A): {EOS: 1.0}}, vocabulary_size=7)
    config = SearchConfig(method=SearchMethod.sampling, length_penalty=0.0, repetition_penalty=2.0)
    draws = [search(model, [(4,)], replace(config, seed=seed))[0][0].tokens for seed in range(800)]
    for tokens, weight in (([A, A], 0.25), ([A, B], 0.3), ([A], 0.2)):
        assert draws.count(tokens) / 800 == pytest.approx(weight / 0.75, abs=4 * math.sqrt(0.25 / 800))
    logits = torch.tensor([[0.0, 0.0, 0.0, 3.0, 2.0, -1.0, 1.0]])
    said = torch.tensor([[C, BOS, A, B, A]])
    found = limit_repetition(logits, said, torch.tensor([3]), SearchConfig(repetition_penalty=2.0))
    assert found.tolist() == [[0.0, 0.0, 0.0, 3.0, 1.0, -2.0, 1.0]]


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_no_ngram_repeats_and_every_translation_ends(method, n):
    for vocabulary_size, longest in ((6, 30), (7, 12), (12, 20)):
        for seed in range(4):
            # a model that hardly ever wants to end
            model = random_model(vocabulary_size=vocabulary_size, seed=seed, end=-15.0, spread=3.0)
            n_best = 3 if method is SearchMethod.beam else 1
            config = SearchConfig(method=method, n_best=n_best, max_length=longest, no_repeat_ngram=n)
            found = search(model, [(4,), (5, 4, 5), (4,) * 9], config, batch_sentences=2)
            for hypothesis in (hypothesis for some in found for hypothesis in some):
                assert len(set(ngrams(hypothesis.tokens, n))) == len(ngrams(hypothesis.tokens, n))
                assert len(hypothesis.tokens) <= longest
                assert min(hypothesis.tokens, default=A) > EOS


@pytest.mark.parametrize("method", SEARCHES)
def test_translation_ends_before_the_minimum_length_when_no_token_is_allowed(method):
    model = random_model(vocabulary_size=6, end=-5.0)  # two words
    config = SearchConfig(method=method, min_length=8, max_length=20, no_repeat_ngram=1)
    [[hypothesis]] = search(model, [(4,)], config)
    assert sorted(hypothesis.tokens) == [A, B]
    config = replace(config, no_repeat_ngram=2)  # a sequence of two words with every pair once has five
    [[hypothesis]] = search(model, [(4,)], config)
    assert 3 <= len(hypothesis.tokens) <= 5


@pytest.mark.parametrize("method", SEARCHES)
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_batch_never_changes_a_translation(method, settings):
    model = random_model(vocabulary_size=8, end=0.5, spread=2.0)
    sources = [tuple(4 + (i * j) % 4 for j in range(1 + i % 6)) for i in range(20)]
    n_best = 3 if method is SearchMethod.beam else 1
    config = SearchConfig(method=method, beam_size=3, n_best=n_best, max_length=12, **settings)
    alone = [search(model, [source], config)[0] for source in sources]
    for batch_sentences in (2, 3, 5, 20):
        assert search(model, sources, config, batch_sentences=batch_sentences) == alone


def test_disabled_repetition_limits_are_not_computed(monkeypatch):
    for module in (beam, greedy):
        monkeypatch.setattr(module, "limit_repetition", lambda *arguments: 1 / 0)
    for method in SEARCHES:
        assert search(random_model(vocabulary_size=8), [(4,)], SearchConfig(method=method))


@pytest.mark.parametrize(
    "wrong",
    [
        {"no_repeat_ngram": -1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": -2.0},
        {"repetition_penalty": math.inf},
        {"repetition_penalty": math.nan},
    ],
    ids=str,
)
def test_wrong_settings_raise_user_errors(wrong):
    with pytest.raises(UserError, match=rf"search\.{next(iter(wrong))} \("):
        SearchConfig(**wrong).check()
