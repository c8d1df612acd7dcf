"""Sampling: frequencies against probabilities worked out by hand, and reproducibility."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from fake_models import random_model, table_model
from searches import greedy, search, tokens_of
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.greedy import uniform
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
