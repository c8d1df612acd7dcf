"""A Transformer's decoder state of a fixed size, which a step changes in place, so that it can be recorded.

A recorded step (translate/recording.py) repeats the same kernels on the same addresses. The slots that it writes to are
numbers on the device, therefore, and hypotheses attend to all slots, those not yet in use being masked.

Letters as in kv_cache.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from translate.models.kv_cache import LayerCache, TransformerState, own_slots


class FixedCache(LayerCache):
    """Keys and values of one layer, (2, B, H, R, W), of which all slots are read.

    newest  (K,) int64: slots of the newest tokens, the same tensor in all layers
    """

    keys_and_values: Tensor

    def __init__(self, keys_and_values: Tensor, newest: Tensor):
        super().__init__(keys_and_values.shape[3], keys_and_values)
        self.newest = newest

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.keys_and_values[0], self.keys_and_values[1]
        keys.index_copy_(2, self.newest, key)
        values.index_copy_(2, self.newest, value)
        return keys, values


@dataclass(eq=False)
class FixedState(TransformerState):
    """A state of R slots, of which L are in use: those up to the newest tokens'. Every method works in place."""

    @classmethod
    def like(cls, state: TransformerState, *, sentences: int, source_length: int, slots: int) -> FixedState:
        """A state with room for so much; number of hypotheses, types and device as those of a state that has begun."""
        newest = torch.zeros(state.num_hypotheses, dtype=torch.long, device=state.bias.device)
        known = state.caches[0].keys_and_values
        assert known is not None, "the state has read no token"
        _, _, heads, _, width = known.shape
        # zeros: a weight of zero times a NaN in a slot that is not in use would be NaN
        caches = [FixedCache(known.new_zeros(2, sentences, heads, slots, width), newest) for _ in state.caches]
        return cls(
            memory=state.memory.blank(sentences, source_length),
            positions=state.positions.new_zeros(sentences),
            caches=cast(list[LayerCache], caches),
            bias=state.bias.new_zeros(sentences, 1, state.num_hypotheses, slots),
        )

    @property
    def newest(self) -> Tensor:
        return cast(FixedCache, self.caches[0]).newest

    def overwrite(self, other: TransformerState) -> None:
        """Write the other's sentences into the first rows; keys and values that are views of these stay as they are."""
        super().overwrite(cast(FixedState, other))  # masks the slots that are not in use
        slots, rows = other.caches[0].slots, len(other.positions)
        for mine, new in zip(self.caches, other.caches, strict=True):
            assert mine.keys_and_values is not None
            assert new.keys_and_values is not None
            used, written = mine.keys_and_values[:, :rows, :, :slots], new.keys_and_values[:, :, :, :slots]
            if not used.is_set_to(written):
                used.copy_(written)
        self.newest.copy_(torch.arange(slots - self.num_hypotheses, slots, device=self.newest.device))

    def advance(self) -> None:
        self.newest.add_(self.num_hypotheses)
        own = own_slots(self.num_hypotheses, self.bias.device, self.bias.dtype)
        self.bias.index_copy_(3, self.newest, own.expand(len(self.bias), 1, -1, -1))
        self.positions.add_(1)

    def reorder(self, parents: Tensor) -> FixedState:
        self.bias.copy_(super().reorder(parents).bias)
        return self

    def growing(self, sentences: int, slots: int) -> TransformerState:
        """Views of the first sentences and slots, as a state that can grow and be rearranged."""
        caches = []
        for cache in self.caches:
            assert cache.keys_and_values is not None
            caches.append(LayerCache(slots, cache.keys_and_values[:, :sentences]))
        memory, bias = self.memory.first(sentences), self.bias[:sentences, :, :, :slots]
        return TransformerState(memory, self.positions[:sentences], caches, bias)
