"""Losses on attention against loops over their formulas, with several heads and weights that need not sum to one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from formulas import Array, batch_of
from translate.explanation import UNCOVERED, uncovered
from translate.losses import AUXILIARY_LOSSES
from translate.losses.attention import Over
from translate.models.seq2seq import Output

SOURCES, TARGETS = [[5, 6, 7], [8], [9, 10, 11, 12]], [[13, 14], [15, 16, 17, 18], [19]]
BATCH = batch_of(SOURCES, TARGETS)
HEADS, VOCABULARY = 3, 20
SIZES = [(len(target) + 1, len(source) + 1) for source, target in zip(SOURCES, TARGETS, strict=True)]  # T, S


def make_output() -> Output:
    """Attention as sigmoids give it: from 0 to 0.6, on padding as well."""
    random = torch.Generator().manual_seed(0)
    attention = 0.6 * torch.rand(3, HEADS, 5, 5, generator=random, dtype=torch.float64)
    hidden, weight = torch.randn(3, 5, 4, generator=random), torch.randn(VOCABULARY, 4, generator=random)
    return Output(hidden, weight, attention)


def value(name: str, **settings) -> float:
    config, function = AUXILIARY_LOSSES[name]
    return float(function(config(**settings), None, BATCH, make_output()))


def heads_of(sentence: int) -> Array:
    """Weights (H, T, S) of one sentence without padding."""
    target, source = SIZES[sentence]
    return make_output().attention[sentence, :, :target, :source].numpy()


@pytest.mark.parametrize("over", Over)
def test_coverage_is_the_squared_distance_of_sums_from_one(over):
    expected = 0.0
    for sentence in range(3):
        mean = heads_of(sentence).mean(0)
        sums = mean.sum(1) if over is Over.keys else mean.sum(0)
        expected += sum((total - 1) ** 2 for total in sums)
    assert value("self_attention_loss", over=over) == pytest.approx(expected, rel=1e-5)


def test_attention_entropy_is_summed_over_heads():
    """The mean of the heads' entropies, not the entropy of their mean."""
    expected = 0.0
    for sentence in range(3):
        attention = heads_of(sentence)
        for head, t, s in np.ndindex(attention.shape):
            expected -= attention[head, t, s] * math.log(attention[head, t, s]) / HEADS
    # nothing of what padding of the source received, which is zero where a model masks it
    output = make_output()
    for sentence, (_, source) in enumerate(SIZES):
        output.attention[sentence, :, :, source:] = 0
    config, function = AUXILIARY_LOSSES["attention_entropy"]
    assert float(function(config(), None, BATCH, output)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("width", [0.1, 0.4])
def test_guided_attention_penalises_distance_from_the_diagonal(width):
    """Tachibana et al. 2018, section 4: W_nt = 1 - exp(-(n/N - t/T)² / 2g²)."""
    expected = 0.0
    for sentence, (target, source) in enumerate(SIZES):
        mean = heads_of(sentence).mean(0)
        for t, s in np.ndindex(target, source):
            expected += mean[t, s] * (1 - math.exp(-((s / source - t / target) ** 2) / (2 * width**2)))
    assert value("guided_attention", width=width) == pytest.approx(expected, rel=1e-5)


def test_weighted_cross_entropy_weights_tokens_by_received_attention():
    output, expected = make_output(), 0.0
    logits = output.logits().numpy()
    for sentence, (target, source) in enumerate(SIZES):
        mean = heads_of(sentence).mean(0)
        received = [sum(mean[t, s] * mean[:, s].sum() for s in range(source)) for t in range(target)]
        for t in range(target):
            row = logits[sentence, t]
            loss = math.log(sum(math.exp(logit) for logit in row)) - row[BATCH.labels[sentence, t]]
            expected += target * received[t] / sum(received) * loss
    assert value("attention_weighted_cross_entropy") == pytest.approx(expected, rel=1e-5)


def test_uncovered_tokens_receive_attention_below_the_threshold():
    output, expected, tokens = make_output(), 0, 0
    output.attention[:] *= 0.25
    for sentence, (target, source) in enumerate(SIZES):
        received = output.attention[sentence, :, :target, :source].mean(0).sum(0)
        assert ((received - UNCOVERED).abs() > 1e-3).all(), "no matter of rounding"
        expected += sum(bool(total < 0.2) for total in received)
        tokens += source
    assert 0 < expected < tokens
    assert int(uncovered(BATCH, output)) == expected
