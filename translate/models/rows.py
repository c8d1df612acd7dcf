"""Memories and states as dataclasses of tensors with a row per sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.models.visibility import hidden_bias


class Rows:
    """A dataclass whose fields are tensors (B, …), such dataclasses themselves, or None.

    LENGTHS  of fields that are as long as the longest sentence: name -> dimension. One of them is bias, which is 0
             where there is no padding and hides what is added to shorter ones; the others are filled with zeros
    """

    LENGTHS: ClassVar[dict[str, int]] = {}

    def keep(self, sentences: Tensor) -> Self:
        """Only these sentences, (B',), and no more places than the longest of them needs."""
        kept = self._each(lambda rows: rows.index_select(0, sentences))
        present = [name for name in self.LENGTHS if getattr(kept, name) is not None]
        if not present:
            return kept
        longest = int((cast(Any, kept).bias == 0).sum(-1).max())
        shorter = {name: getattr(kept, name).narrow(self.LENGTHS[name], 0, longest) for name in present}
        return dataclasses.replace(cast(Any, kept), **shorter)

    def join(self, other: Self) -> Self:
        """These sentences, then the other's."""
        return self._each(lambda *rows: torch.cat(rows), other)

    def replace(self, sentences: Tensor, other: Self) -> Self:
        """The other's sentences in the places of these ones, (B',)."""
        return self._each(lambda rows, new: rows.index_copy(0, sentences, new), other)

    def _each(self, change: Callable[..., Tensor], *others: Self) -> Self:
        changed: dict[str, Any] = {}
        for field in dataclasses.fields(cast(Any, self)):
            values = [getattr(rows, field.name) for rows in (self, *others)]
            if isinstance(values[0], Rows):
                changed[field.name] = values[0]._each(change, *values[1:])
            elif values[0] is not None:
                changed[field.name] = change(*self._equally_long(field.name, values))
        return dataclasses.replace(cast(Any, self), **changed)

    def _equally_long(self, name: str, values: list[Tensor]) -> list[Tensor]:
        if name not in self.LENGTHS:
            return values
        dimension = self.LENGTHS[name]
        filling = hidden_bias(values[0].dtype) if name == "bias" else 0.0
        length = max(value.shape[dimension] for value in values)
        return [_lengthened(value, dimension, length, filling) for value in values]


def _lengthened(value: Tensor, dimension: int, length: int, filling: float) -> Tensor:
    further = [0, 0] * (value.dim() - dimension - 1) + [0, length - value.shape[dimension]]
    return F.pad(value, further, value=filling)


def of_parents(hypotheses: Tensor, parents: Tensor) -> Tensor:
    """Rows (B, K', …) of hypotheses (B, K, …) by their parents (B, K')."""
    sentences = torch.arange(len(parents), device=parents.device)
    return hypotheses[sentences[:, None], parents]
