"""Beam search, against hand arithmetic and exhaustive search on models that can be enumerated."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fake_models import random_model, table_model
from searches import exhaustive, greedy, score, search, tokens_of
from translate.decoding.config import SearchConfig, SearchMethod
from translate.tokenizer import EOS

A, B, C = 4, 5, 6


@pytest.mark.parametrize("seed", range(5))
def test_beam_of_one_is_greedy(seed):
    model = random_model(vocabulary_size=9, seed=seed, end=0.7)
    sources = [[5], [6, 7, 8], [4, 4], [8, 7, 6, 5, 4]]
    for config in [SearchConfig(beam_size=1), SearchConfig(beam_size=1, min_length=3, max_length=6)]:
        by_beam, by_greedy = (
            search(model, sources, replace(config, method=method))
            for method in (SearchMethod.beam, SearchMethod.greedy)
        )
        assert tokens_of(by_beam) == tokens_of(by_greedy)
        for [ours], [theirs] in zip(by_beam, by_greedy, strict=True):
            assert ours.score == pytest.approx(theirs.score, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_wide_beam_finds_the_exhaustive_best(alpha, seed):
    model = random_model(vocabulary_size=7, seed=seed)
    config = SearchConfig(beam_size=200, length_penalty=alpha, max_length=4, n_best=10)
    sources = [[4], [5, 6]]
    for source, found in zip(sources, search(model, sources, config), strict=True):
        expected = exhaustive(model, source, [A, B, C], 4, alpha)[:10]
        assert [h.tokens for h in found] == [h.tokens for h in expected]
        assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=1e-5)


def test_wide_beam_respects_the_minimum_length():
    model = random_model(vocabulary_size=7, seed=3, end=3.0)
    config = SearchConfig(beam_size=200, max_length=4, min_length=2, n_best=5)
    expected = [h for h in exhaustive(model, [4], [A, B, C], 4, 1.0) if len(h.tokens) >= 2]
    [found] = search(model, [[4]], config)
    assert [h.tokens for h in found] == [h.tokens for h in expected[:5]]


@pytest.mark.parametrize("limits", [{}, {"min_length": 2, "max_length": 4}, {"length_penalty": 0.0}])
def test_all_continuations_at_once_as_on_a_gpu_are_those_of_two_stages(limits, monkeypatch):
    model, config = random_model(vocabulary_size=12, end=1.0), SearchConfig(beam_size=4, n_best=4, **limits)
    sources = [[4 + (i * j) % 8 for j in range(1 + i % 6)] for i in range(20)]
    in_stages = search(model, sources, config)
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda tensor: True))
    assert search(model, sources, config) == in_stages


def test_length_penalty_matches_its_formula():
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
        config = SearchConfig(beam_size=5, length_penalty=alpha, n_best=3, max_length=5)
        by_alpha[alpha] = search(model, [[4]], config)[0]
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
    assert search(model, [[4]], greedy(length_penalty=0.0))[0][0].tokens != [B]
    assert search(model, [[4]], config)[0][0].tokens == [B]


def test_n_best_is_sorted_distinct_and_scored_by_the_model():
    model = random_model(vocabulary_size=10, end=1.0)
    config = SearchConfig(beam_size=6, n_best=6, length_penalty=0.8)
    sources = [[4, 5], [6], [7, 8, 9]]
    for source, found in zip(sources, search(model, sources, config), strict=True):
        assert len(found) == 6
        assert len({tuple(h.tokens) for h in found}) == 6
        assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
        for hypothesis in found:
            assert hypothesis.score == pytest.approx(score(model, source, tuple(hypothesis.tokens), 0.8), abs=1e-5)


def test_early_stopping_changes_no_result_and_saves_steps():
    sources = [[4 + i % 5] * (1 + i % 4) for i in range(10)]
    for alpha in (0.0, 0.3):
        model = random_model(vocabulary_size=10, end=1.5)
        config = SearchConfig(beam_size=5, length_penalty=alpha)
        all_five = SearchConfig(beam_size=5, length_penalty=alpha, n_best=5)
        best = [found[:1] for found in search(model, sources, all_five)]
        patient_steps = sum(model.rows_per_step)
        assert search(model, sources, config) == best
        assert sum(model.rows_per_step) - patient_steps < patient_steps


def test_an_active_hypothesis_that_scores_higher_is_extended_although_the_beam_has_finished():
    model = table_model(
        {(): {EOS: 0.3, A: 0.69, B: 0.01}, (A,): {C: 0.98, EOS: 0.02}, (B,): {EOS: 1.0}}, vocabulary_size=7
    )
    [[found]] = search(model, [[4]], SearchConfig(beam_size=2, length_penalty=0.0))
    assert found.tokens == [A, C]


def test_with_a_length_penalty_beam_size_finished_hypotheses_end_a_sentence():
    model = table_model(
        {(): {EOS: 0.3, A: 0.69, B: 0.01}, (A,): {C: 0.98, EOS: 0.02}, (B,): {EOS: 1.0}, (A, C): {EOS: 1.0}},
        vocabulary_size=7,
    )
    [[found]] = search(model, [[4]], SearchConfig(beam_size=2, length_penalty=1.0))
    assert found.tokens == []
    assert found.score == pytest.approx(math.log(0.3), abs=1e-5)
    assert len(model.rows_per_step) == 2


def test_ties_prefer_the_earlier_hypothesis_and_the_lower_token():
    model = table_model({(): {A: 0.5, B: 0.5}}, vocabulary_size=7)
    for _ in range(3):
        [found] = search(model, [[4]], SearchConfig(beam_size=2, n_best=2))
        assert [h.tokens for h in found] == [[A], [B]]
