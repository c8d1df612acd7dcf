"""What a search is to the engine that drives it: so many sentences under way, which come, grow and leave.

Letters: B sentences, K hypotheses of one sentence, N = B * K, V target vocabulary, T tokens since the earliest of the
sentences began.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.decoding.hypotheses import Hypothesis, SearchConfig
from translate.special_tokens import PAD


@dataclass(frozen=True, eq=False, kw_only=True)
class Search(ABC):
    """The hypotheses of B sentences, which may have begun at different times: their last tokens are aligned.

    Every field but config is a tensor with a row per sentence.

    lengths  (B,): tokens so far, BOS not counted
    limits   (B,): the greatest length, EOS counted
    done     (B,): whose result is certain; further steps do not change it
    """

    HISTORIES: ClassVar[tuple[str, ...]]  # the fields whose last dimension is time, T

    config: SearchConfig
    lengths: Tensor
    limits: Tensor
    done: Tensor

    @classmethod
    @abstractmethod
    def start(cls, sentences: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> Self:
        """One empty hypothesis of each source sentence."""

    @classmethod
    def beginning(cls, limits: Tensor, config: SearchConfig) -> dict[str, Any]:
        """The fields of sentences that have not begun."""
        zero = torch.zeros_like(limits)
        return {"config": config, "lengths": zero, "limits": limits, "done": zero.bool()}

    @property
    @abstractmethod
    def last_tokens(self) -> Tensor:
        """(N,): what the model has to read next."""

    @abstractmethod
    def extend(self, logits: Tensor) -> tuple[Self, Tensor | None]:
        """Every hypothesis one token longer, by logits (N, V).

        Also which hypothesis of its sentence each continues, (B, K'), where K' may be another K; None: itself.
        """

    @abstractmethod
    def collect(self, sentences: Sequence[int]) -> list[list[Hypothesis]]:
        """The n_best hypotheses of sentences that are done, best first; UserError where the model gave none."""

    def keep(self, sentences: Tensor) -> Self:
        """Only these sentences, (B',)."""
        return self._with({name: tensor.index_select(0, sentences) for name, tensor in self._tensors().items()})

    def join(self, other: Self) -> Self:
        """These sentences, then the other's."""
        return self._with({name: torch.cat(pair) for name, pair in self._pairs(other)})

    def replace(self, sentences: Tensor, other: Self) -> Self:
        """The other's sentences in the places of these ones, (B',), which have left."""
        return self._with({name: mine.index_copy(0, sentences, new) for name, (mine, new) in self._pairs(other)})

    def _tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "config"}

    def _pairs(self, other: Self) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
        """Each field of both, with equally many columns."""
        for name, mine in self._tensors().items():
            pair = (mine, getattr(other, name))
            if name in self.HISTORIES:
                columns = max(x.shape[-1] for x in pair)
                pair = (_with_columns(pair[0], columns), _with_columns(pair[1], columns))
            yield name, pair

    def _with(self, tensors: dict[str, Tensor]) -> Self:
        """With other sentences, and no more columns than the longest of them needs."""
        columns = int(tensors["lengths"].max()) + 1
        tensors |= {name: tensors[name][..., -columns:] for name in self.HISTORIES}
        return replace(self, **cast(Any, tensors))


def _with_columns(history: Tensor, columns: int) -> Tensor:
    return F.pad(history, (columns - history.shape[-1], 0), value=PAD)
