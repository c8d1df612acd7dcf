"""Decoding steps as graphs on a GPU: recorded once for a size of batches, replayed over buffers of that size.

A step of a Transformer and its search launches some two hundred kernels, one by one; replayed they are one launch. The
sentences of a batch lie in the first rows of buffers, and a step reads and writes these alone (translate/recording.py).
New sentences take the rows of finished ones in the buffers themselves. All else, which happens more rarely, works on
views of the buffers as without graphs: sentences leave, and slots of the KV cache that no hypothesis sees are dropped.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor

from translate.decoding.active_batch import ActiveBatch
from translate.decoding.config import SearchConfig
from translate.decoding.search.base import Search
from translate.decoding.search.beam import BeamSearch
from translate.decoding.search.greedy import GreedySearch
from translate.models.fixed_state import FixedState
from translate.models.kv_cache import STEPS_AHEAD, TransformerState
from translate.models.seq2seq import Seq2Seq, State
from translate.recording import Recorder

logger = logging.getLogger(__name__)
MOST_GRAPHS = 16  # each has buffers of its own for the state of a batch
STEPS_BEFORE = 8  # of a size, before it is recorded, which takes as long as two to four of them on an H200
# All rows of buffers are computed: fewer sentences are faster only where smaller buffers serve them, which are recorded
# for less than half of the rows, and few sentences take as long as one.
_LEAVING_FRACTION, _FEW_SENTENCES = 5 / 8, 16
_LEAST_SOURCE, _LEAST_SLOTS = 32, 64
_ROW_SIZES = 8  # numbers of rows from a power of two to the next


@dataclass(frozen=True)
class Size:
    """Sentences of a batch, tokens of the longest source, and slots of the KV cache."""

    sentences: int
    source_length: int
    slots: int

    def rounded(self) -> Size:
        """The size of buffers that are made for this: few sizes, so that a graph serves many batches."""
        unit = max(1, (1 << self.sentences.bit_length()) // (2 * _ROW_SIZES))
        return Size(
            -(-self.sentences // unit) * unit,
            _power_of_two(max(self.source_length, _LEAST_SOURCE)),
            _power_of_two(max(self.slots, _LEAST_SLOTS)),
        )

    def holds(self, needed: Size) -> bool:
        """True if there is room for what is needed, but not much more: all of it is computed."""
        sizes = zip(*(vars(each).values() for each in (self, needed, needed.rounded())), strict=True)
        return all(least <= size <= 2 * usual for size, least, usual in sizes)


def _power_of_two(number: int) -> int:
    """The lowest power of two that is not below the number."""
    return 1 << (number - 1).bit_length()


@dataclass(eq=False)
class RecordedStep:
    """Buffers of one size, and the function that makes a step of what is in them.

    held  the views that the batch in the buffers has got; None: it has left
    """

    model: Seq2Seq
    size: Size
    state: FixedState
    search: Search
    replay: Callable[[], None] = field(init=False)
    held: tuple[State, Search] | None = field(default=None, init=False)

    @classmethod
    def for_batch(cls, model: Seq2Seq, size: Size, batch: ActiveBatch) -> RecordedStep:
        """Empty buffers for batches of this size."""
        state = FixedState.like(cast(TransformerState, batch.state), **vars(size))
        # no hypothesis has more tokens than its sentence has slots, but for BOS
        return cls(model, size, state, batch.search.blank(size.sentences, size.slots + 1))

    def has(self, state: TransformerState) -> bool:
        """True if the cross-attention keys and values of a state are in the buffers."""
        mine, others = self.state.memory.keys_and_values[0], state.memory.keys_and_values[0]
        return mine.data_ptr() == others.data_ptr()

    def compute(self) -> None:
        """Make a step, in place, as ActiveBatch.step does."""
        logits, _ = self.model.step(self.search.last_tokens, self.state)
        search, parents = self.search.advance(logits)
        if parents is not None:
            self.state.reorder(parents)
        # histories are right-aligned: the oldest column, left of every BOS, gives way to the newest
        self.search.overwrite(search)

    def holds(self, batch: ActiveBatch) -> bool:
        """True if a batch is in the buffers as it is."""
        return self.held is not None and self.held[0] is batch.state and self.held[1] is batch.search

    def load(self, batch: ActiveBatch) -> None:
        """Write a batch into the buffers, unless it is there."""
        if not self.holds(batch):
            self.state.overwrite(cast(TransformerState, batch.state))
            self.search.overwrite(batch.search)

    def advance(self, batch: ActiveBatch, count: int) -> None:
        """Make so many steps of a batch, which gets views of its sentences in the buffers."""
        self.load(batch)
        sentences, state = len(batch.indices), cast(TransformerState, batch.state)
        slots = state.cache.slots + count * state.num_hypotheses
        for _ in range(count):
            self.replay()
        batch.state, batch.search = self.held = self.state.growing(sentences, slots), self.search.first(sentences)

    def replace(self, batch: ActiveBatch, finished: Sequence[int], new: ActiveBatch) -> bool:
        """Write new sentences over the finished rows of the batch in the buffers; False: there is no room for them."""
        state, used = cast(TransformerState, new.state), cast(TransformerState, batch.state).cache.slots
        if state.memory.bias.shape[-1] > self.size.source_length or state.cache.slots > used:
            return False
        rows = batch.rows(finished)
        self.state.overwrite(state, rows)
        self.search.overwrite(new.search, rows)
        batch.indices = batch.indices_with(finished, new)
        return True

    def record(self, batch: ActiveBatch, recorder: Recorder) -> None:
        """Record a step; the batch itself stays as it is. Raises RuntimeError where that is not possible."""
        self.load(batch)
        recorder.warm_up(self.compute)
        expected = self._results(len(batch.indices))
        self.replay = recorder.record(self.compute)
        # a value that Python had computed from tensors would be that of the recording forever
        self.load(batch)
        self.replay()
        if not all(map(torch.equal, self._results(len(batch.indices)), expected)):
            raise RuntimeError("a step that was replayed differs from the same step without a graph")

    def _results(self, sentences: int) -> list[Tensor]:
        return [x[:sentences].clone() for x in vars(self.search).values() if isinstance(x, Tensor)]


@dataclass(eq=False)
class StepGraphs:
    """Decoding steps of one model and search, by graphs where they can be recorded.

    These are steps of Transformers with plain beam or greedy search: others decide on the CPU how a step continues.
    """

    model: Seq2Seq
    config: SearchConfig
    recorder: Recorder

    def __post_init__(self) -> None:
        self._addresses = _addresses(self.model)
        self._steps: list[RecordedStep] = []  # the last one was used last
        self._eager_steps: Counter[Size] = Counter()
        self._has_given_up = False

    def are_of(self, model: Seq2Seq, config: SearchConfig) -> bool:
        """True while a model's weights are those that were recorded."""
        return model is self.model and config == self.config and _addresses(model) == self._addresses

    def can_record(self, batch: ActiveBatch) -> bool:
        """True if steps of such batches are recorded, once they are many."""
        is_plain = type(batch.state) is TransformerState and type(batch.search) in (BeamSearch, GreedySearch)
        return is_plain and not self._has_given_up

    def begin(self, batch: ActiveBatch) -> None:
        """Get new sentences ready to join others: those that are recorded read their first token together with them."""
        if not self.can_record(batch):
            batch.step(self.model)
        elif isinstance(batch.search, BeamSearch):
            # as many hypotheses as later on: a first step of its own would cost as many launches as any
            batch.search = batch.search.with_all_slots()
            first = torch.zeros_like(batch.search.active_tokens[:, :, 0])
            batch.state = batch.state.reorder(first)

    def advance(self, batch: ActiveBatch, count: int) -> None:
        """Read so many more tokens of every hypothesis."""
        step = self._step_for(batch, count) if self.can_record(batch) else None
        if step is not None:
            step.advance(batch, count)
            return
        for _ in range(count):
            batch.step(self.model)

    def worth_moving(self, batch: ActiveBatch) -> float:
        """Number of sentences whose leaving makes the steps of the others faster."""
        sentences = len(batch.indices)
        if not self.can_record(batch):
            return 1
        return sentences if sentences <= _FEW_SENTENCES else sentences * _LEAVING_FRACTION

    def refill(
        self, batch: ActiveBatch, finished: Sequence[int], active: Sequence[int], new: ActiveBatch | None
    ) -> ActiveBatch | None:
        """As ActiveBatch.refill; new sentences are written into the buffers where a recorded step holds the batch."""
        if active and new is not None and len(new.indices) == len(finished):
            step = next((step for step in self._steps if step.holds(batch)), None)
            if step is not None and step.replace(batch, finished, new):
                return batch
        return batch.refill(finished, active, new)

    def close(self) -> None:
        """Drop all graphs, and free their memory."""
        self._wait()
        self._steps.clear()
        self.recorder.forget()

    def _step_for(self, batch: ActiveBatch, count: int) -> RecordedStep | None:
        """The recorded step for a batch, which has room for so many steps; None: they are made one by one."""
        state = cast(TransformerState, batch.state)
        hypotheses = state.num_hypotheses
        # a full cache is rebuilt without the slots of dropped hypotheses
        if not state.cache.has_room(count * hypotheses):
            batch.state = state = self._compacted(state)
        used = Size(len(batch.indices), state.memory.bias.shape[-1], state.cache.slots)
        needed = replace(used, slots=used.slots + count * hypotheses)
        fitting = [step for step in self._steps if step.size.holds(needed)]
        # the one with the batch in its buffers first, then the smallest
        step = min(fitting, key=lambda each: (not each.has(state), *vars(each.size).values()), default=None)
        if step is not None:
            self._steps.remove(step)
        else:
            size = replace(used, slots=used.slots + STEPS_AHEAD * hypotheses).rounded()
            self._eager_steps[size] += count
            step = self._recorded(batch, size) if self._eager_steps[size] > STEPS_BEFORE else None
        if step is not None:
            self._steps.append(step)
        return step

    def _compacted(self, state: TransformerState) -> TransformerState:
        """The state without unseen slots; without unused source positions, too, where smaller buffers would serve."""
        state = state.compacted()
        used = Size(len(state.positions), state.memory.bias.shape[-1], state.cache.slots)
        # new sentences are shorter than those whose rows they took
        if not used.holds(replace(used, source_length=state.memory.needed_length())):
            state.memory = state.memory.trimmed()
        return state

    def _recorded(self, batch: ActiveBatch, size: Size) -> RecordedStep | None:
        if len(self._steps) == MOST_GRAPHS:
            self._wait()
            del self._steps[0]
        try:
            step = RecordedStep.for_batch(self.model, size, batch)
            step.record(batch, self.recorder)
            return step
        except (RuntimeError, MemoryError) as error:
            reason = str(error).partition("\n")[0]
            logger.warning(f"decoding steps cannot be recorded as graphs, and are launched one by one: {reason}")
            self._has_given_up = True
            self.close()
            return None

    def _wait(self) -> None:
        """Wait until no graph runs any more."""
        weight = self.model.projection.weight
        if weight.is_cuda:
            torch.cuda.synchronize(weight.device)


def _addresses(model: Seq2Seq) -> list[int]:
    return [tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())]
