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

    def overwrite(self, other: Self) -> None:
        """Write the other's sentences into the first rows, in place; PADDED fields keep their length."""
        self._combine(_write_rows, lambda mine, new: mine.overwrite(new), other, length=lambda lengths: lengths[0])

    def first(self, sentences: int) -> Self:
        """Views of the first so many sentences."""
        return self._combine(lambda x: x[:sentences], lambda state: state.first(sentences))

    def blank(self, sentences: int, length: int) -> Self:
        """Zeros for so many sentences, of this length in PADDED fields."""
        return self._combine(
            lambda x: x.new_zeros(sentences, *x.shape[1:]),
            lambda state: state.blank(sentences, length),
            length=lambda lengths: length,
        )

    def trimmed(self) -> Self:
        """Drop the positions that no sentence needs."""
        length = self.needed_length()
        if length is None:
            return self
        return self._combine(lambda x: x, lambda state: state, length=lambda lengths: length)

    def needed_length(self) -> int | None:
        """Length that the longest sentence needs in PADDED fields; None: nothing is to be trimmed."""
        return None

    def _combine(
        self,
        tensors: Callable[..., Tensor],
        states: Callable[..., Any],
        *others: Self,
        length: Callable[[list[int]], int] = max,
    ) -> Self:
        """Combine each field of self and others: nested states by `states`, tensors, of one length, by `tensors`.

        length  of PADDED fields, by those of self and others
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


def _of_one_length(
    xs: Sequence[Tensor], padding: Padding | None, length: Callable[[list[int]], int]
) -> Sequence[Tensor]:
    """Tensors padded, or trimmed, to the length that follows from theirs."""
    if padding is None:
        return xs
    # rows of one tensor must be equally long, whenever their sentences started
    common = length([x.shape[padding.dim] for x in xs])
    return [_resized(x, common, padding) for x in xs]


def _write_rows(mine: Tensor, new: Tensor) -> Tensor:
    rows = mine[: len(new)]
    if not rows.is_set_to(new):  # views of the same elements need no copy
        rows.copy_(new)
    return mine


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
