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

from translate.batch import NO_TARGET, Batch
from translate.data.batching import (
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
from translate.data.collate import Side, pack_batch, pad_batch
from translate.distributed import World

logger = logging.getLogger(__name__)

UPDATES_AHEAD = 4

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

    def news(self, before: int, phase: int) -> str:
        """What a phase has that an earlier one did not, for a person to read."""
        starts = set(self.phase_starts[before + 1 : phase + 1])
        corpora, drawn = (starts & set(of) for of in (self.corpus.phase_starts, (e.start for e in self.encodings)))
        return " and ".join(["another mix of corpora"] * bool(corpora) + ["subwords drawn anew"] * bool(drawn))

    def updates(self, place: Place) -> Generator[Update, None, None]:
        """Endlessly, epoch after epoch of its phase, prepared ahead in a thread that ends with the iterator."""
        return _ahead(self._updates(place))

    def _updates(self, place: Place) -> Iterator[Update]:
        first = place.updates
        for number in itertools.count(place.epoch):
            epoch = _Epoch(self.plan(number, place.phase), self._encoding(place.phase).encode, (self.seed, number))
            size = self.config.accumulation * self.world.size
            count = -(-len(epoch.plan) // size)
            for update in range(first, count):
                after = (number, update + 1) if update + 1 < count else (number + 1, 0)
                batches = self._share(epoch, update * size, min((update + 1) * size, len(epoch.plan)))
                yield Update(batches, Place(*after, place.phase), number + (update + 1) / count)
            first = 0

    def _share(self, epoch: _Epoch, start: int, stop: int) -> list[Batch]:
        """This rank's batches of an update. An epoch's last may have none for it: then one without labels."""
        own = range(start + self.world.rank, stop, self.world.size)
        if not own:
            return [_without_labels(self._collate(*epoch.pairs(start)))]
        return [self._collate(*epoch.pairs(number)) for number in own]

    def _collate(self, source: Side, target: Side) -> Batch:
        if self.packed:
            batch = pack_batch(source, target, self.config.tokens)
        else:
            batch = pad_batch(source, target, self.config.length_multiple)
        return batch.pin_memory() if self.pinned else batch

    def _encoding(self, phase: int) -> Encoding:
        start = self.phase_starts[phase]
        return [encoding for encoding in self.encodings if encoding.start <= start][-1]


class _Epoch:
    """The token ids of the pairs of each planned batch, drawn with seeds of the run, the epoch and the batch."""

    def __init__(self, plan: Sequence[PlannedBatch], encode: Encoder, seeds: tuple[int, int]):
        self.plan, self._encode, self._seeds = plan, encode, seeds
        self._divided = lru_cache(GROUPS_AT_ONCE)(self._divide)

    def pairs(self, number: int) -> tuple[Side, Side]:
        planned = self.plan[number]
        if planned.group is not None:
            return self._divided(planned.group)[planned.place]
        return self._draw(planned.pairs, number)

    def _divide(self, group: Group) -> list[tuple[Side, Side]]:
        """The pairs of a group among its batches, by the lengths that were drawn."""
        source, target = self._draw(group.pairs, group.number)
        lengths = np.array([[len(ids) for ids in side] for side in (source, target)])
        order = np.lexsort((lengths.sum(axis=0), lengths.max(axis=0)))
        pieces = np.split(order, np.cumsum(group.sizes)[:-1])
        return [([source[i] for i in piece], [target[i] for i in piece]) for piece in pieces]

    def _draw(self, pairs: Indices, number: int) -> tuple[Side, Side]:
        return self._encode(pairs, int(np.random.SeedSequence([*self._seeds, number]).generate_state(1)[0]))


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
        news = self._loader.news(self._place.phase, phase)
        self._place = Place(self._place.epoch + bool(self._place.updates), phase=phase)
        self._updates = self._loader.updates(self._place)
        logger.info(f"epoch {self._place.epoch}: from here on {news}")


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
