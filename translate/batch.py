"""Batches of sentence pairs, padded or packed end to end; and dataclasses with a row per sentence (BatchedState).

Memories and decoder states of models, and searches, are BatchedStates: sentences join and leave them.

Letters: B sentences, K hypotheses of each, L tokens of the longest one, T tokens of all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
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
        lengths = np.array([len(sentence) for sentence in sentences])
        longest = int(lengths.max(initial=1)) if length is None else length
        ids = np.full((len(sentences), longest), PAD, dtype=np.int64)
        mask = np.arange(longest) < lengths[:, None]
        if len(sentences):
            # row by row, the real positions are the sentences one after the other
            ids[mask] = np.concatenate([np.asarray(sentence, dtype=np.int64) for sentence in sentences])
        positions = torch.arange(longest).clamp(max=int(lengths.max(initial=1)) - 1)
        positions = positions.expand(len(sentences), longest)
        return cls(torch.from_numpy(ids), positions, torch.from_numpy(mask), None, longest)

    @classmethod
    def pack(cls, sentences: Sequence[Ids], *, total: int, room: int = 0, pieces: int = 1) -> Tokens:
        """Sentences end to end, (total,); the padding at the end counts as further sentences.

        room    number of sentences in the offsets, so that their shape recurs from batch to batch; those beyond are
                empty
        pieces  number of sentences among which the padding is divided
        """
        lengths = [len(sentence) for sentence in sentences]
        free = total - sum(lengths)
        assert free >= 0, "the sentences do not fit into the packed batch"
        padding = [(free + piece) // pieces for piece in range(pieces)]
        ids = np.full(total, PAD, dtype=np.int64)
        ids[: total - free] = np.concatenate([np.asarray(sentence, dtype=np.int64) for sentence in sentences])
        lengths += padding
        lengths += [0] * (room - len(lengths))
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

    def without_labels(self) -> Batch:
        """A batch that adds nothing to losses and gradients."""
        labels = torch.full_like(self.labels, NO_TARGET)
        return replace(self, labels=labels, num_target_tokens=0, num_source_tokens=0)


def pad_batch(source: Side, target: Side, multiple: int = 1) -> Batch:
    """Pairs as rows: EOS ends the source and the labels, BOS begins the decoder's input.

    multiple  lengths are rounded up to a multiple of it
    """
    sources, targets = _add_special_tokens(source, target)
    source_tokens, target_tokens = (
        Tokens.pad(side, length=round_up(max(map(len, side)), multiple)) for side in (sources, targets)
    )
    rows, length = target_tokens.ids.shape
    # index of each sentence's last position in the flattened rows
    ends = np.arange(rows) * length + np.array([len(ids) - 1 for ids in targets])
    assert target_tokens.mask is not None
    return _with_labels(source_tokens, target_tokens, ends, target_tokens.mask, sources)


def pack_batch(source: Side, target: Side, tokens: int) -> Batch:
    """Pairs end to end, `tokens` positions on either side, more only when the pairs need them: shapes recur."""
    sources, targets = _add_special_tokens(source, target)
    used = [sum(map(len, side)) for side in (sources, targets)]
    # one free position at least, so that the padding at the end always has a key to attend to
    total = max(tokens, *(count + 1 for count in used))
    free = [total - count for count in used]
    # Kernels of attention take time for each sentence of the offsets, times the length of the longest one. Divided, the
    # padding is no longer than the sentences; the room, a power of two, is less than twice what that takes.
    longest = max(SHORT_SENTENCE, *map(len, sources), *map(len, targets))
    wanted = -(-max(free) // longest)
    room = 1 << (len(sources) + wanted - 1).bit_length()
    pieces = min(room - len(sources), *free)  # the same number on both sides, and no empty one: keys for each query
    packed = [Tokens.pack(side, total=total, room=room, pieces=pieces) for side in (sources, targets)]
    ends = np.cumsum([len(ids) for ids in targets]) - 1
    return _with_labels(packed[0], packed[1], ends, torch.arange(total) < used[1], sources)


def round_up(lengths: Numbers, multiple: int) -> Numbers:
    """Round lengths up to a multiple of `multiple`."""
    return -(-lengths // multiple) * multiple


def _add_special_tokens(source: Side, target: Side) -> tuple[Side, Side]:
    return [np.append(ids, EOS) for ids in source], [np.insert(ids, 0, BOS) for ids in target]


def _with_labels(source: Tokens, target: Tokens, ends: NDArray[np.int64], real: Tensor, sources: Side) -> Batch:
    """The label of each position is the next position's token; of a sentence's last position (among ends), EOS."""
    # a sentence's last position gets a token of the next one, which EOS replaces
    labels = target.ids.flatten().roll(-1)
    labels[torch.from_numpy(ends)] = EOS
    labels = labels.view(target.ids.shape).masked_fill(~real, NO_TARGET)
    return Batch(source, target, labels, int(real.sum()), sum(map(len, sources)))


@dataclass(frozen=True)
class Padding:
    """Padding of a field of a BatchedState to the length of the longest sentence.

    dim    the dimension that is as long as the longest sentence, counted from the end: -1, -2, …
    value  fills the added positions; a function of the tensor's type where it depends on that
    left   shorter sentences are padded on the left, so that their last positions are aligned
    """

    dim: int
    value: float | Callable[[torch.dtype], float] = 0.0
    left: bool = False


class BatchedState:
    """A dataclass with a row per sentence: its fields are tensors (B, …), other BatchedStates, or lists of these.

    Fields of any other type, None among them, are the same for all sentences.

    PADDED  fields as long as the longest sentence: name -> padding of the shorter ones
    """

    PADDED: ClassVar[Mapping[str, Padding]] = {}

    def select(self, rows: Tensor) -> Self:
        """Keep only the sentences `rows`, (B',), and no more positions than the longest of them needs."""
        return self._combine(lambda x: x.index_select(0, rows), lambda state: state.select(rows)).trimmed()

    def concat(self, other: Self) -> Self:
        """These sentences, then the other's."""
        return self._combine(lambda *xs: torch.cat(xs), lambda mine, new: mine.concat(new), other)

    def replace(self, rows: Tensor, other: Self) -> Self:
        """Put the other's sentences into `rows`, (B',)."""
        return self._combine(
            lambda mine, new: mine.index_copy(0, rows, new), lambda mine, new: mine.replace(rows, new), other
        )

    def trimmed(self) -> Self:
        """Drop the positions that no sentence needs."""
        length = self.needed_length()
        if length is None:
            return self
        return self._combine(lambda x: x, lambda state: state, length=length)

    def needed_length(self) -> int | None:
        """Length that the longest sentence needs in PADDED fields; None: nothing is to be trimmed."""
        return None

    def _combine(
        self, tensors: Callable[..., Tensor], states: Callable[..., Any], *others: Self, length: int | None = None
    ) -> Self:
        """Combine each field of self and others: nested states by `states`, tensors, of one length, by `tensors`.

        length  of PADDED fields; None: the longest of self and others
        """

        def combined(values: Sequence[Any], padding: Padding | None) -> Any:
            if isinstance(values[0], list):
                return [combined(items, padding) for items in zip(*values, strict=True)]
            if isinstance(values[0], BatchedState):
                return states(*values)
            return tensors(*_of_one_length(values, padding, length)) if isinstance(values[0], Tensor) else values[0]

        names, parts = [field.name for field in dataclasses.fields(cast(Any, self))], (self, *others)
        changed = {name: combined([getattr(part, name) for part in parts], self.PADDED.get(name)) for name in names}
        return dataclasses.replace(cast(Any, self), **changed)


def _of_one_length(xs: Sequence[Tensor], padding: Padding | None, length: int | None) -> Sequence[Tensor]:
    """Tensors padded, or trimmed, to the given length, or padded to that of the longest."""
    if padding is None:
        return xs
    # rows of one tensor must be equally long, whenever their sentences started
    length = max(x.shape[padding.dim] for x in xs) if length is None else length
    return [_resized(x, length, padding) for x in xs]


def _resized(x: Tensor, length: int, padding: Padding) -> Tensor:
    added = length - x.shape[padding.dim]
    if added == 0:
        return x
    # F.pad takes the last dimension first; a negative amount cuts off
    amounts = [0, 0] * (-1 - padding.dim) + ([added, 0] if padding.left else [0, added])
    return F.pad(x, amounts, value=padding.value(x.dtype) if callable(padding.value) else padding.value)


def gather_parents(hypotheses: Tensor, parents: Tensor) -> Tensor:
    """Rows (B, K', …) of hypotheses (B, K, …) by the indices of their parents (B, K')."""
    # each sentence's own number, (B, 1): parents are only among its hypotheses
    sentences = torch.arange(len(parents), device=parents.device)
    return hypotheses[sentences[:, None], parents]
