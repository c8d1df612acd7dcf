"""The batch plan: which sentence pairs stand together in which batch of an epoch.

A pure function of (lengths, seed, epoch), so that a resumed run and every rank of a parallel one agree on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from translate.errors import require_at_least

BATCHES_OF_A_GROUP = 8
GROUPS_AT_ONCE = 16
Item = TypeVar("Item")
Indices = NDArray[np.int64]
Lengths = NDArray[np.int32]
Numbers = TypeVar("Numbers", int, NDArray[np.int64])


@dataclass(kw_only=True)
class BatchConfig:
    """Size of batches.

    tokens             most tokens on either side of a batch, padding included, and most rows of logits
    accumulation       batches per update, on each device
    length_multiple    lengths are rounded up, so that shapes recur and kernels can be reused
    sentence_multiple  likewise the number of sentences, rounded down
    """

    tokens: int = 4096
    accumulation: int = 1
    length_multiple: int = 2
    sentence_multiple: int = 8

    def check(self) -> None:
        for key, value in vars(self).items():
            require_at_least(f"batch.{key}", value, 1)


@dataclass(frozen=True, eq=False)
class Group:
    """Pairs of similar length for several batches: once their subwords are drawn, they are divided by what they got.

    number  of the group in its epoch
    sizes   how many pairs the batches have, that of the shortest pairs first
    """

    number: int
    pairs: Indices
    sizes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class PlannedBatch:
    """Pairs that stand together, and the padded lengths (EOS and BOS included) of the two sides.

    group, place  where subwords are drawn: the batch is this one of a group's instead, and the rest an estimate
    """

    pairs: Indices
    source_length: int
    target_length: int
    group: Group | None = None
    place: int = 0


def epoch_pairs(repeats: NDArray[np.float32], *, seed: int, epoch: int) -> Indices:
    """The pairs of one epoch in random order: repeats 2 means twice, 0.25 a chance of a quarter."""
    random = np.random.default_rng([seed, epoch, 0])
    whole = np.floor(repeats).astype(np.int64)
    counts = whole + (random.random(len(repeats)) < repeats - whole)
    return random.permutation(np.repeat(np.arange(len(repeats)), counts))


def plan_padded(
    source_lengths: Lengths,
    target_lengths: Lengths,
    repeats: NDArray[np.float32],
    *,
    config: BatchConfig,
    seed: int,
    epoch: int,
) -> list[PlannedBatch]:
    """Batches of pairs of similar length, in random order; a pair longer than the budget stands alone.

    Lengths are those of the tokens alone; both sides gain one (EOS, or BOS).
    """
    batches = _by_length(source_lengths, target_lengths, epoch_pairs(repeats, seed=seed, epoch=epoch), config)
    return _shuffled(batches, np.random.default_rng([seed, epoch, 1]))


def plan_grouped(
    source_lengths: Lengths,
    target_lengths: Lengths,
    repeats: NDArray[np.float32],
    *,
    config: BatchConfig,
    seed: int,
    epoch: int,
) -> list[PlannedBatch]:
    """As many batches as `plan_padded`, but of groups whose pairs are divided when their subwords have been drawn.

    Pairs of one length may come out of subword sampling with very different ones: on Multi30k with BPE-dropout of 0.1,
    28 % of all places were padding when the batches were those of `plan_padded`, and 12 % with these.
    The batches of a few groups at a time stand in random order, so that no more of them have to be kept.
    """
    batches = _by_length(source_lengths, target_lengths, epoch_pairs(repeats, seed=seed, epoch=epoch), config)
    random = np.random.default_rng([seed, epoch, 1])
    groups = [_group(number, piece) for number, piece in enumerate(_cut(batches, BATCHES_OF_A_GROUP))]
    return [
        batch
        for at_once in _cut(_shuffled(groups, random), GROUPS_AT_ONCE)
        for batch in _shuffled([batch for group in at_once for batch in group], random)
    ]


def plan_packed(
    source_lengths: Lengths,
    target_lengths: Lengths,
    repeats: NDArray[np.float32],
    *,
    config: BatchConfig,
    seed: int,
    epoch: int,
) -> list[PlannedBatch]:
    """Batches of pairs in random order, as many as fit end to end; one place stays free on either side."""
    pairs = epoch_pairs(repeats, seed=seed, epoch=epoch)
    ends = [np.cumsum(lengths[pairs].astype(np.int64) + 1) for lengths in (source_lengths, target_lengths)]
    batches, start = [], 0
    while start < len(pairs):
        used = [side[start - 1] if start else 0 for side in ends]
        fits = (np.searchsorted(side, base + config.tokens - 1, "right") for side, base in zip(ends, used, strict=True))
        stop = max(start + 1, int(min(fits)))
        batches.append(PlannedBatch(pairs[start:stop], config.tokens, config.tokens))
        start = stop
    return batches


def padding_share(batches: list[PlannedBatch], source_lengths: Lengths, target_lengths: Lengths) -> float:
    """The share of all places in padded batches, on both sides, that hold no token."""
    places = sum(len(b.pairs) * (b.source_length + b.target_length) for b in batches)
    tokens = sum(int((source_lengths[b.pairs] + target_lengths[b.pairs] + 2).sum()) for b in batches)
    return 1 - tokens / places if places else 0.0


def round_up(lengths: Numbers, multiple: int) -> Numbers:
    """To the next multiple."""
    return -(-lengths // multiple) * multiple


def _by_length(
    source_lengths: Lengths, target_lengths: Lengths, pairs: Indices, config: BatchConfig
) -> list[PlannedBatch]:
    """From the shortest to the longest."""
    source = round_up(source_lengths[pairs].astype(np.int64) + 1, config.length_multiple)
    target = round_up(target_lengths[pairs].astype(np.int64) + 1, config.length_multiple)
    order = np.lexsort((source, target))  # stable: equal lengths stay shuffled
    pairs, source, target = pairs[order], source[order], target[order]
    return [
        PlannedBatch(pairs[piece], int(source[piece].max()), int(target[piece].max()))
        for piece in _fill(source, target, config)
    ]


def _group(number: int, batches: list[PlannedBatch]) -> list[PlannedBatch]:
    pairs = np.concatenate([batch.pairs for batch in batches])
    group = Group(number, pairs, tuple(len(batch.pairs) for batch in batches))
    return [replace(batch, group=group, place=place) for place, batch in enumerate(batches)]


def _cut(items: list[Item], size: int) -> list[list[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _shuffled(items: list[Item], random: np.random.Generator) -> list[Item]:
    return [items[i] for i in random.permutation(len(items))]


def _fill(source: Indices, target: Indices, config: BatchConfig) -> Iterator[slice]:
    """Cut pairs sorted by length into the largest pieces within the budget."""
    start = 0
    while start < len(source):
        size = _capacity(int(source[start]), int(target[start]), config)
        # the longest of a candidate piece lowers what fits, which may leave a shorter longest one
        while size > 1:
            piece = slice(start, start + size)
            fits = _capacity(int(source[piece].max()), int(target[piece].max()), config)
            if fits >= size:
                break
            size = fits
        yield slice(start, min(start + size, len(source)))
        start += size


def _capacity(source_length: int, target_length: int, config: BatchConfig) -> int:
    sentences = config.tokens // max(source_length, target_length)
    if sentences > config.sentence_multiple:
        sentences -= sentences % config.sentence_multiple
    return max(1, sentences)
