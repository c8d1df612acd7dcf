"""Greedy and beam search, against hand arithmetic and exhaustive search on models that can be enumerated."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from fake_models import FakeModel, FakeState, copy_model, random_model, table_model
from translate.batch import EOS, Tokens
from translate.decoding.beam import beam_search
from translate.decoding.greedy import greedy_search
from translate.decoding.hypotheses import Hypothesis, SearchConfig, SearchMethod
from translate.decoding.search import SEARCHES
from translate.errors import UserError

A, B, C = 4, 5, 6


def read(*sentences: list[int]) -> Tokens:
    return Tokens.pad([[*sentence, EOS] for sentence in sentences])


def score(model: FakeModel, source: list[int], tokens: tuple[int, ...], alpha: float) -> float:
    """Log probability of a translation by the definition: one forced token at a time."""
    total = 0.0
    for place, token in enumerate((*tokens, EOS)):
        logits = torch.tensor(model.next_logits(tuple(source), tokens[:place]))
        total += float(torch.log_softmax(logits, dim=0)[token])
    return total / (len(tokens) + 1) ** alpha


def exhaustive(model: FakeModel, source: list[int], words: list[int], longest: int, alpha: float):
    every = [tokens for length in range(longest + 1) for tokens in itertools.product(words, repeat=length)]
    ranked = sorted(((score(model, source, tokens, alpha), tokens) for tokens in every), reverse=True)
    return [Hypothesis(tokens=list(tokens), score=value) for value, tokens in ranked]


def tokens_of(results: list[list[Hypothesis]]) -> list[list[list[int]]]:
    return [[hypothesis.tokens for hypothesis in hypotheses] for hypotheses in results]


@pytest.mark.parametrize("seed", range(5))
def test_beam_of_one_is_greedy(seed):
    model = random_model(vocabulary_size=9, seed=seed, end=0.7)
    source = read([5], [6, 7, 8], [4, 4], [8, 7, 6, 5, 4])
    for config in [SearchConfig(beam_size=1), SearchConfig(beam_size=1, min_length=3, max_length=6)]:
        beam, greedy = beam_search(model, source, config), greedy_search(model, source, config)
        assert tokens_of(beam) == tokens_of(greedy)
        for [ours], [theirs] in zip(beam, greedy, strict=True):
            assert ours.score == pytest.approx(theirs.score, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_wide_beam_finds_the_exhaustive_best(alpha, seed):
    model = random_model(vocabulary_size=7, seed=seed)
    config = SearchConfig(beam_size=200, length_penalty=alpha, max_length=4, n_best=10)
    sources = [[4], [5, 6]]
    for source, found in zip(sources, beam_search(model, read(*sources), config), strict=True):
        expected = exhaustive(model, source, [A, B, C], 4, alpha)[:10]
        assert [h.tokens for h in found] == [h.tokens for h in expected]
        assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=1e-5)


def test_wide_beam_respects_the_minimum_length():
    model = random_model(vocabulary_size=7, seed=3, end=3.0)
    config = SearchConfig(beam_size=200, max_length=4, min_length=2, n_best=5)
    expected = [h for h in exhaustive(model, [4], [A, B, C], 4, 1.0) if len(h.tokens) >= 2]
    [found] = beam_search(model, read([4]), config)
    assert [h.tokens for h in found] == [h.tokens for h in expected[:5]]


def test_length_penalty_by_hand():
    model = table_model(
        {
            (): {A: 0.6, EOS: 0.4},
            (A,): {B: 0.7, EOS: 0.3},
            (A, B): {EOS: 1.0},
        },
        vocabulary_size=7,
    )
    by_alpha = {}
    for alpha in (0.0, 1.0):
        config = SearchConfig(beam_size=3, length_penalty=alpha, n_best=3, max_length=5)
        by_alpha[alpha] = beam_search(model, read([4]), config)[0]
    assert [h.tokens for h in by_alpha[0.0]] == [[A, B], [], [A]]
    assert [h.score for h in by_alpha[0.0]] == pytest.approx([math.log(p) for p in (0.42, 0.4, 0.18)], abs=1e-5)
    assert [h.tokens for h in by_alpha[1.0]] == [[A, B], [A], []]
    expected = [math.log(0.42) / 3, math.log(0.18) / 2, math.log(0.4)]
    assert [h.score for h in by_alpha[1.0]] == pytest.approx(expected, abs=1e-5)


def test_beam_finds_what_greedy_misses():
    model = table_model(
        {(): {A: 0.6, B: 0.4}, (A,): {C: 0.5, EOS: 0.5}, (B,): {EOS: 1.0}, (A, C): {EOS: 1.0}},
        vocabulary_size=7,
    )
    config = SearchConfig(length_penalty=0.0)
    assert greedy_search(model, read([4]), config)[0][0].tokens != [B]
    assert beam_search(model, read([4]), config)[0][0].tokens == [B]


@pytest.mark.parametrize("method", list(SearchMethod))
@pytest.mark.parametrize("limits", [(0, 1), (0, 3), (3, 3), (5, 12)])
def test_lengths_hold_and_something_is_always_returned(method, limits):
    shortest, longest = limits
    config = SearchConfig(method=method, min_length=shortest, max_length=longest)
    sources = [[4] * length for length in (1, 2, 5, 9)]
    for end in (-8.0, 0.0, 8.0):
        model = random_model(vocabulary_size=8, end=end)
        for [hypothesis] in SEARCHES[method](model, read(*sources), config):
            assert shortest <= len(hypothesis.tokens) <= longest
            assert min(hypothesis.tokens, default=4) >= 4, "no PAD, UNK, BOS or EOS inside"


def test_maximum_length_follows_the_sentence_alone():
    model = random_model(vocabulary_size=8, end=-50.0)
    config = SearchConfig(max_length_ratio=1.5, max_length_offset=2)
    results = beam_search(model, read([4], [4, 5, 6], [7] * 7), config)
    assert [len(hypotheses[0].tokens) for hypotheses in results] == [5, 8, 14]


@pytest.mark.parametrize("method", list(SearchMethod))
def test_batch_never_changes_a_translation(method):
    model = random_model(vocabulary_size=12, end=1.0)
    sources = [[4 + (i * j) % 8 for j in range(1 + i % 6)] for i in range(20)]
    config = SearchConfig(method=method, beam_size=4, n_best=1 if method == SearchMethod.greedy else 4)
    search = SEARCHES[method]
    alone = [search(model, read(source), config)[0] for source in sources]
    assert search(model, read(*sources), config) == alone
    assert search(model, read(*reversed(sources)), config) == alone[::-1]


def test_n_best_is_sorted_distinct_and_scored_by_the_model():
    model = random_model(vocabulary_size=10, end=1.0)
    config = SearchConfig(beam_size=6, n_best=6, length_penalty=0.8)
    sources = [[4, 5], [6], [7, 8, 9]]
    for source, found in zip(sources, beam_search(model, read(*sources), config), strict=True):
        assert len(found) == 6
        assert len({tuple(h.tokens) for h in found}) == 6
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for hypothesis in found:
            assert hypothesis.score == pytest.approx(score(model, source, tuple(hypothesis.tokens), 0.8), abs=1e-5)


def test_stopping_without_hope_changes_no_result_and_saves_steps():
    sources = [[4 + i % 5] * (1 + i % 4) for i in range(10)]
    for alpha in (0.0, 0.3):
        model = random_model(vocabulary_size=10, end=1.5)
        config = SearchConfig(beam_size=5, length_penalty=alpha)
        all_five = SearchConfig(beam_size=5, length_penalty=alpha, n_best=5)
        best = [found[:1] for found in beam_search(model, read(*sources), all_five)]
        patient_steps = sum(model.rows_per_step)
        assert beam_search(model, read(*sources), config) == best
        assert sum(model.rows_per_step) - patient_steps < patient_steps


def test_a_living_hypothesis_that_scores_higher_is_not_given_up():
    model = table_model(
        {(): {EOS: 0.3, A: 0.69, B: 0.01}, (A,): {C: 0.98, EOS: 0.02}, (B,): {EOS: 1.0}}, vocabulary_size=7
    )
    [[found]] = beam_search(model, read([4]), SearchConfig(beam_size=2, length_penalty=0.0))
    assert found.tokens == [A, C]


def test_sentences_that_are_done_leave_the_batch():
    model = copy_model(vocabulary_size=9)
    beam_search(model, read([4], [5] * 6, [6] * 3), SearchConfig(beam_size=1, max_length_ratio=5))
    assert model.rows_per_step == [3, 3, 2, 2, 1, 1, 1]


def test_equal_scores_go_to_the_earlier_hypothesis_and_the_lower_token():
    model = table_model({(): {A: 0.5, B: 0.5}}, vocabulary_size=7)
    for _ in range(3):
        [found] = beam_search(model, read([4]), SearchConfig(beam_size=2, n_best=2))
        assert [h.tokens for h in found] == [[A], [B]]


def test_fake_state_notices_a_wrong_reorder():
    state = FakeState([(4,), (5,)], [(2, 4), (2, 5), (2, 6), (2, 7)])
    with pytest.raises(AssertionError, match="changed sentence"):
        state.select(torch.tensor([2, 1, 0, 3]))
    state = FakeState([(4,), (5,)], [(2, 4), (2, 5), (2, 6), (2, 7)])
    assert state.select(torch.tensor([3, 3]), torch.tensor([1])).history == [(2, 7), (2, 7)]


def test_no_sentences_give_no_hypotheses():
    for search in SEARCHES.values():
        assert search(copy_model(vocabulary_size=5), read(), SearchConfig()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"beam_size": 0},
        {"n_best": 6},
        {"method": SearchMethod.greedy, "n_best": 2},
        {"length_penalty": -1.0},
        {"min_length": 5, "max_length": 3},
        {"max_length_ratio": 0.0, "max_length_offset": 0},
    ],
)
def test_settings_that_make_no_search_are_refused(wrong):
    with pytest.raises(UserError, match=r"search\."):
        SearchConfig(**wrong).check()
