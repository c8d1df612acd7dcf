"""KV caches of a Transformer's decoder while translations grow.

The self-attention cache of a sentence is never reordered. Each step writes the keys and values of the K hypotheses
into K new slots, and a hypothesis attends to those slots of its sentence that belong to its own ancestors. Reordering
hypotheses only gathers this small attention bias; keys and values stay where they are. When the cache is full, slots
that no active hypothesis attends to are dropped: most of them, since hypotheses soon have common ancestors.

Letters: B sentences, K hypotheses of each, S source tokens, L slots of a sentence, R slots that there is room for, H
heads, W width of a head.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from translate.models.layers import mask_value
from translate.models.seq2seq import BatchedState, Padding, State

STEPS_AHEAD = 16  # steps that a new cache has room for at least


@dataclass(frozen=True, eq=False)
class TransformerMemory(BatchedState):
    """Cross-attention keys and values of the source, computed once per sentence.

    keys, values  (B, H, S, W) of every decoder layer
    bias          (B, 1, 1, S): masks padding
    """

    PADDED: ClassVar = {"keys": Padding(-2), "values": Padding(-2), "bias": Padding(-1, mask_value)}

    keys: list[Tensor]
    values: list[Tensor]
    bias: Tensor

    def needed_length(self) -> int:
        return int((self.bias == 0).sum(-1).max())

    def replace(self, rows: Tensor, other: TransformerMemory) -> TransformerMemory:
        # in place: a copy of all keys and values would cost more than the step that follows
        return self._combine(
            lambda mine, new: mine.index_copy_(0, rows, new), lambda mine, new: mine.replace(rows, new), other
        )


class LayerCache:
    """Self-attention keys and values of one layer, (2, B, H, R, W), of which the first L slots are in use."""

    def __init__(self, slots: int = 0, keys_and_values: Tensor | None = None):
        self.slots = slots
        self.keys_and_values = keys_and_values  # None before the first token

    def has_room(self, slots: int) -> bool:
        return self.keys_and_values is None or self.slots + slots <= self.keys_and_values.shape[3]

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write the newest keys and values (B, H, K, W) into the next slots; returns all, (B, H, L, W) each."""
        # K hypotheses of a sentence take K slots, whichever of them survive
        start, self.slots = self.slots, self.slots + key.shape[2]
        if self.keys_and_values is None:
            sentences, heads, hypotheses, width = key.shape
            # keys and values in one tensor, so that a selection copies both at once
            self.keys_and_values = key.new_empty(2, sentences, heads, _room(self.slots, hypotheses), width)
        written = self.keys_and_values.narrow(3, 0, self.slots)  # a view: the cache is not copied
        newest = written.narrow(3, start, key.shape[2])
        newest[0].copy_(key)
        newest[1].copy_(value)
        return written[0], written[1]

    def select(self, rows: Tensor, slots: Tensor, num_hypotheses: int) -> LayerCache:
        """Keep these sentences, (B',), and of each these slots, (B', L')."""
        if self.keys_and_values is None:
            return self
        kept = self.keys_and_values[:, rows[:, None], :, slots].permute(2, 0, 3, 1, 4)  # from (B', L', 2, H, W)
        needed = slots.shape[1]
        # the free slots need no values: append() writes them before they are read
        larger = kept.new_empty(*kept.shape[:3], _room(needed, num_hypotheses), kept.shape[4])
        larger[:, :, :, :needed] = kept
        return LayerCache(needed, larger)

    def concat(self, other: LayerCache, sentences: tuple[int, int], num_hypotheses: int) -> LayerCache:
        """The caches of both, of so many sentences each."""
        # either may not have read a token yet
        known = self.keys_and_values if self.keys_and_values is not None else other.keys_and_values
        if known is None:
            return self
        _, _, heads, _, width = known.shape
        slots = max(self.slots, other.slots)
        joined = known.new_empty(2, sum(sentences), heads, _room(slots, num_hypotheses), width)
        for cache, rows in zip((self, other), joined.split(sentences, dim=1), strict=True):
            if cache.keys_and_values is not None:
                rows[:, :, :, : cache.slots] = cache.keys_and_values[:, :, :, : cache.slots]
            # masked slots must be numbers: a weight of zero times NaN would be NaN
            rows[:, :, :, cache.slots : slots] = 0
        return LayerCache(slots, joined)

    def replace(self, rows: Tensor, other: LayerCache) -> LayerCache:
        """Write the other's sentences into `rows`, in place."""
        # slots beyond the other's keep old values, which its padded bias masks
        if self.keys_and_values is not None and other.keys_and_values is not None:
            self.keys_and_values[:, rows, :, : other.slots] = other.keys_and_values[:, :, :, : other.slots]
        return self


@dataclass(eq=False)
class TransformerState(State):
    """The memory, and the self-attention cache of the tokens so far.

    positions  (B,): tokens that each sentence's hypotheses have read
    caches     of each layer
    bias       (B, 1, K, L): 0 where a hypothesis sees a slot
    """

    PADDED: ClassVar = {"bias": Padding(-1, mask_value)}

    memory: TransformerMemory
    positions: Tensor
    caches: list[LayerCache]
    bias: Tensor

    @classmethod
    def empty(cls, memory: TransformerMemory) -> TransformerState:
        positions = torch.zeros(len(memory.bias), dtype=torch.long, device=memory.bias.device)
        caches = [LayerCache() for _ in memory.keys]
        return cls(memory, positions, caches, memory.bias.new_empty(len(positions), 1, 1, 0))

    @property
    def num_hypotheses(self) -> int:
        """K"""
        return self.bias.shape[2]

    def advance(self) -> None:
        """Make slots for one more token of each hypothesis, which sees its own."""
        # all caches are of one size; a full one is rebuilt without the slots of dropped hypotheses
        if not self.caches[0].has_room(self.num_hypotheses):
            self._compact(torch.arange(len(self.positions), device=self.bias.device))
        own = own_slots(self.num_hypotheses, self.bias.device, self.bias.dtype)
        # (B, 1, K, L + K): a new slot is seen by its own hypothesis alone
        self.bias = torch.cat([self.bias, own.expand(len(self.bias), 1, -1, -1)], dim=-1)
        self.positions = self.positions + 1

    def reorder(self, parents: Tensor) -> TransformerState:
        # a hypothesis inherits what its parent sees; the slots themselves stay
        hypotheses = parents[:, None, :, None].expand(-1, -1, -1, self.bias.shape[-1])
        return dataclasses.replace(self, bias=self.bias.gather(2, hypotheses))

    def select(self, rows: Tensor) -> TransformerState:
        selected = dataclasses.replace(self)  # _compact() replaces the fields of the copy
        selected._compact(rows)
        return selected

    def _compact(self, rows: Tensor) -> None:
        """Keep the sentences `rows`, and of their slots those that a hypothesis still sees."""
        bias = self.bias.index_select(0, rows)
        seen = (bias == 0).any(dim=2).squeeze(1)  # (B', L)
        needed = int(seen.sum(dim=1).max())
        # seen slots first, in their order: a stable sort of flags
        slots = seen.byte().argsort(dim=1, descending=True, stable=True)[:, :needed]
        self.caches = [cache.select(rows, slots, self.num_hypotheses) for cache in self.caches]
        # a sentence that needs fewer slots keeps unseen ones, which stay masked
        self.bias = bias.gather(3, slots[:, None, None].expand(-1, -1, self.num_hypotheses, -1))
        self.positions = self.positions.index_select(0, rows)
        self.memory = self.memory.select(rows)

    def concat(self, other: TransformerState) -> TransformerState:
        sentences = len(self.positions), len(other.positions)
        pairs = zip(self.caches, other.caches, strict=True)
        caches = [mine.concat(new, sentences, self.num_hypotheses) for mine, new in pairs]
        return dataclasses.replace(super().concat(other), caches=caches)

    def replace(self, rows: Tensor, other: TransformerState) -> TransformerState:
        assert other.bias.shape[-1] <= self.bias.shape[-1], "sentences that replace others have hardly begun"
        caches = [mine.replace(rows, new) for mine, new in zip(self.caches, other.caches, strict=True)]
        return dataclasses.replace(super().replace(rows, other), caches=caches)


@functools.cache
def own_slots(num_hypotheses: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Bias (K, K) of slots that each belong to one hypothesis; cached, since every step needs it."""
    hidden = torch.full((num_hypotheses, num_hypotheses), mask_value(dtype), device=device, dtype=dtype)
    return hidden.fill_diagonal_(0)


def _room(slots: int, num_hypotheses: int) -> int:
    """Number of slots of a new cache, of which so many are needed at once."""
    # doubled at least, so that copying costs each token a constant on average
    return slots + max(STEPS_AHEAD * num_hypotheses, slots)
