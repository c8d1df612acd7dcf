"""KV caches of a Transformer's decoder while translations grow.

The self-attention cache of a sentence is never reordered. Each step writes the keys and values of the K hypotheses
into K new slots, and a hypothesis attends to those slots of its sentence that belong to its own ancestors. Reordering
hypotheses only gathers this small attention bias; keys and values stay where they are. When the cache is full, slots
that no active hypothesis attends to are dropped: most of them, since hypotheses soon have common ancestors.

Letters: B sentences, K hypotheses of each, S source tokens, L slots of a sentence, H heads, W
width of a head.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.models.visibility import hidden_bias

_STEPS_AHEAD = 16  # that a new cache has place for at least


@dataclass(frozen=True, eq=False)
class TransformerMemory:
    """Cross-attention keys and values (B, H, S, W) of every decoder layer: once per sentence."""

    keys: list[Tensor]
    values: list[Tensor]
    bias: Tensor  # (B, 1, 1, S): what is padding

    def keep(self, sentences: Tensor) -> TransformerMemory:
        bias = self.bias.index_select(0, sentences)
        longest = int((bias == 0).sum(-1).max())
        keys, values = ([x[:, :, :longest].index_select(0, sentences) for x in xs] for xs in (self.keys, self.values))
        return TransformerMemory(keys, values, bias[..., :longest])

    def join(self, other: TransformerMemory) -> TransformerMemory:
        length = max(self.bias.shape[-1], other.bias.shape[-1])
        mine, others = self._lengthened(length), other._lengthened(length)
        keys, values = (
            [torch.cat(pair) for pair in zip(xs, ys, strict=True)]
            for xs, ys in ((mine.keys, others.keys), (mine.values, others.values))
        )
        return TransformerMemory(keys, values, torch.cat([mine.bias, others.bias]))

    def replace(self, sentences: Tensor, other: TransformerMemory) -> TransformerMemory:
        length = max(self.bias.shape[-1], other.bias.shape[-1])
        mine, others = self._lengthened(length), other._lengthened(length)
        for x, new in zip(mine.keys + mine.values, others.keys + others.values, strict=True):
            x.index_copy_(0, sentences, new)
        return replace(mine, bias=mine.bias.index_copy(0, sentences, others.bias))

    def _lengthened(self, length: int) -> TransformerMemory:
        """The memory padded to S = length."""
        more = length - self.bias.shape[-1]
        if more == 0:
            return self
        keys, values = ([F.pad(x, (0, 0, 0, more)) for x in xs] for xs in (self.keys, self.values))
        return TransformerMemory(keys, values, _with_slots(self.bias, length))


@dataclass(eq=False)
class TransformerState:
    """The memory, and what self-attention may see of the tokens so far.

    positions  (B,): tokens that each sentence's hypotheses have read
    caches     keys and values of each layer, (2, B, H, room, W); None before the first step
    bias       (B, 1, K, L): 0 where hypothesis k sees a slot
    """

    memory: TransformerMemory
    positions: Tensor
    caches: list[Tensor | None]
    bias: Tensor

    @classmethod
    def empty(cls, memory: TransformerMemory, *, layers: int) -> TransformerState:
        positions = torch.zeros(len(memory.bias), dtype=torch.long, device=memory.bias.device)
        return cls(memory, positions, [None] * layers, memory.bias.new_empty(len(positions), 1, 1, 0))

    @property
    def num_hypotheses(self) -> int:
        """K"""
        return self.bias.shape[2]

    @property
    def slots(self) -> int:
        """L"""
        return self.bias.shape[-1]

    def advance(self) -> None:
        """Make slots for one more token of each hypothesis, which sees its own."""
        cache = self.caches[0]
        if cache is not None and self.slots + self.num_hypotheses > cache.shape[3]:
            self._compact(torch.arange(len(self.positions), device=self.bias.device))
        own = _own_slots(self.num_hypotheses, self.bias.device, self.bias.dtype)
        self.bias = torch.cat([self.bias, own.expand(len(self.bias), 1, -1, -1)], dim=-1)
        self.positions = self.positions + 1

    def extend(self, layer: int, key_and_value: Tensor) -> tuple[Tensor, Tensor]:
        """Write key and value (2, B, H, K, W) into the newest slots; those of all slots, (B, H, L, W) each."""
        cache = self.caches[layer]
        if cache is None:
            room = _room(self.slots, self.num_hypotheses)
            cache = key_and_value.new_empty(*key_and_value.shape[:3], room, key_and_value.shape[-1])
            self.caches[layer] = cache
        written = cache.narrow(3, 0, self.slots)
        written.narrow(3, self.slots - self.num_hypotheses, self.num_hypotheses).copy_(key_and_value)
        key, value = written.unbind()
        return key, value

    def _compact(self, sentences: Tensor) -> None:
        """Keep these sentences, and of their slots those that a hypothesis still sees."""
        bias = self.bias.index_select(0, sentences)
        seen = (bias == 0).any(dim=2).squeeze(1)  # (B, L)
        needed = int(seen.sum(dim=1).max())
        slots = seen.byte().argsort(dim=1, descending=True, stable=True)[:, :needed]
        for layer, cache in enumerate(self.caches):
            if cache is not None:
                kept = cache[:, sentences[:, None], :, slots].permute(2, 0, 3, 1, 4)  # from (B, L, 2, H, W)
                self.caches[layer] = _with_room(kept, needed, self.num_hypotheses)
        self.bias = bias.gather(3, slots[:, None, None].expand(-1, -1, self.num_hypotheses, -1))
        self.positions = self.positions.index_select(0, sentences)
        self.memory = self.memory.keep(sentences)

    def reorder(self, parents: Tensor) -> TransformerState:
        hypotheses = parents[:, None, :, None].expand(-1, -1, -1, self.slots)
        return replace(self, bias=self.bias.gather(2, hypotheses))

    def keep(self, sentences: Tensor) -> TransformerState:
        kept = replace(self)
        kept._compact(sentences)
        return kept

    def join(self, other: TransformerState) -> TransformerState:
        slots = max(self.slots, other.slots)
        return replace(
            self,
            memory=self.memory.join(other.memory),
            positions=torch.cat([self.positions, other.positions]),
            caches=[self._joined(other, layer, slots) for layer in range(len(self.caches))],
            bias=torch.cat([_with_slots(self.bias, slots), _with_slots(other.bias, slots)]),
        )

    def replace(self, sentences: Tensor, other: TransformerState) -> TransformerState:
        assert other.slots <= self.slots, "what takes the place of another has hardly begun"
        for mine, new in zip(self.caches, other.caches, strict=True):
            if mine is not None and new is not None:
                mine[:, sentences, :, : other.slots] = new[:, :, :, : other.slots]
        return replace(
            self,
            memory=self.memory.replace(sentences, other.memory),
            positions=self.positions.index_copy(0, sentences, other.positions),
            bias=self.bias.index_copy(0, sentences, _with_slots(other.bias, self.slots)),
        )

    def _joined(self, other: TransformerState, layer: int, slots: int) -> Tensor | None:
        """The caches of both; what nobody sees must still be numbers."""
        known = self.caches[layer] if self.caches[layer] is not None else other.caches[layer]
        if known is None:
            return None
        _, _, heads, _, width = known.shape
        sentences = len(self.positions) + len(other.positions)
        joined = known.new_empty(2, sentences, heads, _room(slots, self.num_hypotheses), width)
        start = 0
        for state in (self, other):
            stop = start + len(state.positions)
            cache = state.caches[layer]
            if cache is not None:
                joined[:, start:stop, :, : state.slots] = cache[:, :, :, : state.slots]
            joined[:, start:stop, :, state.slots : slots] = 0
            start = stop
        return joined


@functools.cache
def _own_slots(num_hypotheses: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The bias (K, K) of slots that each belong to one hypothesis; made once, since it is needed in every step."""
    hidden = torch.full((num_hypotheses, num_hypotheses), hidden_bias(dtype), device=device, dtype=dtype)
    return hidden.fill_diagonal_(0)


def _with_room(cache: Tensor, slots: int, num_hypotheses: int) -> Tensor:
    """A cache (2, B, H, L, W) at the beginning of a larger one."""
    larger = cache.new_empty(*cache.shape[:3], _room(slots, num_hypotheses), cache.shape[4])
    larger[:, :, :, :slots] = cache
    return larger


def _room(slots: int, num_hypotheses: int) -> int:
    """Number of slots of a new cache, of which so many are needed at once."""
    return slots + max(_STEPS_AHEAD * num_hypotheses, slots)


def _with_slots(bias: Tensor, slots: int) -> Tensor:
    """The bias with further slots, or source tokens, that are hidden."""
    return F.pad(bias, (0, slots - bias.shape[-1]), value=hidden_bias(bias.dtype))
