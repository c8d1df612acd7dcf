"""Diverse beam search against the algorithm in its simplest form; the coverage penalty; settings of both."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fake_models import FakeModel, random_model
from searches import search, tokens_of
from small_models import make_model
from translate.decoding.config import DecodingConfig, ForcedScore, SearchConfig, SearchMethod, deciding_options
from translate.decoding.native_engine import NativeEngine
from translate.decoding.rescoring.coverage import coverage, search_with_coverage
from translate.decoding.search.config import NEWER_DEFAULTS, describe_search, search_fields, search_note, search_of
from translate.device import Precision
from translate.errors import UserError
from translate.tokenizer import EOS

SOURCES = [[4, 5], [6], [5, 5, 7]]


def diverse(**settings) -> SearchConfig:
    return SearchConfig(method=SearchMethod.diverse_beam, **settings)


def plain_diverse_search(model: FakeModel, source: list[int], config: SearchConfig, length: int) -> list[list[tuple]]:
    """Figure 2 of the paper for translations of a fixed length: each group's hypotheses (log probability, tokens)."""
    size = config.beam_size // config.groups
    groups = [[(0.0, 0.0, ())] for _ in range(config.groups)]  # penalised and plain log probability, tokens
    for _ in range(length):
        taken: dict[int, int] = {}
        for number, group in enumerate(groups):
            candidates = []
            for rank, log_prob, tokens in group:
                every = torch.tensor(model.next_logits(tuple(source), tokens)).log_softmax(0).tolist()
                candidates += [
                    (rank + every[t] - config.diversity_penalty * taken.get(t, 0), log_prob + every[t], (*tokens, t))
                    for t in range(EOS + 1, len(every))
                ]
            groups[number] = sorted(candidates, reverse=True)[:size]
            for *_, tokens in groups[number]:
                taken[tokens[-1]] = taken.get(tokens[-1], 0) + 1
    return groups


@pytest.mark.parametrize(("groups", "penalty"), [(1, 0.5), (2, 0.7), (3, 0.3), (6, 1.5)])
def test_groups_find_what_the_plain_algorithm_finds(groups, penalty):
    # EOS is so unlikely that every hypothesis has the greatest length
    model = random_model(vocabulary_size=12, end=-30.0)
    config = diverse(beam_size=6, groups=groups, n_best=6, diversity_penalty=penalty, max_length=3)
    for source, found in zip(SOURCES, search(model, SOURCES, config), strict=True):
        expected = {tokens for group in plain_diverse_search(model, source, config, 3) for *_, tokens in group}
        assert {tuple(hypothesis.tokens) for hypothesis in found} == expected


def test_one_group_is_an_ordinary_beam_search():
    model = random_model(vocabulary_size=12, end=1.0)
    ordinary = search(model, SOURCES, SearchConfig(beam_size=4, n_best=4))
    assert search(model, SOURCES, diverse(beam_size=4, n_best=4, groups=1)) == ordinary


def test_groups_differ_more_with_a_penalty_and_scores_are_the_models():
    model = random_model(vocabulary_size=12, end=-1.0)
    found = {
        penalty: search(model, SOURCES, diverse(beam_size=4, n_best=4, diversity_penalty=penalty, max_length=4))
        for penalty in (0.0, 50.0)
    }
    assert [len(hypotheses) for hypotheses in found[0.0]] == [1, 1, 1], "equal translations count once"
    for hypotheses in found[50.0]:
        assert len({hypothesis.tokens[0] for hypothesis in hypotheses if hypothesis.tokens}) >= 3
        assert all(-10 < hypothesis.score < 0 for hypothesis in hypotheses), "without the penalty"


def test_coverage_is_the_formula_of_the_paper():
    attention = np.array([[0.5, 0.5, 0.0], [0.25, 0.75, 0.0], [0.0, 0.0, 1.0]], np.float32)  # EOS last
    assert coverage(attention) == pytest.approx(math.log(0.75) + math.log(1.0))
    assert coverage(np.zeros((1, 2), np.float32)) == pytest.approx(math.log(1e-6))


class StubEngine:
    """Finds two translations of every sentence, of which the second covers more of it."""

    def __init__(self, has_attention: bool = True) -> None:
        self.model = random_model(vocabulary_size=12)
        self.has_attention = has_attention

    def search(self, sentences, config, *, progress=None):
        assert config.n_best == config.beam_size
        assert not config.coverage_penalty
        return search(self.model, sentences, config)

    def score(self, pairs, *, details=False, progress=None):
        assert details
        maps = [
            np.full((len(target) + 1, len(source) + 1), 1 / (1 + target[0]), np.float32) for source, target in pairs
        ]
        return [ForcedScore(log_probs=[0.0], attention=each if self.has_attention else None) for each in maps]


def test_coverage_penalty_ranks_finished_hypotheses():
    config = SearchConfig(beam_size=4, n_best=2, coverage_penalty=100.0, min_length=1)
    plain = SearchConfig(beam_size=4, n_best=4, min_length=1)
    found = search_with_coverage(StubEngine(), SOURCES, config)
    for hypotheses, every in zip(found, search(StubEngine().model, SOURCES, plain), strict=True):
        # with so large a factor, attention alone decides: it is 1 / (1 + first token) everywhere
        key = [coverage(np.full((len(h.tokens) + 1, 3), 1 / (1 + h.tokens[0]), np.float32)) for h in every]
        best = sorted(range(len(every)), key=lambda index: key[index], reverse=True)[:2]
        assert [h.tokens for h in hypotheses] == [every[index].tokens for index in best]
        assert all(hypothesis in every for hypothesis in hypotheses), "with the model's own scores"
    with pytest.raises(UserError, match=r"search\.coverage_penalty \(100\.0\)"):
        search_with_coverage(StubEngine(has_attention=False), SOURCES, config)


def test_engine_ranks_by_the_attention_of_its_model():
    engine = NativeEngine(
        model=make_model("transformer"), device=torch.device("cpu"), precision=Precision.fp32, workers=1
    )
    sentences = [tuple(4 + (i * j) % 26 for j in range(2 + i)) for i in range(6)]
    ranked = engine.search(sentences, SearchConfig(beam_size=4, n_best=4, max_length=2, coverage_penalty=100.0))
    plain = engine.search(sentences, SearchConfig(beam_size=4, n_best=4, max_length=2))
    for sentence, ours, theirs in zip(sentences, ranked, plain, strict=True):
        scored = engine.score([(sentence, tuple(each.tokens)) for each in theirs], details=True)
        order = sorted(range(4), key=lambda index: coverage(scored[index].attention), reverse=True)
        assert [each.tokens for each in ours] == [theirs[index].tokens for index in order]
    assert tokens_of(ranked) != tokens_of(plain)


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_p": 0.9},
        {"epsilon": 0.1},
        {"samples": 2},
        {"groups": 5},
        {"method": SearchMethod.diverse_beam, "groups": 2},
        {"method": SearchMethod.diverse_beam, "groups": -1},
        {"method": SearchMethod.greedy, "diversity_penalty": 1.0},
        {"method": SearchMethod.sampling, "coverage_penalty": 0.1},
        {"method": SearchMethod.sampling, "samples": 0},
        {"method": SearchMethod.sampling, "top_p": 0.0},
        {"method": SearchMethod.sampling, "epsilon": math.nan},
    ],
    ids=str,
)
def test_settings_that_a_search_cannot_use_raise_user_errors(wrong):
    with pytest.raises(UserError, match=rf"search\.{list(wrong)[-1]} \("):
        SearchConfig(**wrong).check()


def test_new_settings_leave_old_keys_and_manifests_as_they_were():
    before = {"method", "beam_size", "length_penalty", "min_length", "max_length", "max_length_ratio", "n_best"}
    before |= {"max_length_offset", "no_repeat_ngram", "repetition_penalty", "temperature", "top_k", "seed"}
    keys = {name.removeprefix("search.") for name in deciding_options(DecodingConfig()) if name.startswith("search.")}
    assert keys == before
    changed = deciding_options(DecodingConfig(search=diverse(groups=5)))
    assert changed["search.groups"] == 5
    recorded = {name: value for name, value in search_fields(SearchConfig()).items() if name not in NEWER_DEFAULTS}
    assert search_of({"search": recorded}) == SearchConfig()


def test_new_settings_are_described_and_noted():
    found = describe_search(diverse(groups=5, diversity_penalty=0.3))
    assert found == "diverse_beam beam_size=5 groups=5 diversity_penalty=0.3"
    sampled = SearchConfig(method=SearchMethod.sampling, top_p=0.9, samples=4)
    assert describe_search(sampled) == "sampling top_p=0.9"
    assert search_note(SearchConfig(method=SearchMethod.sampling, top_p=0.9), sampled) == ""
    assert "coverage_penalty=0.2" in search_note(SearchConfig(), SearchConfig(coverage_penalty=0.2))
