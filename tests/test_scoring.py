"""Scores of given translations: against one forced step at a time, at any batch size, in both engines."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ctranslate2_models import (
    assert_equal,
    engine_of,
    native_of,
    save,
    searchable_model,
    small_tokenizer,
    some_sentences,
)
from fake_models import FakeModel, random_model
from searches import score
from small_models import MODELS, make_model
from translate.batch import Tokens
from translate.decoding.config import Pair, SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.device import Precision
from translate.errors import UserError
from translate.models.seq2seq import Seq2Seq
from translate.tokenizer import BOS, EOS

PAIRS: list[Pair] = [
    (tuple(4 + (i * j) % 26 for j in range(1 + i % 7)), tuple(4 + (i + j) % 26 for j in range(i % 9)))
    for i in range(20)
]


def engine(model: Seq2Seq, **options: int) -> NativeEngine:
    return NativeEngine(
        model=model,
        device=torch.device("cpu"),
        precision=Precision.fp32,
        **{"workers": 1, "batch_tokens": 100, **options},
    )


@torch.no_grad()
def stepwise(model: Seq2Seq, source: tuple[int, ...], target: tuple[int, ...]) -> tuple[list[float], list[float]]:
    """Log probabilities and entropies by the model's other path: one token after the other."""
    state = model.start(model.encode(Tokens.pad([[*source, EOS]])))
    log_probs, entropies = [], []
    for read, label in zip([BOS, *target], [*target, EOS], strict=True):
        logits, state = model.step(torch.tensor([read]), state)
        every = logits[0].log_softmax(-1)
        log_probs.append(float(every[label]))
        entropies.append(float(-(every.exp() * every).sum()))
    return log_probs, entropies


@pytest.mark.parametrize("settings", MODELS, ids=str)
def test_forced_scores_are_those_of_one_step_at_a_time_at_any_batch_size(settings):
    model = make_model(settings[0], **settings[1])
    results = [engine(model, batch_sentences=size).score(PAIRS, details=True) for size in (1, 7, 64)]
    for (source, target), *scores in zip(PAIRS, *results, strict=True):
        log_probs, entropies = stepwise(model, source, target)
        for each in scores:
            assert each.log_probs == pytest.approx(log_probs, abs=1e-6)
            assert each.entropies == pytest.approx(entropies, abs=1e-6)
            if each.attention is not None:
                assert each.attention.shape == (len(target) + 1, len(source) + 1)
                np.testing.assert_allclose(each.attention, scores[0].attention, atol=1e-6)


def test_score_is_that_of_a_hypothesis_by_its_definition():
    model = random_model(vocabulary_size=9)
    [found] = engine(model).score([((4, 5), (6, 7, 6))])
    assert len(found.log_probs) == 4
    assert found.entropies is None
    assert found.attention is None
    for alpha in (0.0, 0.6, 1.0):
        assert found.score(alpha) == pytest.approx(score(model, [4, 5], (6, 7, 6), alpha), abs=1e-5)


def test_no_pairs_have_no_scores_and_progress_ends_at_one():
    assert engine(random_model(vocabulary_size=9)).score([]) == []
    shares: list[float] = []
    engine(random_model(vocabulary_size=9), batch_sentences=2).score([((4,), (5,))] * 5, progress=shares.append)
    assert shares == [0.4, 0.8, 1.0]


def test_batches_that_do_not_fit_into_memory_are_halved():
    model = random_model(vocabulary_size=40)
    sizes, forward = [], model.forward

    def limited(batch, **options):
        sizes.append(len(batch.target.ids))
        if sizes[-1] > 3:
            raise MemoryError
        return forward(batch, **options)

    model.forward = limited
    found = engine(model, batch_tokens=60).score(PAIRS)
    assert sizes[:2] == [6, 3]
    assert [len(each.log_probs) for each in found] == [len(target) + 1 for _, target in PAIRS]
    model.forward = forward
    for each, expected in zip(found, engine(model).score(PAIRS), strict=True):
        assert each.log_probs == pytest.approx(expected.log_probs, abs=1e-6)


def test_diverged_model_has_no_scores():
    with pytest.raises(UserError, match="diverged"):
        engine(FakeModel(lambda source, history: [math.nan] * 9)).score([((4,), (5,))])


def test_ctranslate2_gives_the_native_scores(tmp_path):
    pytest.importorskip("ctranslate2", reason="the extra ctranslate2 is not installed")
    tokenizer = small_tokenizer(joint=True)
    model, shape = searchable_model(tokenizer, end=2.0)
    sentences = some_sentences(tokenizer)
    native, other = native_of(model), engine_of(save(model, shape, tokenizer, tmp_path / "model"))
    found = native.search(sentences, SearchConfig(n_best=3))
    pairs = [(source, tuple(each.tokens)) for source, some in zip(sentences, found, strict=True) for each in some]
    pairs.append((sentences[0], ()))
    scores = native.score(pairs, details=True), other.score(pairs, details=True)
    for ours, theirs in zip(*scores, strict=True):
        assert theirs.log_probs == pytest.approx(ours.log_probs, abs=1e-4)
        assert theirs.entropies is None
        np.testing.assert_allclose(theirs.attention, ours.attention, atol=1e-4)
    assert [each.score() for each in scores[0][:-1]] == pytest.approx(
        [each.score for some in found for each in some], abs=1e-4
    )
    ranked = SearchConfig(n_best=3, coverage_penalty=0.3, max_length=4)
    assert_equal(other.search(sentences, ranked), native.search(sentences, ranked))
