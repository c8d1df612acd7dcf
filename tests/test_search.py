"""Greedy and beam search, against hand arithmetic and exhaustive search on models that can be enumerated."""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fake_models import FakeModel, copy_model, random_model, table_model
from small_runs import environment
from translate.decoding.config import Hypothesis, SearchConfig, SearchMethod
from translate.decoding.native_engine import SEARCHES, NativeEngine
from translate.decoding.search import stable_topk
from translate.errors import UserError
from translate.tokenizer import EOS

A, B, C = 4, 5, 6


Results = list[list[Hypothesis]]


def search(model: FakeModel, sources: Sequence[Sequence[int]], config: SearchConfig, **options: int) -> Results:
    options = {"batch_tokens": 1000, "workers": 1, **options}
    engine = NativeEngine(model=model, device=torch.device("cpu"), **options)
    return engine.search([tuple(source) for source in sources], config)


def greedy(**settings) -> SearchConfig:
    return SearchConfig(method=SearchMethod.greedy, **settings)


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


@pytest.mark.parametrize("method", list(SearchMethod))
@pytest.mark.parametrize("limits", [(0, 1), (0, 3), (3, 3), (5, 12)])
def test_lengths_hold_and_something_is_always_returned(method, limits):
    shortest, longest = limits
    config = SearchConfig(method=method, min_length=shortest, max_length=longest)
    sources = [[4] * length for length in (1, 2, 5, 9)]
    for end in (-8.0, 0.0, 8.0):
        model = random_model(vocabulary_size=8, end=end)
        for [hypothesis] in search(model, sources, config):
            assert shortest <= len(hypothesis.tokens) <= longest
            assert min(hypothesis.tokens, default=4) >= 4, "no PAD, UNK, BOS or EOS inside"


def test_maximum_length_follows_the_sentence_alone():
    model = random_model(vocabulary_size=8, end=-50.0)
    config = SearchConfig(max_length_ratio=1.5, max_length_offset=2)
    results = search(model, [[4], [4, 5, 6], [7] * 7], config)
    assert [len(hypotheses[0].tokens) for hypotheses in results] == [5, 8, 14]


@pytest.mark.parametrize("method", list(SearchMethod))
def test_batch_never_changes_a_translation(method):
    model = random_model(vocabulary_size=12, end=1.0)
    sources = [[4 + (i * j) % 8 for j in range(1 + i % 6)] for i in range(20)]
    config = SearchConfig(method=method, beam_size=4, n_best=4 if method is SearchMethod.beam else 1)
    alone = [search(model, [source], config)[0] for source in sources]
    assert search(model, sources, config) == alone
    assert search(model, sources[::-1], config) == alone[::-1]
    # so few at a time that most of them take the place of one that has left
    for batch_sentences in (2, 3, 5):
        assert search(model, sources, config, batch_sentences=batch_sentences) == alone
    assert search(model, sources, config, batch_tokens=10) == alone


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


def test_stopping_without_hope_changes_no_result_and_saves_steps():
    sources = [[4 + i % 5] * (1 + i % 4) for i in range(10)]
    for alpha in (0.0, 0.3):
        model = random_model(vocabulary_size=10, end=1.5)
        config = SearchConfig(beam_size=5, length_penalty=alpha)
        all_five = SearchConfig(beam_size=5, length_penalty=alpha, n_best=5)
        best = [found[:1] for found in search(model, sources, all_five)]
        patient_steps = sum(model.rows_per_step)
        assert search(model, sources, config) == best
        assert sum(model.rows_per_step) - patient_steps < patient_steps


def test_a_living_hypothesis_that_scores_higher_is_not_given_up():
    model = table_model(
        {(): {EOS: 0.3, A: 0.69, B: 0.01}, (A,): {C: 0.98, EOS: 0.02}, (B,): {EOS: 1.0}}, vocabulary_size=7
    )
    [[found]] = search(model, [[4]], SearchConfig(beam_size=2, length_penalty=0.0))
    assert found.tokens == [A, C]


def test_with_a_length_penalty_a_sentence_is_done_when_beam_size_hypotheses_have_finished():
    model = table_model(
        {(): {EOS: 0.3, A: 0.69, B: 0.01}, (A,): {C: 0.98, EOS: 0.02}, (B,): {EOS: 1.0}, (A, C): {EOS: 1.0}},
        vocabulary_size=7,
    )
    [[found]] = search(model, [[4]], SearchConfig(beam_size=2, length_penalty=1.0))
    assert found.tokens == []
    assert found.score == pytest.approx(math.log(0.3), abs=1e-5)
    assert len(model.rows_per_step) == 2


def test_sentences_that_are_done_leave_the_batch_and_others_take_their_places():
    config, sources = SearchConfig(beam_size=1, max_length_ratio=5), [[4], [5] * 6, [6] * 3]
    model = copy_model(vocabulary_size=9)
    search(model, sources, config)
    assert model.rows_per_step == [3, 3, 2, 2, 1, 1, 1]
    model = copy_model(vocabulary_size=9)
    search(model, sources, config, batch_sentences=2)
    # the first step of the one that comes is its own
    assert model.rows_per_step == [2, 2, 2, 2, 1, 2, 1, 1]
    assert [[tuple(sentence[:-1]) for sentence in batch] for batch in model.batches] == [[(5,) * 6, (6,) * 3], [(4,)]]


def test_of_a_large_batch_nobody_leaves_until_it_is_worth_the_move(monkeypatch):
    monkeypatch.setattr("translate.decoding.native_engine._LEAVING_FRACTION", 1 / 8)
    model = copy_model(vocabulary_size=9)
    search(model, [[4 + i % 4] * (i + 1) for i in range(16)], greedy(max_length_ratio=5))
    assert model.rows_per_step == [16, 16, 16, 14, 14, 12, 12, 10, 10, 8, 7, 6, 5, 4, 3, 2, 1]


def test_equal_scores_go_to_the_earlier_hypothesis_and_the_lower_token():
    model = table_model({(): {A: 0.5, B: 0.5}}, vocabulary_size=7)
    for _ in range(3):
        [found] = search(model, [[4]], SearchConfig(beam_size=2, n_best=2))
        assert [h.tokens for h in found] == [[A], [B]]


def test_sampling_draws_each_translation_as_often_as_the_model_finds_it_likely():
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


@pytest.mark.parametrize("method", list(SearchMethod))
def test_a_model_that_has_diverged_is_an_error(method):
    model = FakeModel(lambda source, history: [math.nan] * 9)
    with pytest.raises(UserError, match="diverged"):
        search(model, [[4]], SearchConfig(method=method, max_length=3))


def test_no_sentences_give_no_hypotheses():
    for method in SEARCHES:
        assert search(copy_model(vocabulary_size=5), [], SearchConfig(method=method)) == []


def test_workers_find_what_one_process_finds():
    model = random_model(vocabulary_size=12, end=1.0)
    sources = [[4 + (i * j) % 8 for j in range(1 + i % 7)] for i in range(100)]
    shares: list[float] = []
    engine = NativeEngine(model=model, device=torch.device("cpu"), batch_tokens=40, workers=3)
    found = engine.search([tuple(source) for source in sources], SearchConfig(), progress=shares.append)
    assert found == search(model, sources, SearchConfig())
    assert model.batches != [], "the search in this process"
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_an_error_in_a_worker_is_raised_here():
    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        raise UserError("no logits today")

    with pytest.raises(UserError, match="no logits today"):
        search(FakeModel(next_logits), [[4]] * 40, SearchConfig(), workers=2)


def test_a_worker_that_is_killed_is_named():
    """At once, though the other one goes on for long."""

    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        if source == (4,):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
        raise AssertionError

    started = time.monotonic()
    with pytest.raises(UserError, match="ended from outside"):
        search(FakeModel(next_logits), [[5, 5]] * 20 + [[4]] * 20, SearchConfig(), workers=2)
    assert time.monotonic() - started < 30


ENDLESS = """
import os
from translate.decoding.workers import run_in_processes

def work(queue, report):
    os.write(1, f"{os.getpid()}\\n".encode())  # at once: two processes print
    while True:
        report([(0, [])] * 1000)

run_in_processes(work, 2, 2, lambda found: None)
"""


def goes_on(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere one process translates")
def test_workers_end_with_a_process_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        workers = [int(process.stdout.readline()) for _ in range(2)]
        process.kill()
    end = time.monotonic() + 20
    while any(map(goes_on, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(goes_on, workers))


@pytest.mark.parametrize(
    "wrong",
    [
        {"beam_size": 0},
        {"n_best": 6},
        {"method": SearchMethod.greedy, "n_best": 2},
        {"method": SearchMethod.sampling, "n_best": 2},
        {"temperature": 0.0},
        {"top_k": -1},
        {"length_penalty": -1.0},
        {"min_length": 5, "max_length": 3},
        {"max_length_ratio": 0.0, "max_length_offset": 0},
    ],
)
def test_settings_that_make_no_search_are_refused(wrong):
    with pytest.raises(UserError, match=r"search\."):
        SearchConfig(**wrong).check()


@pytest.mark.parametrize("width", [7, 2047, 2048, 4001, 40_000])
def test_the_highest_scores_are_found_however_wide_a_row_is(width):
    scores = torch.randn(3, width, generator=torch.Generator().manual_seed(width))
    scores[:, -1] = 10  # in no group of columns, where the width leaves a rest
    scores[1] = -torch.inf
    scores[1, :5] = torch.arange(5.0)
    values, places = stable_topk(scores, 6)
    assert torch.equal(values, scores.sort(dim=1, descending=True).values[:, :6])
    assert torch.equal(scores.gather(1, places), values)
    assert all(len(set(row)) == 6 for row in places.tolist())
