"""A Transformer's decoder state of a fixed size, which a step changes in place, so that it can be recorded.

A recorded step (translate/recording.py) repeats the same kernels on the same addresses. The slots that it writes to are
numbers on the device, therefore, and hypotheses attend to all slots, those not yet in use being masked.

Letters as in kv_cache.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from translate.models.kv_cache import KeyValueCache, LayerCache, TransformerState, own_slots


@dataclass(frozen=True, eq=False)
class FixedLayer:
    """A layer of a FixedCache: keys and values (2, B, H, R, W), of which all slots are read."""

    keys_and_values: Tensor
    newest: Tensor

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        keys, values = self.keys_and_values[0], self.keys_and_values[1]
        keys.index_copy_(2, self.newest, key)
        values.index_copy_(2, self.newest, value)
        return keys, values


class FixedCache(KeyValueCache):
    """Keys and values of all layers, of which all slots are read.

    newest  (K,) int64: slots of the newest tokens
    """

    def __init__(self, groups: list[Tensor], newest: Tensor):
        super().__init__(groups, groups[0].shape[4])
        self.newest = newest

    def layers(self) -> Sequence[LayerCache]:
        return [FixedLayer(layer, self.newest) for layer in self._layers]

    def overwrite(self, other: KeyValueCache, num_hypotheses: int) -> None:
        """Write the other's sentences into the first rows; views of these stay as they are."""
        for mine, new in zip(self.groups, other.groups, strict=True):
            used = mine[:, :, : new.shape[2], :, : other.slots]
            written = new[:, :, :, :, : other.slots]
            if not used.is_set_to(written):
                used.copy_(written)
        torch.arange(other.slots - num_hypotheses, other.slots, out=self.newest)


@dataclass(eq=False)
class FixedState(TransformerState):
    """A state of R slots, of which L are in use: those up to the newest tokens'. Every method works in place."""

    cache: FixedCache

    @classmethod
    def like(cls, state: TransformerState, *, sentences: int, source_length: int, slots: int) -> FixedState:
        """A state with room for so much; number of hypotheses, types and device as those of another."""
        # zeros: a weight of zero times a NaN in a slot that is not in use would be NaN
        groups = []
        for group in state.cache.groups:
            layers, parts, _, heads, _, width = group.shape
            groups.append(group.new_zeros(layers, parts, sentences, heads, slots, width))
        return cls(
            memory=state.memory.blank(sentences, source_length),
            positions=state.positions.new_zeros(sentences),
            cache=FixedCache(groups, state.positions.new_zeros(state.num_hypotheses)),
            bias=state.bias.new_zeros(sentences, 1, state.num_hypotheses, slots),
        )

    def overwrite(self, other: TransformerState, rows: Tensor | None = None) -> None:
        """Write the other's sentences into the first rows, or into `rows` of the sentences in translation."""
        super().overwrite(cast(FixedState, other), rows)  # masks the slots that are not in use
        if rows is None:
            self.cache.overwrite(other.cache, self.num_hypotheses)
        else:
            self.cache.replace(rows, other.cache)

    def advance(self) -> None:
        self.cache.newest.add_(self.num_hypotheses)
        own = own_slots(self.num_hypotheses, self.bias.device, self.bias.dtype)
        self.bias.index_copy_(3, self.cache.newest, own.expand(len(self.bias), 1, -1, -1))
        self.positions.add_(1)

    def reorder(self, parents: Tensor) -> FixedState:
        self.bias.copy_(super().reorder(parents).bias)
        return self

    def growing(self, sentences: int, slots: int) -> TransformerState:
        """Views of the first sentences and slots, as a state that can grow and be rearranged."""
        cache = KeyValueCache([group[:, :, :sentences] for group in self.cache.groups], slots)
        memory, bias = self.memory.first(sentences), self.bias[:sentences, :, :, :slots]
        return TransformerState(memory, self.positions[:sentences], cache, bias)
