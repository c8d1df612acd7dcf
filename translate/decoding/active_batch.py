"""A batch of sentences in translation, whose rows change their sentences while it is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from translate.decoding.search.base import Found, Search
from translate.models.seq2seq import Seq2Seq, State


@dataclass(eq=False)
class ActiveBatch:
    """Sentences in translation: the state of the model, the search, and the index of the sentence in each row."""

    state: State
    search: Search
    indices: list[int]

    def step(self, model: Seq2Seq) -> None:
        """Read one more token of every hypothesis, as the loop of search_batch does."""
        logits, self.state = model.step(self.search.last_tokens, self.state)
        self.search, parents = self.search.advance(logits)
        if parents is not None:
            self.state = self.state.reorder(parents)

    def results(self, finished: Sequence[int]) -> Found:
        """Sentence index and hypotheses of the finished rows."""
        search = self.search if len(finished) == len(self.indices) else self.search.select(self.rows(finished))
        return list(zip([self.indices[row] for row in finished], search.hypotheses(), strict=True))

    def refill(self, finished: Sequence[int], active: Sequence[int], new: ActiveBatch | None) -> ActiveBatch | None:
        """Drop the finished rows and add new sentences: in those rows if they are as many, else after the others."""
        if not active:
            return new
        if new is not None and len(new.indices) == len(finished):
            rows, indices = self.rows(finished), self.indices_with(finished, new)
            return ActiveBatch(self.state.replace(rows, new.state), self.search.replace(rows, new.search), indices)
        rows = self.rows(active)
        kept = ActiveBatch(self.state.select(rows), self.search.select(rows), [self.indices[row] for row in active])
        if new is None:
            return kept
        return ActiveBatch(kept.state.concat(new.state), kept.search.concat(new.search), kept.indices + new.indices)

    def indices_with(self, finished: Sequence[int], new: ActiveBatch) -> list[int]:
        """Index of the sentence in each row, once new sentences have taken the finished rows."""
        replaced = dict(zip(finished, new.indices, strict=True))
        return [replaced.get(row, index) for row, index in enumerate(self.indices)]

    def rows(self, rows: Sequence[int]) -> Tensor:
        """Numbers of rows, (B',), on the device of the batch."""
        return torch.tensor(rows, device=self.search.done.device)
