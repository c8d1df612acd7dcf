"""KV caches of a Transformer's decoder while translations grow.

The self-attention cache of a sentence is never reordered. Each step writes the keys and values of the K hypotheses
into K new slots, and a hypothesis attends to those slots of its sentence that belong to its own ancestors. Reordering
hypotheses only gathers this small attention bias; keys and values stay where they are. When the cache is full, slots
that no active hypothesis attends to are dropped: most of them, since hypotheses soon have common ancestors.

Keys and values lie in one tensor for each group of layers: on a GPU all layers are one group, so that sentences join,
leave and move in a few launches; on a CPU each layer is one, as large blocks of memory are slow to allocate.

Letters: B sentences, K hypotheses of each, S source tokens, L slots of a sentence, R slots that there is room for, H
heads, W width of a head, G layers of a group.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from translate.models.layers import mask_value
from translate.models.seq2seq import BatchedState, Padding, State

STEPS_AHEAD = 16  # steps that a new cache has room for at least


@dataclass(frozen=True, eq=False)
class TransformerMemory(BatchedState):
    """Cross-attention keys and values of the source, computed once per sentence.

    keys_and_values  (G, 2, B, H, S, W) of every group of decoder layers
    bias             (B, 1, 1, S): masks padding
    """

    PADDED: ClassVar = {"keys_and_values": Padding(-2), "bias": Padding(-1, mask_value)}
    SENTENCES: ClassVar = {"keys_and_values": 2}

    keys_and_values: list[Tensor]
    bias: Tensor

    @classmethod
    def of(cls, projected: Sequence[Tensor], bias: Tensor, *, num_heads: int, head_width: int) -> TransformerMemory:
        """Memory of the projections of every group, (B, S, G * 2D)."""
        groups = [x.unflatten(-1, (-1, 2, num_heads, head_width)).permute(2, 3, 0, 4, 1, 5) for x in projected]
        return cls([group.contiguous() for group in groups], bias)  # contiguous, because every step reads them

    @functools.cached_property
    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of every layer, (B, H, S, W) each."""
        return [(layer[0], layer[1]) for group in self.keys_and_values for layer in group]

    def needed_length(self) -> int:
        return int((self.bias == 0).sum(-1).max())

    def replace(self, rows: Tensor, other: TransformerMemory) -> TransformerMemory:
        # in place: a copy of all keys and values would cost more than the step that follows
        return self._combine(
            lambda layout, mine, new: mine.index_copy_(layout.sentences, rows, new),
            lambda mine, new: mine.replace(rows, new),
            other,
        )


class LayerCache(Protocol):
    """Self-attention keys and values of one layer."""

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the newest keys and values (B, H, K, W) into the next slots; returns all, (B, H, L, W) each."""


@dataclass(frozen=True, eq=False)
class GrowingLayer:
    """A layer of a cache of which the first slots are in use, those of the newest tokens being the last.

    keys_and_values  (2, B, H, L, W)
    """

    keys_and_values: Tensor

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        hypotheses = key.shape[2]
        newest = self.keys_and_values.narrow(3, self.keys_and_values.shape[3] - hypotheses, hypotheses)
        newest[0].copy_(key)
        newest[1].copy_(value)
        return self.keys_and_values[0], self.keys_and_values[1]


class KeyValueCache:
    """Self-attention keys and values of all layers.

    groups  (G, 2, B, H, R, W) of every group of layers
    slots   L, the number of the first slots that are in use
    """

    def __init__(self, groups: list[Tensor], slots: int):
        self.groups, self.slots = groups, slots
        self._layers = [layer for group in groups for layer in group]  # views, once for all steps

    @classmethod
    def empty(cls, memory: TransformerMemory) -> KeyValueCache:
        """A cache before the first token: heads, width and type are those of the cross-attention."""
        return cls([_with_room(group, group.shape[2], _room(1, 1)) for group in memory.keys_and_values], 0)

    def has_room(self, slots: int) -> bool:
        return self.slots + slots <= self.groups[0].shape[4]

    def layers(self) -> Sequence[LayerCache]:
        """The layers with the slots in use; views, the cache is not copied."""
        return [GrowingLayer(layer.narrow(3, 0, self.slots)) for layer in self._layers]

    def select(self, rows: Tensor, slots: Tensor, num_hypotheses: int) -> KeyValueCache:
        """Keep these sentences, (B',), and of each these slots, (B', L')."""
        needed, groups = slots.shape[1], []
        for group in self.groups:
            kept = group[:, :, rows[:, None], :, slots].permute(2, 3, 0, 4, 1, 5)  # from (B', L', G, 2, H, W)
            # the free slots need no values: append() writes them before they are read
            larger = _with_room(group, len(rows), _room(needed, num_hypotheses))
            larger[:, :, :, :, :needed] = kept
            groups.append(larger)
        return KeyValueCache(groups, needed)

    def concat(self, other: KeyValueCache, num_hypotheses: int) -> KeyValueCache:
        """The sentences of both."""
        slots, groups = max(self.slots, other.slots), []
        for mine, new in zip(self.groups, other.groups, strict=True):
            sentences = mine.shape[2], new.shape[2]
            joined = _with_room(mine, sum(sentences), _room(slots, num_hypotheses))
            parts = joined.split(sentences, dim=2)
            for part, group, used in zip(parts, (mine, new), (self.slots, other.slots), strict=True):
                part[:, :, :, :, :used] = group[:, :, :, :, :used]
                # masked slots must be numbers: a weight of zero times NaN would be NaN
                part[:, :, :, :, used:slots] = 0
            groups.append(joined)
        return KeyValueCache(groups, slots)

    def replace(self, rows: Tensor, other: KeyValueCache) -> None:
        """Write the other's sentences into `rows`, in place."""
        # slots beyond the other's keep old values, which its padded bias masks
        for mine, new in zip(self.groups, other.groups, strict=True):
            if other.slots:
                mine[:, :, rows, :, : other.slots] = new[:, :, :, :, : other.slots]


@dataclass(eq=False)
class TransformerState(State):
    """The memory, and the self-attention cache of the tokens so far.

    positions  (B,): tokens that each sentence's hypotheses have read
    bias       (B, 1, K, L): 0 where a hypothesis sees a slot
    """

    PADDED: ClassVar = {"bias": Padding(-1, mask_value)}

    memory: TransformerMemory
    positions: Tensor
    cache: KeyValueCache
    bias: Tensor

    @classmethod
    def empty(cls, memory: TransformerMemory) -> TransformerState:
        positions = torch.zeros(len(memory.bias), dtype=torch.long, device=memory.bias.device)
        return cls(memory, positions, KeyValueCache.empty(memory), memory.bias.new_empty(len(positions), 1, 1, 0))

    @property
    def num_hypotheses(self) -> int:
        """K"""
        return self.bias.shape[2]

    def advance(self) -> None:
        """Make slots for one more token of each hypothesis, which sees its own."""
        # a full cache is rebuilt without the slots of dropped hypotheses
        if not self.cache.has_room(self.num_hypotheses):
            self._drop_slots()
            self.memory = self.memory.trimmed()
        # K hypotheses of a sentence take K slots, whichever of them survive
        self.cache.slots += self.num_hypotheses
        own = own_slots(self.num_hypotheses, self.bias.device, self.bias.dtype)
        # (B, 1, K, L + K): a new slot is seen by its own hypothesis alone
        self.bias = torch.cat([self.bias, own.expand(len(self.bias), 1, -1, -1)], dim=-1)
        self.positions = self.positions + 1

    def reorder(self, parents: Tensor) -> TransformerState:
        # a hypothesis inherits what its parent sees; the slots themselves stay
        hypotheses = parents[:, None, :, None].expand(-1, -1, -1, self.bias.shape[-1])
        return dataclasses.replace(self, bias=self.bias.gather(2, hypotheses))

    def select(self, rows: Tensor) -> TransformerState:
        selected = dataclasses.replace(
            self,
            memory=self.memory.select(rows),
            positions=self.positions.index_select(0, rows),
            bias=self.bias.index_select(0, rows),
        )
        selected._drop_slots(rows)
        return selected

    def compacted(self) -> TransformerState:
        """These sentences without the slots that no hypothesis sees any more; memory and positions are the same."""
        compacted = dataclasses.replace(self)  # _drop_slots() replaces the fields of the copy
        compacted._drop_slots()
        return compacted

    def _drop_slots(self, rows: Tensor | None = None) -> None:
        """Keep the slots that a hypothesis still sees, for the sentences of the bias: those of `rows` in the cache."""
        rows = torch.arange(len(self.bias), device=self.bias.device) if rows is None else rows
        seen = (self.bias == 0).any(dim=2).squeeze(1)  # (B, L)
        needed = int(seen.sum(dim=1).max())
        # seen slots first, in their order: a stable sort of flags
        slots = seen.byte().argsort(dim=1, descending=True, stable=True)[:, :needed]
        self.cache = self.cache.select(rows, slots, self.num_hypotheses)
        # a sentence that needs fewer slots keeps unseen ones, which stay masked
        self.bias = self.bias.gather(3, slots[:, None, None].expand(-1, -1, self.num_hypotheses, -1))

    def concat(self, other: TransformerState) -> TransformerState:
        return dataclasses.replace(super().concat(other), cache=self.cache.concat(other.cache, self.num_hypotheses))

    def replace(self, rows: Tensor, other: TransformerState) -> TransformerState:
        assert other.bias.shape[-1] <= self.bias.shape[-1], "sentences that replace others have hardly begun"
        self.cache.replace(rows, other.cache)
        return super().replace(rows, other)


@functools.cache
def own_slots(num_hypotheses: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Bias (K, K) of slots that each belong to one hypothesis; cached, since every step needs it."""
    hidden = torch.full((num_hypotheses, num_hypotheses), mask_value(dtype), device=device, dtype=dtype)
    return hidden.fill_diagonal_(0)


def _with_room(group: Tensor, sentences: int, slots: int) -> Tensor:
    """Keys and values of a group like this one, for so many sentences and slots, not initialised."""
    layers, parts, _, heads, _, width = group.shape
    return group.new_empty(layers, parts, sentences, heads, slots, width)


def _room(slots: int, num_hypotheses: int) -> int:
    """Number of slots of a new cache, of which so many are needed at once."""
    # doubled at least, so that copying costs each token a constant on average
    return slots + max(STEPS_AHEAD * num_hypotheses, slots)
