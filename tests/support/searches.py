"""Searches over models that can be enumerated, and independent answers to compare them with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from fake_models import FakeModel
from translate.decoding.config import Hypothesis, SearchConfig, SearchMethod
from translate.decoding.native_engine import NativeEngine
from translate.tokenizer import EOS

Results = list[list[Hypothesis]]


def search(model: FakeModel, sources: Sequence[Sequence[int]], config: SearchConfig, **options: int) -> Results:
    options = {"batch_tokens": 1000, "workers": 1, **options}
    engine = NativeEngine(model=model, device=torch.device("cpu"), **options)
    return engine.search([source if isinstance(source, tuple) else tuple(source) for source in sources], config)


def greedy(**settings) -> SearchConfig:
    return SearchConfig(method=SearchMethod.greedy, **settings)


def score(model: FakeModel, source: list[int], tokens: tuple[int, ...], alpha: float) -> float:
    """Log probability of a translation by the definition: one forced token at a time."""
    total = 0.0
    for index, token in enumerate((*tokens, EOS)):
        logits = torch.tensor(model.next_logits(tuple(source), tokens[:index]))
        total += float(torch.log_softmax(logits, dim=0)[token])
    return total / (len(tokens) + 1) ** alpha


def exhaustive(model: FakeModel, source: list[int], words: list[int], longest: int, alpha: float) -> list[Hypothesis]:
    """All translations of up to `longest` of these words, best first."""
    every = [tokens for length in range(longest + 1) for tokens in itertools.product(words, repeat=length)]
    ranked = sorted(((score(model, source, tokens, alpha), tokens) for tokens in every), reverse=True)
    return [Hypothesis(tokens=list(tokens), score=value) for value, tokens in ranked]


def tokens_of(results: Results) -> list[list[list[int]]]:
    return [[hypothesis.tokens for hypothesis in hypotheses] for hypotheses in results]
