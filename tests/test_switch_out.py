"""SwitchOut against the distribution of Wang et al. 2018, section 3: how many tokens, which, and by what."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from translate.data.augmentation.pair_encoder import PairEncoder, SwitchOutConfig

LENGTH, DRAWS, WORDS = 6, 20_000, 30
VOCABULARY = SimpleNamespace(source_vocab_size=WORDS + 4, target_vocab_size=2 * WORDS + 4)  # 4: PAD, UNK, BOS, EOS
SENTENCE = np.arange(4, 4 + LENGTH)


def switched(**temperatures: float) -> tuple[np.ndarray, np.ndarray]:
    """Source and target ids (draws, length) of as many copies of one sentence."""
    corpus = SimpleNamespace(pairs=lambda indices: ([SENTENCE] * len(indices), [SENTENCE] * len(indices)))
    encoder = PairEncoder(corpus, VOCABULARY, switch_out=SwitchOutConfig(**temperatures))
    source, target = encoder.encode(np.arange(DRAWS), seed=0, fraction_done=0.0)
    return np.stack(source), np.stack(target)


def assert_share(found: float, expected: float) -> None:
    """Within 4.5 standard errors of an event of that probability."""
    assert found == pytest.approx(expected, abs=4.5 * math.sqrt(expected * (1 - expected) / DRAWS))


def chosen_counts(temperature: float) -> list[float]:
    """p(n) ∝ exp(-n / temperature) for n = 0 to the length of the sentence."""
    weights = [math.exp(-n / temperature) for n in range(LENGTH + 1)]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_number_of_replaced_tokens_follows_the_distribution_of_the_paper(temperature):
    _, target = switched(target=temperature)
    changed = (target != SENTENCE).sum(1)
    same = 1 / (2 * WORDS)  # a word may be drawn in place of itself
    for n in range(LENGTH + 1):
        expected = sum(
            p * math.comb(chosen, n) * (1 - same) ** n * same ** (chosen - n)
            for chosen, p in enumerate(chosen_counts(temperature))
            if chosen >= n
        )
        assert_share(np.mean(changed == n), expected)


def test_replaced_positions_and_tokens_are_uniform():
    source, _ = switched(source=2.0)
    mean = sum(n * p for n, p in enumerate(chosen_counts(2.0)))
    for position in range(LENGTH):
        assert_share(np.mean(source[:, position] != SENTENCE[position]), mean / LENGTH * (1 - 1 / WORDS))
        for word in set(range(4, 4 + WORDS)) - {SENTENCE[position]}:
            assert_share(np.mean(source[:, position] == word), mean / LENGTH / WORDS)
    assert (source.min(), source.max()) == (4, 3 + WORDS)


def test_two_positions_are_drawn_without_replacement():
    """Of two replaced tokens each pair of positions is as likely."""
    source, _ = switched(source=1.0)
    changed = source != SENTENCE
    both = changed[changed.sum(1) == 2]
    pairs = [np.mean(both[:, i] & both[:, j]) for i in range(LENGTH) for j in range(i)]
    assert pairs == pytest.approx([1 / 15] * 15, abs=4.5 * math.sqrt(1 / 15 / len(both)))


def test_sides_are_drawn_independently_and_unchanged_without_a_temperature():
    source, target = switched(source=1.0, target=1.0)
    one, other = ((side != SENTENCE).sum(1) for side in (source, target))
    assert abs(np.corrcoef(one, other)[0, 1]) < 4.5 / math.sqrt(DRAWS)
    source, target = switched(source=1.0)
    assert (target == SENTENCE).all()
    assert (source != SENTENCE).any()
