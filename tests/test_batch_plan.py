"""The batch plan: complete, within its budget, dense, and a function of (lengths, seed, epoch)."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from translate.data.batching import (
    BATCHES_PER_GROUP,
    GROUPS_AT_ONCE,
    BatchConfig,
    BatchPlan,
    PlannedBatch,
    epoch_pairs,
    even_sizes,
    largest_batches,
    padding_share,
)
from translate.text import read_lines

PADDED, PACKED, GROUPED = {}, {"packed": True}, {"grouped": True}
KINDS = [PADDED, PACKED, GROUPED]


def some_lengths(count=2000):
    random = np.random.default_rng(0)
    source = random.integers(1, 60, count).astype(np.int32)
    return source, np.maximum(1, source + random.integers(-5, 6, count)).astype(np.int32)


def plan(*, packed=False, grouped=False, seed=1, epoch=0, tokens=512, lengths=None):
    lengths = lengths or some_lengths()
    repeats = np.ones(len(lengths[0]), np.float32)
    return BatchPlan(BatchConfig(tokens=tokens), packed).epoch(
        lengths, repeats, seed=seed, epoch=epoch, grouped=grouped
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_is_in_one_batch(kind):
    pairs = np.concatenate([batch.pairs for batch in plan(**kind)])
    assert sorted(pairs) == list(range(2000))


def test_padded_batches_fit_the_token_budget():
    source, target = some_lengths()
    for batch in plan():
        assert len(batch.pairs) * max(batch.source_length, batch.target_length) <= 512
        assert source[batch.pairs].max() < batch.source_length
        assert target[batch.pairs].max() < batch.target_length


def test_packed_batches_fit_the_token_budget_with_one_padding_position():
    source, target = some_lengths()
    for batch in plan(**PACKED):
        assert (source[batch.pairs] + 1).sum() < 512
        assert (target[batch.pairs] + 1).sum() < 512


def test_largest_batches_have_the_longest_sides_and_the_most_positions():
    lengths = np.array([1, 9, 2, 9, 5, 5, 5], np.int32), np.array([7, 1, 2, 1, 4, 4, 4], np.int32)
    batches = [
        PlannedBatch(np.array(pairs), source, target)
        for pairs, source, target in [([2], 4, 4), ([0], 2, 8), ([1], 10, 2), ([1, 3], 10, 2), ([4, 5, 6], 6, 6)]
    ]
    assert largest_batches(batches, lengths, packed=False) == [3, 1, 4]
    packed = [PlannedBatch(batch.pairs, 64, 64) for batch in batches]
    assert largest_batches(packed, lengths, packed=True) == [3, 1, 4]
    assert largest_batches(packed[4:], lengths, packed=True) == [0]


@pytest.mark.parametrize("kind", KINDS)
def test_pair_longer_than_the_budget_is_a_batch_of_one(kind):
    lengths = np.array([5, 900, 7], np.int32), np.array([6, 4, 8], np.int32)
    batches = plan(**kind, lengths=lengths)
    assert [1] in [batch.pairs.tolist() for batch in batches]
    assert sorted(np.concatenate([batch.pairs for batch in batches])) == [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_plan_depends_on_seed_and_epoch(kind):
    def order(**where):
        return [batch.pairs.tolist() for batch in plan(**kind, **where)]

    assert order(seed=3, epoch=5) == order(seed=3, epoch=5)
    assert order(seed=3, epoch=5) != order(seed=3, epoch=6)
    assert order(seed=3, epoch=5) != order(seed=4, epoch=5)


def test_batches_of_a_group_hold_all_its_pairs():
    batches = plan(**GROUPED)
    groups = {id(batch.group): batch.group for batch in batches}.values()
    assert sorted(np.concatenate([group.pairs for group in groups])) == list(range(2000))
    assert all(len(group.pairs) == sum(group.sizes) for group in groups)
    indices = [(batch.group.number, batch.index) for batch in batches]
    assert sorted(indices) == sorted((group.number, index) for group in groups for index in range(len(group.sizes)))


def test_batches_are_shuffled_across_a_few_groups():
    numbers = [batch.group.number for batch in plan(**GROUPED, tokens=64)]
    assert len(set(numbers)) > 3 * GROUPS_AT_ONCE
    spans = [(numbers.index(number), len(numbers) - numbers[::-1].index(number)) for number in set(numbers)]
    begun = [sum(first <= index < end for first, end in spans) for index in range(len(numbers))]
    assert max(begun) == GROUPS_AT_ONCE
    assert len(set(numbers[:BATCHES_PER_GROUP])) > 2


def test_corpus_weights_set_repetitions_per_epoch():
    repeats = np.repeat(np.array([2.0, 1.0, 0.25], np.float32), 4000)
    counts = np.bincount(epoch_pairs(repeats, seed=1, epoch=0), minlength=12000)
    assert set(counts[:4000]) == {2}
    assert set(counts[4000:8000]) == {1}
    assert set(counts[8000:]) == {0, 1}
    assert counts[8000:].mean() == pytest.approx(0.25, abs=0.03)


def test_padded_lengths_are_even():
    shapes = {(len(batch.pairs), batch.source_length, batch.target_length) for batch in plan(tokens=2048)}
    assert all(source % 2 == target % 2 == 0 for _, source, target in shapes)


@pytest.mark.parametrize("tokens", [2048, 4096])
def test_under_a_tenth_of_multi30k_is_padding(corpora_root, tokens):
    """Words times 1.3 stand for subwords: about what a vocabulary of 8,000 makes of them."""
    sides = [
        np.array([int(1.3 * len(line.split())) for line in read_lines(corpora_root / "multi30k" / f"train.{language}")])
        for language in ("en", "de")
    ]
    lengths = tuple(side.astype(np.int32) for side in sides)
    batches = plan(lengths=lengths, tokens=tokens)
    assert padding_share(batches, lengths) < 0.1


@pytest.mark.parametrize("count", [1, 3, 8])
def test_even_batches_have_the_least_largest_area_of_all_divisions(count):
    for seed in range(20):
        lengths = np.sort(np.random.default_rng(seed).integers(1, 30, 11))
        sizes = even_sizes(lengths, count)
        assert (len(sizes), sum(sizes), min(sizes) > 0) == (count, 11, True)

        best = min(largest(lengths, ends) for ends in combinations(range(1, 11), count - 1))
        assert largest(lengths, tuple(np.cumsum(sizes)[:-1])) == best


def largest(lengths, ends):
    """Positions of the largest of the batches that end at these indices."""
    return max((end - start) * int(lengths[end - 1]) for start, end in pairwise((0, *ends, len(lengths))))
