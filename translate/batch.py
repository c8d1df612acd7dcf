"""Tokens and Batch: what every stage of the pipeline hands the next.

Letters: B sentences, L tokens of the longest one, T tokens of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.tokenizer import PAD

NO_TARGET = -100  # what PyTorch's cross entropies ignore

Ids = NDArray[np.integer] | Sequence[int]


class _Movable:
    """A dataclass of tensors, and of such dataclasses, that can be put on a device."""

    def to(self, device: torch.device, *, non_blocking: bool = True) -> Self:
        return self._with_each(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """In memory from which a GPU can read while the CPU goes on."""
        return self._with_each(lambda value: value.pin_memory())

    def _with_each(self, change: Callable[[Any], Any]) -> Self:
        changed = {
            field.name: change(value)
            for field in fields(self)  # type: ignore[arg-type]
            if isinstance(value := getattr(self, field.name), Tensor | _Movable)
        }
        return replace(self, **changed)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class Tokens(_Movable):
    """Token ids of several sentences, padded to (B, L) or packed end to end into (T,).

    Only attention asks which of the two it is: everything else acts on the last dimension.

    ids        (B, L) or (T,), int64
    positions  like ids: the position of each token in its own sentence, from 0; padding has positions of real tokens,
               because a model's table of positions may end with the longest sentence
    mask       (B, L), True where a token is real; None when packed
    offsets    (B + 1,), int32: sentence b is ids[offsets[b]:offsets[b + 1]]; None when padded
    max_length the longest sentence's number of tokens, or an upper bound of it
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor | None
    offsets: Tensor | None
    max_length: int

    @property
    def is_packed(self) -> bool:
        return self.offsets is not None

    @property
    def num_sentences(self) -> int:
        return len(self.ids) if self.offsets is None else len(self.offsets) - 1

    @classmethod
    def pad(cls, sentences: Sequence[Ids], *, length: int | None = None) -> Tokens:
        """Sentences as rows of one matrix, (B, length); the longest sets the length unless it is given."""
        lengths = np.array([len(sentence) for sentence in sentences])
        longest = int(lengths.max(initial=1)) if length is None else length
        ids = np.full((len(sentences), longest), PAD, dtype=np.int64)
        mask = np.arange(longest) < lengths[:, None]
        if len(sentences):
            ids[mask] = np.concatenate([np.asarray(sentence, dtype=np.int64) for sentence in sentences])
        positions = torch.arange(longest).clamp(max=int(lengths.max(initial=1)) - 1)
        positions = positions.expand(len(sentences), longest)
        return cls(torch.from_numpy(ids), positions, torch.from_numpy(mask), None, longest)

    @classmethod
    def pack(cls, sentences: Sequence[Ids], *, total: int, room: int = 0) -> Tokens:
        """Sentences end to end in `total` places; the places left over count as one sentence more.

        room is how many sentences the offsets have place for, so that their shape stays the same from
        batch to batch; unused ones are empty.
        """
        lengths = [len(sentence) for sentence in sentences]
        free = total - sum(lengths)
        assert free >= 0, "the sentences do not fit into the packed batch"
        ids = np.full(total, PAD, dtype=np.int64)
        ids[: total - free] = np.concatenate([np.asarray(sentence, dtype=np.int64) for sentence in sentences])
        lengths = [*lengths, free, *[0] * (room - len(lengths) - 1)]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        positions = np.arange(total) - np.repeat(offsets[:-1], lengths)
        # the padding at the end has no positions of its own: a position table may be shorter than it
        positions[total - free :] = 0
        # a power of two: a compiled model is compiled anew for every value that it meets
        bound = 1 << (max(lengths) - 1).bit_length()
        return cls(torch.from_numpy(ids), torch.from_numpy(positions), None, torch.from_numpy(offsets), bound)


@dataclass(frozen=True, eq=False)
class Batch(_Movable):
    """One batch of sentence pairs for training.

    source   tokens of the source sentences, each ended by EOS
    target   what the decoder reads: BOS, then the target tokens
    labels   like target.ids: what it must say next (the target tokens, then EOS), NO_TARGET elsewhere
    num_target_tokens  real labels, EOS included: the loss is divided by their number
    num_source_tokens  EOS included
    """

    source: Tokens
    target: Tokens
    labels: Tensor
    num_target_tokens: int
    num_source_tokens: int
