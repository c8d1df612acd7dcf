"""Greedy search: the likeliest next token, until it is the end of the sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from translate.decoding.continuations import best_continuations
from translate.decoding.hypotheses import DIVERGED, Hypothesis, SearchConfig
from translate.decoding.repetition import without_repetition
from translate.decoding.search import Search
from translate.errors import DivergedError
from translate.special_tokens import BOS, EOS


@dataclass(frozen=True, eq=False, kw_only=True)
class GreedySearch(Search):
    """One hypothesis of each sentence; equal likelihoods go to the lower token id.

    tokens     (B, T): BOS first, whatever before it; whatever after the EOS of a sentence that is done
    log_probs  (B,), fp32: up to that EOS
    ended      (B,): the length at that EOS
    """

    HISTORIES = ("tokens",)

    tokens: Tensor
    log_probs: Tensor
    ended: Tensor

    @classmethod
    def start(cls, sentences: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> Self:
        return cls(**cls.beginning(limits, config))

    @classmethod
    def beginning(cls, limits: Tensor, config: SearchConfig) -> dict[str, Any]:
        return super().beginning(limits, config) | {
            "tokens": torch.full((len(limits), 1), BOS, device=limits.device),
            "log_probs": torch.zeros(len(limits), device=limits.device),
            "ended": torch.zeros_like(limits),
        }

    @property
    def last_tokens(self) -> Tensor:
        return self.tokens[:, -1]

    def extend(self, logits: Tensor) -> tuple[Self, None]:
        lengths = self.lengths + 1
        if self.config.limits_repetition:
            _, chosen = self.choose(without_repetition(logits, self.tokens, self.lengths, self.config), lengths)
            log_probs = logits.log_softmax(-1, dtype=torch.float32).gather(1, chosen[:, None])[:, 0]
        else:
            log_probs, chosen = self.choose(logits, lengths)
        extended = replace(
            self,
            tokens=torch.cat([self.tokens, chosen[:, None]], dim=1),
            log_probs=torch.where(self.done, self.log_probs, self.log_probs + log_probs),
            ended=torch.where(self.done, self.ended, lengths),
            lengths=lengths,
            done=self.done | (chosen == EOS),
        )
        return extended, None

    def choose(self, logits: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The next token of each sentence and its log probability, (B,) both; lengths count it."""
        best = best_continuations(logits, 1, lengths=lengths, limits=self.limits, config=self.config)
        log_probs, chosen = (x[:, 0, 0] for x in best)
        return log_probs, chosen

    def collect(self, sentences: Sequence[int]) -> list[list[Hypothesis]]:
        rows = torch.tensor(sentences, device=self.tokens.device)
        ends, first = self.ended[rows], self.tokens.shape[1] - self.lengths[rows]
        scores = self.log_probs[rows] / ends**self.config.length_penalty
        if not scores.isfinite().all():
            raise DivergedError(DIVERGED)
        return [
            [Hypothesis(tokens=tokens[start : start + end - 1], score=score)]
            for tokens, score, start, end in zip(
                self.tokens[rows].tolist(), scores.tolist(), first.tolist(), ends.tolist(), strict=True
            )
        ]
