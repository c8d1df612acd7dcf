"""What a Transformer's decoder keeps of sentences while their translations grow.

The self-attention cache of a sentence is never reordered. Each step writes the keys and values of its K
hypotheses into K new slots, and a hypothesis sees, of all its sentence's slots, those of its own ancestors: a
beam search that goes on from other parents moves a small bias instead of all keys and values of all layers.

Letters: B sentences, K hypotheses of each, S source tokens, L slots of a sentence (K for every step), H heads, W
width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.models.visibility import HIDDEN

_ROOM = 16  # further steps that a new cache has place for at least


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

    def cropped(self) -> TransformerMemory:
        """With no more places than the longest sentence needs."""
        longest = int((self.bias == 0).sum(-1).max())
        keys, values = ([x[:, :, :longest].contiguous() for x in xs] for xs in (self.keys, self.values))
        return TransformerMemory(keys, values, self.bias[..., :longest])

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
        """With S = length: what is new is padding."""
        more = length - self.bias.shape[-1]
        if more == 0:
            return self
        keys, values = ([F.pad(x, (0, 0, 0, more)) for x in xs] for xs in (self.keys, self.values))
        return TransformerMemory(keys, values, F.pad(self.bias, (0, more), value=HIDDEN))


@dataclass(eq=False)
class TransformerState:
    """The memory, and what self-attention may see of the tokens so far.

    positions  (B,): tokens that each sentence's hypotheses have read
    steps      how many steps the caches hold; a sentence that joined later sees only the last of them
    caches     keys and values of each layer, (2, B, H, room, W); None before the first step
    bias       (B, 1, K, L): 0 where hypothesis k sees a slot
    """

    memory: TransformerMemory
    num_hypotheses: int
    positions: Tensor
    steps: int
    caches: list[Tensor | None]
    bias: Tensor

    @classmethod
    def empty(cls, memory: TransformerMemory, num_hypotheses: int, *, layers: int) -> TransformerState:
        sentences, device = len(memory.bias), memory.bias.device
        positions = torch.zeros(sentences, dtype=torch.long, device=device)
        bias = memory.bias.new_empty(sentences, 1, num_hypotheses, 0)
        return cls(memory, num_hypotheses, positions, 0, [None] * layers, bias)

    def advance(self) -> None:
        """Make slots for one more token of each hypothesis, which sees its own."""
        own = torch.full((self.num_hypotheses, self.num_hypotheses), HIDDEN, device=self.bias.device).fill_diagonal_(0)
        self.bias = torch.cat([self.bias, own.to(self.bias.dtype).expand(len(self.bias), 1, -1, -1)], dim=-1)
        self.positions = self.positions + 1
        self.steps += 1

    def extend(self, layer: int, keys_and_values: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """Write keys and values (B, H, K, W) into the slots of this step; those of all slots, (B, H, L, W)."""
        cache, used = self.caches[layer], self.steps * self.num_hypotheses
        if cache is None or used > cache.shape[3]:
            cache = keys_and_values[0][None, :, :, :0].expand(2, -1, -1, -1, -1) if cache is None else cache
            room = (self.steps + max(_ROOM, self.steps)) * self.num_hypotheses
            cache = self.caches[layer] = _with_room(cache, cache.shape[1], room)
        for kept, new in zip(cache, keys_and_values, strict=True):
            kept[:, :, used - self.num_hypotheses : used] = new
        return cache[0, :, :, :used], cache[1, :, :, :used]

    def reorder(self, parents: Tensor) -> TransformerState:
        hypotheses = parents[:, None, :, None].expand(-1, -1, -1, self.bias.shape[-1])
        return replace(self, bias=self.bias.gather(2, hypotheses))

    def keep(self, sentences: Tensor) -> TransformerState:
        kept = replace(
            self,
            memory=self.memory.keep(sentences),
            positions=self.positions.index_select(0, sentences),
            bias=self.bias.index_select(0, sentences),
        )
        kept._crop(int(kept.positions.max()), sentences)
        return kept

    def join(self, other: TransformerState) -> TransformerState:
        steps = max(self.steps, other.steps)
        return TransformerState(
            self.memory.join(other.memory),
            self.num_hypotheses,
            torch.cat([self.positions, other.positions]),
            steps,
            [self._joined(other, layer, steps) for layer in range(len(self.caches))],
            torch.cat([self._bias_of(steps), other._bias_of(steps)]),
        )

    def replace(self, sentences: Tensor, other: TransformerState) -> TransformerState:
        assert other.steps == 0, "what takes the place of another has not begun"
        replaced = replace(
            self,
            memory=self.memory.replace(sentences, other.memory),
            positions=self.positions.index_copy(0, sentences, other.positions),
            bias=self.bias.index_copy(0, sentences, other._bias_of(self.steps)),
        )
        # what was kept of sentences that have left goes on costing attention
        needed = int(replaced.positions.max())
        if self.steps - needed >= _ROOM // 2:
            replaced.memory = replaced.memory.cropped()
            replaced._crop(needed, None)
        return replaced

    def _crop(self, steps: int, sentences: Tensor | None) -> None:
        """Only the slots of the last steps, of these sentences or of all, with room for more."""
        first, last = ((self.steps - steps) * self.num_hypotheses, self.steps * self.num_hypotheses)
        for layer, cache in enumerate(self.caches):
            if cache is not None:
                used = cache[:, :, :, first:last]
                used = used if sentences is None else used.index_select(1, sentences)
                self.caches[layer] = _with_room(used, used.shape[1], (steps + _ROOM) * self.num_hypotheses)
        self.bias = self.bias[..., first:]
        self.steps = steps

    def _bias_of(self, steps: int) -> Tensor:
        """The bias, as if there had been so many steps."""
        return F.pad(self.bias, (steps * self.num_hypotheses - self.bias.shape[-1], 0), value=HIDDEN)

    def _joined(self, other: TransformerState, layer: int, steps: int) -> Tensor | None:
        """The caches of both, so that their last steps are the same; what nobody sees must still be numbers."""
        known = self.caches[layer] if self.caches[layer] is not None else other.caches[layer]
        if known is None:
            return None
        sentences, last = len(self.positions) + len(other.positions), steps * self.num_hypotheses
        joined = _with_room(known[:, :, :, :0], sentences, last + _ROOM * self.num_hypotheses)
        start = 0
        for state in (self, other):
            cache, used, stop = state.caches[layer], state.steps * self.num_hypotheses, start + len(state.positions)
            joined[:, start:stop, :, : last - used] = 0
            if cache is not None:
                joined[:, start:stop, :, last - used : last] = cache[:, :, :, :used]
            start = stop
        return joined


def _with_room(cache: Tensor, sentences: int, slots: int) -> Tensor:
    """A cache (2, B, H, L, W) at the beginning of a larger one."""
    _, _, heads, used, width = cache.shape
    larger = cache.new_empty(2, sentences, heads, slots, width)
    larger[:, : cache.shape[1], :, :used] = cache
    return larger
