"""Update stream: the batches of each update of a run, prepared ahead by a thread while the model computes."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from bisect import bisect_right
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from translate.batch import Batch, Side, pack_batch, pad_batch
from translate.data.batching import (
    GROUPS_AT_ONCE,
    Augmentation,
    BatchConfig,
    BatchPlan,
    Group,
    Indices,
    Lengths,
    PlannedBatch,
    pairs_in,
)
from translate.distributed import World

logger = logging.getLogger(__name__)

UPDATES_AHEAD = 4
Item = TypeVar("Item")


class HasLengths(Protocol):
    """Part of a corpus that the batch plan reads; see TokenizedCorpus."""

    @property
    def source_lengths(self) -> Lengths: ...
    @property
    def target_lengths(self) -> Lengths: ...
    @property
    def phase_starts(self) -> Sequence[float]: ...
    def repeats(self, fraction_done: float) -> NDArray[np.float32]: ...


class Encoder(Protocol):
    """Source of token ids; see PairEncoder."""

    @property
    def phases(self) -> Mapping[str, float]: ...
    def augmentation(self, fraction_done: float) -> Augmentation | None: ...
    def lengths_vary(self, fraction_done: float) -> bool: ...
    def encode(self, pairs: Indices, seed: int, fraction_done: float) -> tuple[Side, Side]: ...


@dataclass(frozen=True, kw_only=True)
class DataPosition:
    """Position in a run's data; it means the same for any number of processes and any accumulation.

    epoch    number of the epoch, from 0
    batches  number of the batches of its plan that are done, by all processes
    phase    number of the part of the run, with its own mix of corpora and its own sampling, that the epoch belongs to
    order    number of the order of the data: recovery from divergence takes another one
    """

    epoch: int = 0
    batches: int = 0
    phase: int = 0
    order: int = 0


@dataclass(frozen=True, eq=False)
class Update:
    """Batches that one process computes between two steps of the optimizer.

    after     position of the next update; position: of this one
    epochs    number of epochs done after this update, with their fraction
    """

    batches: list[Batch]
    after: DataPosition
    epochs: float
    position: DataPosition = DataPosition()


class UpdateStream:
    """Batches for each update of a run, from any position; each holds `accumulation` batches per process.

    A phase begins where corpora come or go, or where pairs are encoded in another way; it begins an epoch of its own.

    seed          of the order of pairs and of all draws
    packed        sentences are packed end to end instead of padded
    pinned        batches lie in page-locked memory, from which a GPU copies while the CPU continues
    start         position of the first update
    phase_starts  fractions of the run at which phases begin, 0 the first
    """

    def __init__(
        self,
        corpus: HasLengths,
        encoder: Encoder,
        config: BatchConfig,
        *,
        seed: int,
        world: World,
        packed: bool = False,
        pinned: bool = False,
        start: DataPosition | None = None,
    ) -> None:
        self.corpus, self.encoder, self.config = corpus, encoder, config
        self.seed, self.world, self.packed, self.pinned = seed, world, packed, pinned
        self.phase_starts = sorted({*corpus.phase_starts, *encoder.phases.values()})  # the plan depends on both
        self.seek(start or DataPosition())

    def seek(self, position: DataPosition) -> None:
        """Continue from another position; nothing is prepared before the first call of next."""
        self.position = position
        self._updates = prefetch(self._from(position), ahead=UPDATES_AHEAD)

    def next(self, fraction_done: float) -> Update:
        """Batches of the next update, when that fraction of the run is done."""
        phase = bisect_right(self.phase_starts, fraction_done) - 1
        # never back: where bounds were raised, a continued run has a smaller fraction behind it
        if phase > self.position.phase:
            self._begin_phase(phase)
        update = next(self._updates)
        self.position = update.after
        return update

    def plan(self, position: DataPosition) -> list[PlannedBatch]:
        """All batches, of all processes, of the epoch at a position."""
        # of the phase, not of the update: a resumed run must plan the same epoch
        start = self.phase_starts[position.phase]
        return BatchPlan(self.config, self.packed).epoch(
            (self.corpus.source_lengths, self.corpus.target_lengths),
            self.corpus.repeats(start),
            seed=self.seed_of(position),
            epoch=position.epoch,
            grouped=self.encoder.lengths_vary(start),
            augmentation=self.encoder.augmentation(start),
        )

    def seed_of(self, position: DataPosition) -> int:
        """Seed of the order of pairs and of all draws at a position."""
        # hashed together: seed + order is the seed of another run
        return _hash([self.seed, position.order]) if position.order else self.seed

    def pairs(self, position: DataPosition) -> list[Indices]:
        """The pairs of each batch, of all processes, of the update at a position."""
        stop = position.batches + self.config.accumulation * self.world.size
        return _Epoch(self, position).pairs(position.batches, stop)

    def describe_phase(self, position: DataPosition, *, before: int) -> str:
        """Log line for the start of a phase; before: number of the phase that ends."""
        begun = set(self.phase_starts[before + 1 : position.phase + 1])
        changes = [] if begun.isdisjoint(self.corpus.phase_starts) else ["another mix of corpora"]
        changes += [change for change, start in self.encoder.phases.items() if start in begun]
        return f"epoch {position.epoch} begins with {' and '.join(changes)}"

    def close(self) -> None:
        """End the thread that prepares updates."""
        self._updates.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin_phase(self, phase: int) -> None:
        self.close()
        # batches made ahead are of the mix that ends: they are thrown away
        before = self.position
        # an epoch that has begun is not finished with another mix: the phase begins the next one
        self.seek(replace(before, epoch=before.epoch + bool(before.batches), batches=0, phase=phase))
        logger.info(self.describe_phase(self.position, before=before.phase))

    def _from(self, position: DataPosition) -> Iterator[Update]:
        """Updates without end, epoch after epoch of the position's phase."""
        batches_per_update = self.config.accumulation * self.world.size
        while True:
            epoch, next_epoch = _Epoch(self, position), replace(position, epoch=position.epoch + 1, batches=0)
            # from any batch: the session before may have had another number of processes
            for start in range(position.batches, epoch.num_batches, batches_per_update):
                stop = min(start + batches_per_update, epoch.num_batches)  # the last update may have fewer batches
                here = replace(position, batches=start)
                after = next_epoch if stop == epoch.num_batches else replace(position, batches=stop)
                yield Update(epoch.batches(start, stop), after, position.epoch + stop / epoch.num_batches, here)
            position = next_epoch


class _Epoch:
    """Batches of one epoch. Draws have seeds of the run, the epoch, and the batch or group."""

    def __init__(self, stream: UpdateStream, position: DataPosition) -> None:
        self._stream, self._number, self._seed = stream, position.epoch, stream.seed_of(position)
        self._fraction_done = stream.phase_starts[position.phase]
        self._plan = stream.plan(position)
        self._divided: dict[int, list[tuple[Side, Side, Indices]]] = {}
        self.num_batches = len(self._plan)

    def batches(self, start: int, stop: int) -> list[Batch]:
        """This process's batches of an update. An epoch's last may have none for it: then one without labels."""
        world = self._stream.world
        own = range(start + world.rank, stop, world.size)
        # Every process needs a batch, or the others would wait for its gradients; one without labels adds nothing.
        if not own:
            return [self._collate(*self._batch(start)[:2]).without_labels()]
        return [self._collate(*self._batch(number)[:2]) for number in own]

    def pairs(self, start: int, stop: int) -> list[Indices]:
        """The pairs of each batch of an update, of all processes."""
        return [pairs_in(self._batch(number)[2]) for number in range(start, min(stop, self.num_batches))]

    def _collate(self, source: Side, target: Side) -> Batch:
        stream, config = self._stream, self._stream.config
        if stream.packed:
            batch = pack_batch(source, target, config.tokens)
        else:
            batch = pad_batch(source, target, config.length_multiple)
        return batch.pin_memory() if stream.pinned else batch

    def _batch(self, number: int) -> tuple[Side, Side, Indices]:
        """Token ids of a planned batch, and its pairs."""
        planned = self._plan[number]
        if planned.group is None:
            return (*self._encode(planned.pairs, number), planned.pairs)
        # the first batch that needs a group draws for all of it, as lengths decide which pairs are whose
        group = planned.group
        if group.number not in self._divided:
            if len(self._divided) == GROUPS_AT_ONCE:  # the oldest has no batch left: see the plan
                del self._divided[next(iter(self._divided))]
            self._divided[group.number] = self._divide(group)
        return self._divided[group.number][planned.index]

    def _divide(self, group: Group) -> list[tuple[Side, Side, Indices]]:
        """Divide the pairs of a group among its batches by their lengths after augmentation."""
        source, target = self._encode(group.pairs, group.number)
        lengths = np.array([[len(ids) for ids in side] for side in (source, target)])
        return [
            ([source[i] for i in piece], [target[i] for i in piece], group.pairs[piece])
            for piece in group.divide(lengths)
        ]

    def _encode(self, pairs: Indices, number: int) -> tuple[Side, Side]:
        # hashed together: a sum of the three would repeat the draws of other batches and epochs
        return self._stream.encoder.encode(pairs, _hash([self._seed, self._number, number]), self._fraction_done)


def _hash(numbers: list[int]) -> int:
    """A seed that depends on all of the numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def prefetch(items: Iterator[Item], *, ahead: int) -> Generator[Item, None, None]:
    """Yield the items, of which a thread makes up to `ahead` in advance; an error in the thread is raised here.

    The thread starts with the first item and ends when the generator is closed.
    """
    # bounded, so that the thread waits instead of filling the memory
    ready: queue.Queue[Item | BaseException] = queue.Queue(ahead)
    stopped = threading.Event()

    def work() -> None:
        try:
            for item in items:
                _put(ready, item, stopped)
                if stopped.is_set():
                    return
        # of any kind: a thread that ended silently would leave the reader waiting forever
        except BaseException as error:
            _put(ready, error, stopped)

    thread = threading.Thread(target=work, name="loader", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, BaseException):
                raise item  # with the traceback of the thread
            yield item
    finally:
        stopped.set()
        thread.join(timeout=60)  # the interpreter, when it ends, aborts if a thread is still inside of C++


def _put(ready: queue.Queue[Item | BaseException], item: Item | BaseException, stopped: threading.Event) -> None:
    """Put an item into the queue when there is room, unless the reader stops before."""
    # the queue is full while the model computes, so the thread looks for the end now and then
    while not stopped.is_set():
        with contextlib.suppress(queue.Full):
            ready.put(item, timeout=0.1)
            return
