"""Batch plan: which sentence pairs form which batch of an epoch.

A pure function of (lengths, seed, epoch), so that a resumed run and every rank of a parallel one agree on it.

Letters: N pairs of the corpus, M of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from translate.batch import round_up
from translate.errors import require_between

BATCHES_PER_GROUP = 8  # pairs of one group are divided by their sampled lengths
GROUPS_AT_ONCE = 16  # whose sampled ids the loader has in memory
# beyond any use; with larger values an update would never end, or lengths not be integers of 32 bits
MOST_TOKENS = 2**30
_MOST = {"tokens": MOST_TOKENS, "accumulation": 100_000, "length_multiple": 1024, "sentence_multiple": 2**20}
_MOST_UPDATE_TOKENS = 2**36
Item = TypeVar("Item")
Indices = NDArray[np.int64]
Lengths = NDArray[np.int32]


@dataclass(kw_only=True)
class BatchConfig:
    """Size of batches.

    tokens             most tokens on either side of a batch, padding included, and most rows of logits. The option also
                       takes the word auto: as many as the device has memory for (training/batch_memory.py)
    accumulation       batches per update, on each device
    update_tokens      tokens on either side of an update, of all its batches on all devices, by which tokens=auto, and
                       accumulation unless it is given, are chosen; 0: by the width of the model
    length_multiple    lengths are rounded up, so that shapes recur and kernels can be reused
    sentence_multiple  likewise the number of sentences, rounded down
    """

    tokens: int = 4096
    accumulation: int = 1
    update_tokens: int = 0
    length_multiple: int = 2
    sentence_multiple: int = 8

    def check(self) -> None:
        require_between("batch.update_tokens", self.update_tokens, 0, _MOST_UPDATE_TOKENS)
        for key, most in _MOST.items():
            require_between(f"batch.{key}", getattr(self, key), 1, most)


@dataclass(frozen=True, eq=False)
class Group:
    """Pairs of similar length for several batches, divided among them by their lengths after augmentation.

    number  of the group in its epoch
    pairs   see PlannedBatch
    sizes   number of pairs in each batch, that of the shortest pairs first
    even    batches are made equally large after augmentation instead: of pairs that are all subject to subword
            sampling, fixed numbers keep the budget on average, but a few in capitals must not become as large a batch
    """

    number: int
    pairs: Indices
    sizes: tuple[int, ...]
    even: bool = False

    def divide(self, lengths: NDArray[np.integer]) -> list[Indices]:
        """Indices of the pairs in each batch; lengths (2, n) are those of their sides after augmentation."""
        longer = lengths.max(axis=0)
        order = np.lexsort((lengths.sum(axis=0), longer))  # by the longer side, then by both
        sizes = even_sizes(longer[order] + 1, len(self.sizes)) if self.even else self.sizes
        return np.split(order, np.cumsum(sizes)[:-1])


@dataclass(frozen=True, eq=False)
class PlannedBatch:
    """Pairs of one batch, and the padded lengths (EOS and BOS included) of the two sides.

    pairs         their numbers, or the rows of a TextAugmentation
    group, index  where augmentation changes lengths: the batch is the one with this index of a group; pairs and
                  lengths are an estimate then
    """

    pairs: Indices
    source_length: int
    target_length: int
    group: Group | None = None
    index: int = 0


class Augmentation(Protocol):
    """Choice of the pairs of an epoch that are changed; see TextAugmentation."""

    def draw(
        self, pairs: Indices, lengths: tuple[Lengths, Lengths], random: np.random.Generator
    ) -> tuple[Indices, tuple[Lengths, Lengths]]: ...


@dataclass(frozen=True)
class BatchPlan:
    """Batches of padded sentences of similar length, or of sentences packed end to end in random order."""

    config: BatchConfig
    packed: bool = False

    def epoch(
        self,
        lengths: tuple[Lengths, Lengths],
        repeats: NDArray[np.float32],
        *,
        seed: int,
        epoch: int,
        grouped: bool = False,
        augmentation: Augmentation | None = None,
    ) -> list[PlannedBatch]:
        """Batches of one epoch in training order; a pair longer than the budget stands alone.

        lengths  (N,) each, of source and target: tokens without the EOS or BOS that a batch adds
        repeats  (N,): number of times that the epoch sees each pair, see epoch_pairs
        grouped  lengths will change by augmentation: padded batches are formed in groups, see _in_groups
        augmentation  chooses pairs that are changed or joined
        """
        pairs = epoch_pairs(repeats, seed=seed, epoch=epoch)
        lengths = lengths[0][pairs], lengths[1][pairs]
        if augmentation is not None:
            pairs, lengths = augmentation.draw(pairs, lengths, np.random.default_rng([seed, epoch, 2]))
        # packed batches all have one shape: sorting by length would only spoil the random order
        if self.packed:
            return self._packed(lengths, pairs)
        batches = self._by_length(lengths, pairs)
        # a generator of its own: the order of batches does not depend on how many numbers epoch_pairs drew
        random = np.random.default_rng([seed, epoch, 1])
        return _in_groups(batches, random, even=augmentation is not None) if grouped else _shuffled(batches, random)

    def _packed(self, lengths: tuple[Lengths, Lengths], pairs: Indices) -> list[PlannedBatch]:
        """Batches of consecutive pairs, as many as fit; some positions stay free on either side."""
        # (M,) each: positions that the pairs up to this one take, each with its EOS or BOS
        ends = [np.cumsum(side.astype(np.int64) + 1) for side in lengths]
        # pack_batch divides the padding of either side into as many pieces as the fuller one has free positions
        limit = self.config.tokens - max(1, self.config.tokens // 256)
        batches, start = [], 0
        while start < len(pairs):
            used = [side[start - 1] if start else 0 for side in ends]
            # the first pair that would exceed the limit, on the side that is full first
            fits = (np.searchsorted(side, base + limit, "right") for side, base in zip(ends, used, strict=True))
            # at least one pair, or a pair above the budget would be tried forever
            stop = max(start + 1, int(min(fits)))
            batches.append(PlannedBatch(pairs[start:stop], self.config.tokens, self.config.tokens))
            start = stop
        return batches

    def _by_length(self, lengths: tuple[Lengths, Lengths], pairs: Indices) -> list[PlannedBatch]:
        """Padded batches from the shortest to the longest."""
        source, target = (round_up(side.astype(np.int64) + 1, self.config.length_multiple) for side in lengths)
        order = np.lexsort((source, target))  # by target, then source; stable: equal lengths stay shuffled
        pairs, source, target = pairs[order], source[order], target[order]
        return [
            PlannedBatch(pairs[piece], int(source[piece].max()), int(target[piece].max()))
            for piece in self._fill(source, target)
        ]

    def _fill(self, source: Indices, target: Indices) -> Iterator[slice]:
        """Cut pairs sorted by length into the largest pieces within the budget."""
        start = 0
        while start < len(source):
            size = self._capacity(int(source[start]), int(target[start]))
            # The longest sentence of a candidate lowers the number that fits; the candidate cut to that number may have
            # another longest one, so repeat until it fits.
            while size > 1:
                piece = slice(start, start + size)
                fits = self._capacity(int(source[piece].max()), int(target[piece].max()))
                if fits >= size:
                    break
                size = fits
            yield slice(start, min(start + size, len(source)))
            start += size

    def _capacity(self, source_length: int, target_length: int) -> int:
        """Number of sentences of these lengths within the budget, at least one."""
        # the budget is of either side, so that the longer one decides
        sentences = self.config.tokens // max(source_length, target_length)
        # below the multiple, rounding down would leave nothing
        if sentences > self.config.sentence_multiple:
            sentences -= sentences % self.config.sentence_multiple
        return max(1, sentences)


def epoch_pairs(repeats: NDArray[np.float32], *, seed: int, epoch: int) -> Indices:
    """The pairs of one epoch in random order: repeats 2 means twice, 0.25 a chance of a quarter."""
    random = np.random.default_rng([seed, epoch, 0])
    whole = np.floor(repeats).astype(np.int64)
    # the fraction is drawn anew in each epoch: over many, every pair gets its share
    counts = whole + (random.random(len(repeats)) < repeats - whole)
    return random.permutation(np.repeat(np.arange(len(repeats)), counts))


def largest_batches(batches: Sequence[PlannedBatch], lengths: tuple[Lengths, Lengths], *, packed: bool) -> list[int]:
    """Indices of the batches that may need the most memory: of longest source, longest target, and most positions.

    lengths  (N,) each, see BatchPlan.epoch
    """
    sizes = []
    for batch in batches:
        pairs = pairs_in(batch.pairs)
        source, target = (side[pairs].astype(np.int64) + 1 for side in lengths)
        if packed:
            longest, positions = (source.max(), target.max()), source.sum() + target.sum()
        else:
            longest = batch.source_length, batch.target_length
            positions = len(batch.pairs) * sum(longest)
        sizes.append((*longest, positions))
    found = [
        max(range(len(sizes)), key=lambda index: (sizes[index][side], sizes[index][-1]))  # the fuller of equal ones
        for side in range(3)
    ]
    return list(dict.fromkeys(found))


def pairs_in(rows: Indices) -> Indices:
    """Numbers of the pairs of a batch: themselves, or columns 0 and 1 of a TextAugmentation's rows, -1 for none."""
    return rows if rows.ndim == 1 else rows[:, :2][rows[:, :2] >= 0]


def padding_share(batches: list[PlannedBatch], lengths: tuple[Lengths, Lengths]) -> float:
    """Padding as a share of all positions of padded batches, both sides together."""
    positions = sum(len(batch.pairs) * (batch.source_length + batch.target_length) for batch in batches)
    # EOS and BOS count as tokens
    tokens = sum(
        int((lengths[0][pairs] + lengths[1][pairs]).sum()) + 2 * len(batch.pairs)
        for batch in batches
        for pairs in [pairs_in(batch.pairs)]
    )
    return 1 - tokens / positions if positions else 0.0


def _in_groups(batches: list[PlannedBatch], random: np.random.Generator, *, even: bool) -> list[PlannedBatch]:
    """Form groups of batches of similar length, whose pairs are divided anew once their subwords are drawn.

    Pairs of one length can come out of subword sampling with very different ones: on Multi30k with BPE-dropout of 0.1,
    padding was 28 % of all positions with plain batches, and 12 % with groups.
    """
    groups = []
    for number, piece in enumerate(_cut(batches, BATCHES_PER_GROUP)):
        pairs = np.concatenate([batch.pairs for batch in piece])
        # each batch keeps its number of pairs, so that the budget holds on average; which ones is decided by the draw
        group = Group(number, pairs, tuple(len(batch.pairs) for batch in piece), even)
        groups.append([replace(batch, group=group, index=index) for index, batch in enumerate(piece)])
    # Shuffle all groups, then the batches of a few groups at a time: no more groups than these are held in memory.
    return [
        batch
        for some in _cut(_shuffled(groups, random), GROUPS_AT_ONCE)
        for batch in _shuffled([batch for group in some for batch in group], random)
    ]


def even_sizes(lengths: NDArray[np.integer], count: int) -> list[int]:
    """Number of sentences in each of `count` batches so that the largest one, padding included, is as small as can be.

    lengths  (n,) in ascending order, n at least `count`; batches are cut in this order
    """
    low, high = int(lengths.max()), len(lengths) * int(lengths.max())
    while low < high:
        budget = (low + high) // 2
        low, high = (low, budget) if len(_filled(lengths, budget)) <= count else (budget + 1, high)
    sizes = _filled(lengths, low)
    while len(sizes) < count:  # one long sentence decides the budget
        largest = int(np.argmax(sizes))
        half = sizes[largest] // 2
        sizes[largest : largest + 1] = [sizes[largest] - half, half]
    return sizes


def _filled(lengths: NDArray[np.integer], budget: int) -> list[int]:
    """Sizes of batches that are filled one after the other, with a budget of positions that fits any one sentence."""
    sizes, start = [], 0
    while start < len(lengths):
        rest = lengths[start:]
        sizes.append(int(np.searchsorted(np.arange(1, len(rest) + 1) * rest, budget, side="right")))
        start += sizes[-1]
    return sizes


def _cut(items: list[Item], size: int) -> list[list[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _shuffled(items: list[Item], random: np.random.Generator) -> list[Item]:
    return [items[i] for i in random.permutation(len(items))]
