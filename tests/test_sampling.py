"""Sampling: frequencies against probabilities worked out by hand, and reproducibility."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

from fake_models import random_model, table_model
from searches import greedy, search, tokens_of
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.search.greedy import uniform
from translate.tokenizer import EOS

A, B, C = 4, 5, 6


def test_sampling_draws_each_translation_with_its_probability():
    model = table_model(
        {(): {A: 0.5, B: 0.3, EOS: 0.2}, (A,): {EOS: 0.6, C: 0.4}, (B,): {EOS: 1.0}, (A, C): {EOS: 1.0}},
        vocabulary_size=7,
    )
    config = SearchConfig(method=SearchMethod.sampling, length_penalty=0.0)
    draws = [search(model, [[4]], replace(config, seed=seed))[0][0] for seed in range(1000)]
    for tokens, probability in (((A,), 0.3), ((A, C), 0.2), ((B,), 0.3), ((), 0.2)):
        scores = [draw.score for draw in draws if draw.tokens == list(tokens)]
        assert len(scores) / 1000 == pytest.approx(probability, abs=4 * math.sqrt(0.25 / 1000))
        assert scores == pytest.approx([math.log(probability)] * len(scores), abs=1e-5)


def test_sampling_is_repeatable_and_bounded_by_top_k_and_temperature():
    model = random_model(vocabulary_size=9, seed=2, end=0.5)
    sources = [[4 + i % 5, 4 + i // 5] for i in range(25)]
    config = SearchConfig(method=SearchMethod.sampling, max_length=6)
    by_greedy = tokens_of(search(model, sources, greedy(max_length=6)))
    assert search(model, sources, config) == search(model, sources, config, batch_sentences=3)
    assert search(model, sources, config) != search(model, sources, replace(config, seed=2))
    assert tokens_of(search(model, sources, config)) != by_greedy
    for strict in ({"top_k": 1}, {"temperature": 1e-4}):
        assert tokens_of(search(model, sources, replace(config, **strict))) == by_greedy


def test_random_numbers_match_splitmix64():
    """Against the published algorithm in Python's unbounded integers."""

    def splitmix64(seed: int, number: int) -> float:
        mask = (1 << 64) - 1
        z = (seed + number * 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 32) / 2**32

    seeds, numbers = [0, 1, -1, 2**62, -(2**63), 123456789], [1, 2, 100, 3, 7, 65_000]
    found = uniform(torch.tensor(seeds), torch.tensor(numbers)).tolist()
    assert found == [splitmix64(seed, number) for seed, number in zip(seeds, numbers, strict=True)]


def draws(model, config, count=400):
    """How often each translation is drawn in so many draws for one sentence."""
    found = search(model, [[4]], replace(config, samples=count))[0]
    return Counter(tuple(hypothesis.tokens) for hypothesis in found)


def test_top_p_and_epsilon_leave_out_unlikely_tokens():
    model = table_model({(): {A: 0.5, B: 0.3, C: 0.15, EOS: 0.05}}, vocabulary_size=7)
    config = SearchConfig(method=SearchMethod.sampling)
    assert set(draws(model, config)) == {(A,), (B,), (C,), ()}
    # the token that reaches the sum is drawn as well
    assert set(draws(model, replace(config, top_p=0.6))) == {(A,), (B,)}
    assert set(draws(model, replace(config, top_p=0.4))) == {(A,)}
    assert set(draws(model, replace(config, epsilon=0.1))) == {(A,), (B,), (C,)}
    assert set(draws(model, replace(config, epsilon=0.9))) == {(A,)}, "the likeliest token always stays"
    # of what top_p leaves, B has 0.375
    assert set(draws(model, replace(config, top_p=0.6, epsilon=0.37))) == {(A,), (B,)}
    found = draws(model, replace(config, top_p=0.6), count=2000)
    assert found[(A,)] / 2000 == pytest.approx(0.5 / 0.8, abs=4 * math.sqrt(0.25 / 2000))


def test_several_samples_are_those_of_their_numbers():
    model = random_model(vocabulary_size=9, seed=2, end=0.5)
    sources = [[4 + i % 5, 4 + i // 5] for i in range(20)]
    config = SearchConfig(method=SearchMethod.sampling, samples=4, max_length=6)
    found = search(model, sources, config)
    assert [len(hypotheses) for hypotheses in found] == [4] * 20
    # as many as are wanted: the first ones stay, also beside other sentences
    fewer = search(model, sources[::-1], replace(config, samples=2), batch_sentences=3)[::-1]
    assert tokens_of(fewer) == [hypotheses[:2] for hypotheses in tokens_of(found)]
    assert tokens_of(search(model, sources, replace(config, samples=1))) == [some[:1] for some in tokens_of(found)]
    assert sum(len({tuple(tokens) for tokens in some}) > 1 for some in tokens_of(found)) > 15


def test_samples_of_a_translation_have_its_probability():
    model = table_model({(): {A: 0.5, B: 0.3, EOS: 0.2}, (A,): {EOS: 0.6, C: 0.4}}, vocabulary_size=7)
    found = draws(model, SearchConfig(method=SearchMethod.sampling), count=2000)
    for tokens, probability in (((A,), 0.3), ((A, C), 0.2), ((B,), 0.3), ((), 0.2)):
        assert found[tokens] / 2000 == pytest.approx(probability, abs=4 * math.sqrt(0.25 / 2000))
