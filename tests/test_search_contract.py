"""The contract of every search and of the engine that drives it: what holds for beam, greedy and sampling alike."""

from __future__ import annotations

import math

import pytest
import torch

from fake_models import FakeModel, copy_model, random_model
from searches import greedy, search
from translate.decoding.config import SearchConfig, SearchMethod
from translate.decoding.native_engine import SEARCHES, NativeEngine, search_batch
from translate.decoding.search.base import stable_topk
from translate.device import Precision
from translate.errors import UserError
from translate.models import ARCHITECTURES, Vocabularies, build_model

every_search = pytest.mark.parametrize("method", SEARCHES)


@every_search
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_refilling_engine_equals_search_batch(architecture, method):
    """Three sentences at a time: most of them start while others are half translated."""
    torch.manual_seed(1)
    config = ARCHITECTURES[architecture][0].tiny(max_length=20)
    model = build_model(config, Vocabularies(30, 30, shared=True)).double().eval()
    sentences = [tuple(4 + (i * j) % 26 for j in range(1 + i % 7)) for i in range(24)]
    settings = {"beam_size": 4, "n_best": 4} if method is SearchMethod.beam else {}
    for limits in ({}, {"no_repeat_ngram": 2, "repetition_penalty": 1.2, "min_length": 2}):
        search_config = SearchConfig(method=method, **settings, **limits)
        engine = NativeEngine(
            model=model, device=torch.device("cpu"), batch_sentences=3, precision=Precision.fp32, workers=1
        )
        found, expected = engine.search(sentences, search_config), search_batch(model, sentences, search_config)
        assert [[h.tokens for h in hypotheses] for hypotheses in found] == [
            [h.tokens for h in hypotheses] for hypotheses in expected
        ]
        for ours, plain in zip(found, expected, strict=True):
            assert [h.score for h in ours] == pytest.approx([h.score for h in plain], abs=1e-6)
        assert len({tuple(h.tokens) for [h, *_] in expected}) > 10, "the sentences have different translations"


@every_search
def test_refilling_engine_equals_search_batch_exactly_when_logits_are_batch_invariant(method):
    model = random_model(vocabulary_size=12, end=1.0)
    sentences = [tuple(4 + (i * j) % 8 for j in range(1 + i % 6)) for i in range(30)]
    config = SearchConfig(method=method, beam_size=4, n_best=4 if method is SearchMethod.beam else 1)
    expected = search_batch(model, sentences, config)
    for batch_sentences in (1, 2, 5, 30):
        assert search(model, sentences, config, batch_sentences=batch_sentences) == expected


@every_search
@pytest.mark.parametrize("limits", [(0, 1), (0, 3), (3, 3), (5, 12)])
def test_length_limits_hold_and_every_sentence_has_a_translation(method, limits):
    shortest, longest = limits
    config = SearchConfig(method=method, min_length=shortest, max_length=longest)
    sources = [[4] * length for length in (1, 2, 5, 9)]
    for end in (-8.0, 0.0, 8.0):
        model = random_model(vocabulary_size=8, end=end)
        for [hypothesis] in search(model, sources, config):
            assert shortest <= len(hypothesis.tokens) <= longest
            assert min(hypothesis.tokens, default=4) >= 4, "no PAD, UNK, BOS or EOS inside"


@every_search
def test_maximum_length_depends_on_the_sentence_alone(method):
    model = random_model(vocabulary_size=8, end=-50.0)
    config = SearchConfig(method=method, max_length_ratio=1.5, max_length_offset=2)
    results = search(model, [[4], [4, 5, 6], [7] * 7], config)
    assert [len(hypotheses[0].tokens) for hypotheses in results] == [5, 8, 14]


@every_search
def test_batch_never_changes_a_translation(method):
    model = random_model(vocabulary_size=12, end=1.0)
    sources = [[4 + (i * j) % 8 for j in range(1 + i % 6)] for i in range(20)]
    config = SearchConfig(method=method, beam_size=4, n_best=4 if method is SearchMethod.beam else 1)
    alone = [search(model, [source], config)[0] for source in sources]
    assert search(model, sources, config) == alone
    assert search(model, sources[::-1], config) == alone[::-1]
    # so few at a time that most of them take the row of one that has left
    for batch_sentences in (2, 3, 5):
        assert search(model, sources, config, batch_sentences=batch_sentences) == alone
    assert search(model, sources, config, batch_tokens=10) == alone


@every_search
def test_diverged_model_raises_an_error(method):
    model = FakeModel(lambda source, history: [math.nan] * 9)
    with pytest.raises(UserError, match="diverged"):
        search(model, [[4]], SearchConfig(method=method, max_length=3))


@every_search
def test_no_sentences_give_no_hypotheses(method):
    assert search(copy_model(vocabulary_size=5), [], SearchConfig(method=method)) == []


def test_finished_sentences_leave_the_batch_and_others_take_their_rows():
    config, sources = SearchConfig(beam_size=1, max_length_ratio=5), [[4], [5] * 6, [6] * 3]
    model = copy_model(vocabulary_size=9)
    search(model, sources, config)
    assert model.rows_per_step == [3, 3, 2, 2, 1, 1, 1]
    model = copy_model(vocabulary_size=9)
    search(model, sources, config, batch_sentences=2)
    # the first step of the one that joins is its own
    assert model.rows_per_step == [2, 2, 2, 2, 1, 2, 1, 1]
    assert [[tuple(sentence[:-1]) for sentence in batch] for batch in model.batches] == [[(5,) * 6, (6,) * 3], [(4,)]]


def test_finished_sentences_leave_a_large_batch_in_groups(monkeypatch):
    monkeypatch.setattr("translate.decoding.native_engine._LEAVING_FRACTION", 1 / 8)
    model = copy_model(vocabulary_size=9)
    search(model, [[4 + i % 4] * (i + 1) for i in range(16)], greedy(max_length_ratio=5))
    assert model.rows_per_step == [16, 16, 16, 14, 14, 12, 12, 10, 10, 8, 7, 6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"beam_size": 0},
        {"n_best": 0},
        {"n_best": 6},
        {"method": SearchMethod.greedy, "n_best": 2},
        {"method": SearchMethod.sampling, "n_best": 2},
        {"temperature": 0.0},
        {"temperature": math.nan},
        {"top_k": -1},
        {"length_penalty": -1.0},
        {"repetition_penalty": 0.0},
        {"no_repeat_ngram": -1},
        {"min_length": -1},
        {"min_length": 5, "max_length": 3},
        {"max_length_ratio": -0.5},
        {"max_length_ratio": 0.0, "max_length_offset": 0},
    ],
    ids=str,
)
def test_wrong_settings_raise_user_errors(wrong):
    name = list(wrong)[-1].replace("max_length_offset", "max_length_ratio")
    with pytest.raises(UserError, match=rf"back_translation\.search\.{name} \("):
        SearchConfig(**wrong).check("back_translation.search")


@pytest.mark.parametrize("width", [7, 2047, 2048, 4001, 40_000])
def test_stable_topk_finds_the_highest_scores_of_rows_of_any_width(width):
    scores = torch.randn(3, width, generator=torch.Generator().manual_seed(width))
    scores[:, -1] = 10  # in no group of columns, where the width leaves a rest
    scores[1] = -torch.inf
    scores[1, :5] = torch.arange(5.0)
    values, indices = stable_topk(scores, 6)
    assert torch.equal(values, scores.sort(dim=1, descending=True).values[:, :6])
    assert torch.equal(scores.gather(1, indices), values)
    assert all(len(set(row)) == 6 for row in indices.tolist())


def test_stable_topk_keeps_equal_scores_in_the_order_of_their_indices():
    scores = torch.tensor([[0.0, 1.0, 2.0, 1.0, 2.0, 1.0, 0.0]])
    values, indices = stable_topk(scores, 5)
    assert values.tolist() == [[2.0, 2.0, 1.0, 1.0, 1.0]]
    assert indices.tolist() == [[2, 4, 1, 3, 5]]
