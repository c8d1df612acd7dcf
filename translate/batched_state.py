"""Dataclasses with a row per sentence: memories and decoder states of models, and searches.

Sentences join and leave them while a batch is decoded.

Letters: B sentences, K hypotheses of each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Padding:
    """Padding of a field of a BatchedState to the length of the longest sentence.

    dim    the dimension that is as long as the longest sentence, counted from the end: -1, -2, …
    value  fills the added positions; a function of the tensor's type where it depends on that; None: any number, as
           nothing depends on it
    left   shorter sentences are padded on the left, so that their last positions are aligned
    """

    dim: int
    value: float | Callable[[torch.dtype], float] | None = None
    left: bool = False

    def value_of(self, dtype: torch.dtype) -> float | None:
        return self.value(dtype) if callable(self.value) else self.value


@dataclass(frozen=True)
class Layout:
    """Dimensions of a field: that of the sentences, and the one that is padded, if any."""

    sentences: int
    padding: Padding | None


class BatchedState:
    """A dataclass with a row per sentence: its fields are tensors (B, …), other BatchedStates, or lists of these.

    Fields of any other type, None among them, are the same for all sentences.

    PADDED     fields as long as the longest sentence: name -> padding of the shorter ones
    SENTENCES  fields whose sentences are not the first dimension: name -> their dimension
    """

    PADDED: ClassVar[Mapping[str, Padding]] = {}
    SENTENCES: ClassVar[Mapping[str, int]] = {}

    def select(self, rows: Tensor) -> Self:
        """Keep only the sentences `rows`, (B',), and no more positions than the longest of them needs."""
        return self._combine(
            lambda layout, x: x.index_select(layout.sentences, rows), lambda state: state.select(rows)
        ).trimmed()

    def concat(self, other: Self) -> Self:
        """These sentences, then the other's."""
        return self._combine(
            lambda layout, *xs: torch.cat(xs, layout.sentences), lambda mine, new: mine.concat(new), other
        )

    def replace(self, rows: Tensor, other: Self) -> Self:
        """Put the other's sentences into `rows`, (B',)."""
        return self._combine(
            lambda layout, mine, new: mine.index_copy(layout.sentences, rows, new),
            lambda mine, new: mine.replace(rows, new),
            other,
        )

    def overwrite(self, other: Self, rows: Tensor | None = None) -> None:
        """Write the other's sentences into the first rows, or into `rows`, in place; PADDED fields keep their length.

        Fields of the other that are views of these very elements stay as they are.
        """
        self._combine(
            lambda layout, mine, new: _write(layout, mine, new, rows),
            lambda mine, new: mine.overwrite(new, rows),
            other,
            length=None,
        )

    def first(self, sentences: int) -> Self:
        """Views of the first so many sentences."""
        return self._combine(
            lambda layout, x: x.narrow(layout.sentences, 0, sentences), lambda state: state.first(sentences)
        )

    def blank(self, sentences: int, length: int) -> Self:
        """Zeros for so many sentences, of this length in PADDED fields."""
        return self._combine(
            lambda layout, x: _zeros(layout, x, sentences, length), lambda state: state.blank(sentences, length)
        )

    def trimmed(self) -> Self:
        """Drop the positions that no sentence needs."""
        length = self.needed_length()
        if length is None:
            return self
        return self._combine(lambda layout, x: x, lambda state: state, length=lambda lengths: length)

    def needed_length(self) -> int | None:
        """Length that the longest sentence needs in PADDED fields; None: nothing is to be trimmed."""
        return None

    def _combine(
        self,
        tensors: Callable[..., Tensor],
        states: Callable[..., Any],
        *others: Self,
        length: Callable[[list[int]], int] | None = max,
    ) -> Self:
        """Combine each field of self and others: nested states by `states`, tensors by `tensors`, with their layout.

        length  to which PADDED fields are brought first, by those of self and others; None: they are left as they are
        """

        def combined(values: Sequence[Any], layout: Layout) -> Any:
            if isinstance(values[0], list):
                return [combined(items, layout) for items in zip(*values, strict=True)]
            if isinstance(values[0], BatchedState):
                return states(*values)
            if not isinstance(values[0], Tensor):
                return values[0]
            return tensors(layout, *_of_one_length(values, layout.padding, length))

        names, parts = [field.name for field in dataclasses.fields(cast(Any, self))], (self, *others)
        layouts = {name: Layout(self.SENTENCES.get(name, 0), self.PADDED.get(name)) for name in names}
        changed = {name: combined([getattr(part, name) for part in parts], layouts[name]) for name in names}
        return dataclasses.replace(cast(Any, self), **changed)


def _of_one_length(
    xs: Sequence[Tensor], padding: Padding | None, length: Callable[[list[int]], int] | None
) -> Sequence[Tensor]:
    """Tensors padded, or trimmed, to the length that follows from theirs."""
    if padding is None or length is None:
        return xs
    # rows of one tensor must be equally long, whenever their sentences started
    common = length([x.shape[padding.dim] for x in xs])
    return [_resized(x, common, padding) for x in xs]


def _write(layout: Layout, mine: Tensor, new: Tensor, rows: Tensor | None) -> Tensor:
    """Write new sentences into the first rows of mine, or into `rows`, without a padded copy of them."""
    if rows is None:
        mine = mine.narrow(layout.sentences, 0, new.shape[layout.sentences])
    written, added = mine, mine.narrow(layout.sentences, 0, 0)
    if (padding := layout.padding) is not None:
        length = min(mine.shape[padding.dim], new.shape[padding.dim])
        written, added = _parts(mine, length, padding)
        new, _ = _parts(new, length, padding)
    if rows is None and written.is_set_to(new):  # views of the same elements need no copy, and are padded already
        return mine
    value = None if padding is None else padding.value_of(mine.dtype)
    if value is not None and added.numel():
        _ = added.fill_(value) if rows is None else added.index_fill_(layout.sentences, rows, value)
    if not new.numel():
        return mine
    return written.copy_(new) if rows is None else written.index_copy_(layout.sentences, rows, new)


def _parts(x: Tensor, length: int, padding: Padding) -> tuple[Tensor, Tensor]:
    """Views of the positions of sentences of this length, and of their padding."""
    added = x.shape[padding.dim] - length
    first, last = x.split((added, length) if padding.left else (length, added), dim=padding.dim)
    return (last, first) if padding.left else (first, last)


def _zeros(layout: Layout, x: Tensor, sentences: int, length: int) -> Tensor:
    shape = list(x.shape)
    shape[layout.sentences] = sentences
    if layout.padding is not None:
        shape[layout.padding.dim] = length
    return x.new_zeros(shape)


def _resized(x: Tensor, length: int, padding: Padding) -> Tensor:
    added = length - x.shape[padding.dim]
    if added == 0:
        return x
    # F.pad takes the last dimension first; a negative amount cuts off
    amounts = [0, 0] * (-1 - padding.dim) + ([added, 0] if padding.left else [0, added])
    return F.pad(x, amounts, value=padding.value_of(x.dtype) or 0.0)


def gather_parents(hypotheses: Tensor, parents: Tensor) -> Tensor:
    """Rows (B, K', …) of hypotheses (B, K, …) by the indices of their parents (B, K')."""
    # each sentence's own number, (B, 1): parents are only among its hypotheses
    sentences = torch.arange(len(parents), device=parents.device)
    return hypotheses[sentences[:, None], parents]
