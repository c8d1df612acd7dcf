"""Batches in the order of the plan, made in a thread of their own while the model computes."""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.batch import NO_TARGET, Batch, Tokens
from translate.data.plan import (
    GROUPS_AT_ONCE,
    BatchConfig,
    Group,
    Indices,
    Lengths,
    PlannedBatch,
    plan_grouped,
    plan_packed,
    plan_padded,
)
from translate.distributed import World
from translate.special_tokens import BOS, EOS

logger = logging.getLogger("translate")

UPDATES_AHEAD = 4

Side = Sequence[NDArray[np.integer]]
# the ids of the pairs at these indices: looked up, or sampled anew with this seed
Encoder = Callable[[Indices, int], tuple[Side, Side]]


@dataclass(frozen=True)
class Encoding:
    """How pairs get their token ids from a share of the run on.

    lengths_vary  whether subwords are drawn, and with them lengths: then padded batches are made after that
    """

    encode: Encoder
    lengths_vary: bool = False
    start: float = 0.0


class Lengthed(Protocol):
    """What the plan needs of a corpus: tokens per sentence, and how often each pair is seen at a share of the run."""

    @property
    def source_lengths(self) -> Lengths: ...
    @property
    def target_lengths(self) -> Lengths: ...
    @property
    def phase_starts(self) -> Sequence[float]: ...
    def repeats(self, share: float) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Place:
    """A place in the run's sequence of updates.

    epoch    the number of the epoch
    updates  how many of its updates are over
    phase    which part of the run, with its own mix of corpora and its own encoding, the epoch belongs to
    """

    epoch: int = 0
    updates: int = 0
    phase: int = 0


@dataclass(frozen=True, eq=False)
class Update:
    """What one process computes between two steps of the optimiser, and where that leads.

    epochs  how many epochs are over after it, with their fraction
    """

    batches: list[Batch]
    after: Place
    epochs: float


class Loader:
    """Updates of a corpus from any place on: each holds `accumulation` batches for each process of the world.

    encodings     in the order of their starts, the first from the run's beginning on
    pinned        whether batches lie in memory from which a GPU can read while the CPU goes on
    phase_starts  the shares of a run at which other corpora or another encoding begin, 0 the first
    """

    def __init__(
        self,
        corpus: Lengthed,
        encodings: Sequence[Encoding],
        config: BatchConfig,
        *,
        seed: int,
        packed: bool,
        world: World,
        pinned: bool = False,
    ):
        self.corpus, self.encodings, self.config = corpus, encodings, config
        self.seed, self.packed, self.world, self.pinned = seed, packed, world, pinned
        self.phase_starts = sorted({*corpus.phase_starts, *(encoding.start for encoding in encodings)})
        self._draw = lru_cache(GROUPS_AT_ONCE)(self._encode_group)

    def plan(self, epoch: int, phase: int = 0) -> list[PlannedBatch]:
        plan = plan_packed if self.packed else plan_grouped if self._encoding(phase).lengths_vary else plan_padded
        corpus = self.corpus
        return plan(
            corpus.source_lengths,
            corpus.target_lengths,
            corpus.repeats(self.phase_starts[phase]),
            config=self.config,
            seed=self.seed,
            epoch=epoch,
        )

    def updates(self, place: Place) -> Generator[Update, None, None]:
        """Endlessly, epoch after epoch of its phase, prepared ahead in a thread that ends with the iterator."""
        return _ahead(self._updates(place))

    def _updates(self, place: Place) -> Iterator[Update]:
        first = place.updates
        for epoch in itertools.count(place.epoch):
            plan = self.plan(epoch, place.phase)
            size = self.config.accumulation * self.world.size
            count = -(-len(plan) // size)
            for number in range(first, count):
                batches = self._share(plan, number * size, min((number + 1) * size, len(plan)), epoch, place.phase)
                after = (epoch, number + 1) if number + 1 < count else (epoch + 1, 0)
                yield Update(batches, Place(*after, place.phase), epoch + (number + 1) / count)
            first = 0

    def _share(self, plan: list[PlannedBatch], start: int, stop: int, epoch: int, phase: int) -> list[Batch]:
        """This rank's batches of an update. An epoch's last may have none for it: then one without labels."""
        own = range(start + self.world.rank, stop, self.world.size)
        if not own:
            return [_without_labels(self._make(plan[start], epoch, phase, start))]
        return [self._make(plan[number], epoch, phase, number) for number in own]

    def _make(self, planned: PlannedBatch, epoch: int, phase: int, number: int) -> Batch:
        if planned.group is not None:
            source, target = self._draw(planned.group, epoch, phase)[planned.place]
        else:
            source, target = self._encode(planned.pairs, epoch, phase, number)
        if self.packed:
            batch = pack_batch(source, target, self.config.tokens)
        else:
            batch = pad_batch(source, target, self.config.length_multiple)
        return batch.pin_memory() if self.pinned else batch

    def _encode_group(self, group: Group, epoch: int, phase: int) -> list[tuple[Side, Side]]:
        """The ids of all its batches."""
        source, target = self._encode(group.pairs, epoch, phase, group.number)
        lengths = np.array([[len(ids) for ids in side] for side in (source, target)])
        order = np.lexsort((lengths.sum(axis=0), lengths.max(axis=0)))
        pieces = np.split(order, np.cumsum(group.sizes)[:-1])
        return [([source[i] for i in piece], [target[i] for i in piece]) for piece in pieces]

    def _encode(self, pairs: Indices, epoch: int, phase: int, number: int) -> tuple[Side, Side]:
        seed = int(np.random.SeedSequence([self.seed, epoch, number]).generate_state(1)[0])
        return self._encoding(phase).encode(pairs, seed)

    def _encoding(self, phase: int) -> Encoding:
        start = self.phase_starts[phase]
        return [encoding for encoding in self.encodings if encoding.start <= start][-1]


class Curriculum:
    """The updates of a run from a place on. Each phase of the run begins an epoch of its own."""

    def __init__(self, loader: Loader, place: Place):
        self._loader, self._place = loader, place
        self._updates = loader.updates(place)

    def next(self, share: float) -> Update:
        """The next update of a run of which the share (0 to 1) is over."""
        phase = bisect_right(self._loader.phase_starts, share) - 1
        if phase > self._place.phase:
            self._begin(phase)
        update = next(self._updates)
        self._place = update.after
        return update

    def close(self) -> None:
        """End the thread that prepares updates."""
        self._updates.close()

    def _begin(self, phase: int) -> None:
        self.close()
        self._place = Place(self._place.epoch + bool(self._place.updates), phase=phase)
        self._updates = self._loader.updates(self._place)
        logger.info(f"epoch {self._place.epoch}: from here on another mix of corpora, or subwords drawn anew")


def pad_batch(source: Side, target: Side, multiple: int = 1) -> Batch:
    """Pairs as rows: EOS ends the source and the labels, BOS starts what the decoder reads.

    multiple  what lengths are rounded up to
    """
    sources, targets = _framed(source, target)
    lengths = [-(-max(map(len, side)) // multiple) * multiple for side in (sources, targets)]
    source_tokens, target_tokens = (
        Tokens.pad(sources, length=lengths[0]),
        Tokens.pad(targets, length=lengths[1]),
    )
    ends = np.arange(len(targets)) * lengths[1] + np.array([len(ids) - 1 for ids in targets])
    assert target_tokens.mask is not None
    return _labelled(source_tokens, target_tokens, ends, target_tokens.mask, sources)


def pack_batch(source: Side, target: Side, tokens: int) -> Batch:
    """Pairs end to end, `tokens` places on either side (more only when the pairs need them): shapes never change."""
    sources, targets = _framed(source, target)
    used = [sum(map(len, side)) for side in (sources, targets)]
    # one free place at least, so that the padding at the end always has a key to attend to
    total = max(tokens, *(count + 1 for count in used))
    source_tokens, target_tokens = (Tokens.pack(side, total=total, room=total // 2 + 2) for side in (sources, targets))
    ends = np.cumsum([len(ids) for ids in targets]) - 1
    return _labelled(source_tokens, target_tokens, ends, torch.arange(total) < used[1], sources)


def _framed(source: Side, target: Side) -> tuple[Side, Side]:
    return [np.append(ids, EOS) for ids in source], [np.insert(ids, 0, BOS) for ids in target]


def _labelled(source: Tokens, target: Tokens, ends: NDArray[np.int64], real: Tensor, sources: Side) -> Batch:
    """The label of each place is the next place's token; of a sentence's last place (among ends), EOS."""
    labels = target.ids.flatten().roll(-1)
    labels[torch.from_numpy(ends)] = EOS
    labels = labels.view(target.ids.shape).masked_fill(~real, NO_TARGET)
    return Batch(source, target, labels, int(real.sum()), sum(map(len, sources)))


def _without_labels(batch: Batch) -> Batch:
    return replace(batch, labels=torch.full_like(batch.labels, NO_TARGET), num_target_tokens=0, num_source_tokens=0)


def _ahead(updates: Iterator[Update]) -> Generator[Update, None, None]:
    """The same items, some of them made in advance; an error in the thread is raised here."""
    ready: queue.Queue[Update | BaseException] = queue.Queue(UPDATES_AHEAD)
    stopped = threading.Event()

    def work() -> None:
        try:
            for update in updates:
                _put(ready, update, stopped)
                if stopped.is_set():
                    return
        except BaseException as error:
            _put(ready, error, stopped)

    thread = threading.Thread(target=work, name="loader", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join(timeout=60)  # the interpreter, when it ends, aborts if a thread is still inside of C++


def _put(ready: queue.Queue[Update | BaseException], item: Update | BaseException, stopped: threading.Event) -> None:
    while not stopped.is_set():
        with contextlib.suppress(queue.Full):
            ready.put(item, timeout=0.1)
            return
