"""Batches of sentence pairs, padded or packed end to end.

Letters: B sentences, L tokens of the longest one, T tokens of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from translate.tokenizer import BOS, EOS, PAD

SHORT_SENTENCE = 64  # tokens: kernels of attention take no less time for a shorter one
NO_TARGET = -100  # what PyTorch's cross entropies ignore
Ids = NDArray[np.integer] | Sequence[int]
Side = Sequence[NDArray[np.integer]]  # the token ids of sentences, without BOS and EOS
Numbers = TypeVar("Numbers", int, NDArray[np.int64])


class _Movable:
    """A dataclass of tensors, and of such dataclasses, that can be put on a device."""

    def to(self, device: torch.device, *, non_blocking: bool = True) -> Self:
        return self._with_each(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Copy into memory from which a GPU can read while the CPU works."""
        # PyTorch cannot copy into a tensor like an expanded one, as the positions of padded sentences are
        return self._with_each(lambda value: (value.contiguous() if isinstance(value, Tensor) else value).pin_memory())

    def _with_each(self, change: Callable[[Any], Any]) -> Self:
        changed = {
            field.name: change(value)
            for field in fields(self)  # type: ignore[arg-type]
            if isinstance(value := getattr(self, field.name), Tensor | _Movable)
        }
        return replace(self, **changed)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class Joined:
    """Sentences end to end.

    ids      (T,), int64
    lengths  (B,), int64
    """

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, sentences: Sequence[Ids], *, first: Sequence[int] = (), last: Sequence[int] = ()) -> Joined:
        """Join sentences, with further tokens in front of each and behind it."""
        # all at once: numpy functions for each sentence would take most of the time of a batch
        pieces = [np.asarray(sentence, dtype=np.int64) for sentence in sentences]
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces)) + len(first) + len(last)
        ends = np.cumsum(lengths)
        ids = np.empty(ends[-1] if len(ends) else 0, np.int64)
        is_own = np.ones(len(ids), bool)
        added = [(ends - lengths + index, token) for index, token in enumerate(first)]
        added += [(ends - len(last) + index, token) for index, token in enumerate(last)]
        for positions, token in added:
            ids[positions], is_own[positions] = token, False
        ids[is_own] = np.concatenate([np.empty(0, np.int64), *pieces])
        return cls(ids, lengths)

    @property
    def longest(self) -> int:
        """Tokens of the longest sentence."""
        return int(self.lengths.max())


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

    def sentences(self) -> list[NDArray[np.int64]]:
        """Ids of each sentence with its BOS or EOS, without padding."""
        if self.mask is not None:
            return [ids[mask].numpy() for ids, mask in zip(self.ids, self.mask, strict=True)]
        assert self.offsets is not None
        pieces = self.ids.numpy()
        bounds = pairwise(self.offsets.tolist())
        # the padding at the end is divided among further sentences, and those behind them are empty
        return [pieces[start:end] for start, end in bounds if start < end and pieces[start] != PAD]

    @classmethod
    def pad(cls, sentences: Sequence[Ids], *, length: int | None = None) -> Tokens:
        """Sentences as rows of one matrix, (B, length); length None: that of the longest."""
        return cls._pad(Joined.of(sentences), length)

    @classmethod
    def _pad(cls, joined: Joined, length: int | None = None) -> Tokens:
        lengths = joined.lengths
        longest = int(lengths.max(initial=1)) if length is None else length
        ids = np.full((len(lengths), longest), PAD, dtype=np.int64)
        mask = np.arange(longest) < lengths[:, None]
        ids[mask] = joined.ids  # row by row, the real positions are the sentences one after the other
        positions = torch.arange(longest).clamp(max=int(lengths.max(initial=1)) - 1)
        positions = positions.expand(len(lengths), longest)
        return cls(torch.from_numpy(ids), positions, torch.from_numpy(mask), None, longest)

    @classmethod
    def pack(cls, sentences: Sequence[Ids], *, total: int, room: int = 0, pieces: int = 1) -> Tokens:
        """Sentences end to end, (total,); the padding at the end counts as further sentences.

        room    number of sentences in the offsets, so that their shape recurs from batch to batch; those beyond are
                empty
        pieces  number of sentences among which the padding is divided
        """
        return cls._pack(Joined.of(sentences), total=total, room=room, pieces=pieces)

    @classmethod
    def _pack(cls, joined: Joined, *, total: int, room: int, pieces: int) -> Tokens:
        free = total - len(joined.ids)
        assert free >= 0, "the sentences do not fit into the packed batch"
        ids = np.full(total, PAD, dtype=np.int64)
        ids[: total - free] = joined.ids
        padding = (free + np.arange(pieces)) // pieces
        empty = np.zeros(max(0, room - len(joined.lengths) - pieces), np.int64)
        lengths = np.concatenate([joined.lengths, padding, empty])
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        positions = np.arange(total) - np.repeat(offsets[:-1], lengths)
        # the padding at the end has no positions of its own: a position table may be shorter than it
        positions[total - free :] = 0
        # a power of two: a compiled model is compiled anew for every value that it meets
        bound = 1 << (int(lengths.max()) - 1).bit_length()
        return cls(torch.from_numpy(ids), torch.from_numpy(positions), None, torch.from_numpy(offsets), bound)


@dataclass(frozen=True, eq=False)
class Batch(_Movable):
    """One batch of sentence pairs for training.

    source   tokens of the source sentences, each ended by EOS
    target   input of the decoder: BOS, then the target tokens
    labels   like target.ids: the token to be predicted next (the target tokens, then EOS), NO_TARGET elsewhere
    num_target_tokens  real labels, EOS included: the loss is divided by their number
    num_source_tokens  EOS included
    """

    source: Tokens
    target: Tokens
    labels: Tensor
    num_target_tokens: int
    num_source_tokens: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, S, T) of a padded batch, (S, T) of a packed one: of two such batches the larger one needs more memory."""
        return (*self.source.ids.shape, self.target.ids.shape[-1])

    def pairs(self) -> tuple[Side, Side]:
        """Ids of the source and target sentences, without the EOS and BOS that a batch is given when it is made."""
        return [ids[:-1] for ids in self.source.sentences()], [ids[1:] for ids in self.target.sentences()]

    def without_labels(self) -> Batch:
        """A batch that adds nothing to losses and gradients."""
        labels = torch.full_like(self.labels, NO_TARGET)
        return replace(self, labels=labels, num_target_tokens=0, num_source_tokens=0)


def pad_batch(source: Side, target: Side, multiple: int = 1) -> Batch:
    """Pairs as rows: EOS ends the source and the labels, BOS begins the decoder's input.

    multiple  lengths are rounded up to a multiple of it
    """
    sides = Joined.of(source, last=[EOS]), Joined.of(target, first=[BOS])
    source_tokens, target_tokens = (Tokens._pad(side, round_up(side.longest, multiple)) for side in sides)
    rows, length = target_tokens.ids.shape
    # index of each sentence's last position in the flattened rows
    ends = np.arange(rows) * length + sides[1].lengths - 1
    assert target_tokens.mask is not None
    return _with_labels(source_tokens, target_tokens, ends, target_tokens.mask, sides)


def pack_batch(source: Side, target: Side, tokens: int) -> Batch:
    """Pairs end to end, `tokens` positions on either side, more only when the pairs need them: shapes recur."""
    sides = Joined.of(source, last=[EOS]), Joined.of(target, first=[BOS])
    used = [len(side.ids) for side in sides]
    # one free position at least, so that the padding at the end always has a key to attend to
    total = max(tokens, *(count + 1 for count in used))
    free = [total - count for count in used]
    # Kernels of attention take time for each sentence of the offsets, times the length of the longest one. Divided, the
    # padding is no longer than the sentences; the room, a power of two, is less than twice what that takes.
    longest = max(SHORT_SENTENCE, *(side.longest for side in sides))
    wanted = -(-max(free) // longest)
    room = 1 << (len(source) + wanted - 1).bit_length()
    pieces = min(room - len(source), *free)  # the same number on both sides, and no empty one: keys for each query
    packed = [Tokens._pack(side, total=total, room=room, pieces=pieces) for side in sides]
    ends = np.cumsum(sides[1].lengths) - 1
    return _with_labels(packed[0], packed[1], ends, torch.arange(total) < used[1], sides)


def round_up(lengths: Numbers, multiple: int) -> Numbers:
    """Round lengths up to a multiple of `multiple`."""
    return -(-lengths // multiple) * multiple


def _with_labels(
    source: Tokens, target: Tokens, ends: NDArray[np.int64], real: Tensor, sides: tuple[Joined, Joined]
) -> Batch:
    """The label of each position is the next position's token; of a sentence's last position (among ends), EOS."""
    # a sentence's last position gets a token of the next one, which EOS replaces
    labels = target.ids.flatten().roll(-1)
    labels[torch.from_numpy(ends)] = EOS
    labels = labels.view(target.ids.shape).masked_fill(~real, NO_TARGET)
    return Batch(source, target, labels, num_target_tokens=len(sides[1].ids), num_source_tokens=len(sides[0].ids))


def copy_to_cpu(numbers: Tensor) -> tuple[Tensor, torch.Event | None]:
    """A copy on the CPU, and the event after which it holds the numbers; of numbers on the CPU, themselves and None.

    A copy that is asked for when the numbers are read would come after all work that has been launched by then, and so
    wait for the next update or step, too.
    """
    if not numbers.is_cuda:
        return numbers, None
    copy = numbers.to("cpu", non_blocking=True)  # into page-locked memory
    return copy, torch.cuda.current_stream(numbers.device).record_event()
