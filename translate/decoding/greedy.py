"""Greedy search: the likeliest next token, until it is the end of the sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from translate.decoding.continuations import best_continuations
from translate.decoding.hypotheses import DIVERGED, Hypothesis, SearchConfig
from translate.decoding.search import Search
from translate.errors import UserError
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
    def start(cls, limits: Tensor, config: SearchConfig) -> GreedySearch:
        zero = torch.zeros_like(limits)
        return cls(
            config=config,
            lengths=zero,
            limits=limits,
            done=zero.bool(),
            tokens=torch.full((len(limits), 1), BOS, device=limits.device),
            log_probs=torch.zeros(len(limits), device=limits.device),
            ended=zero,
        )

    @property
    def last_tokens(self) -> Tensor:
        return self.tokens[:, -1]

    def extend(self, logits: Tensor) -> tuple[GreedySearch, None]:
        lengths = self.lengths + 1
        best = best_continuations(logits, 1, lengths=lengths, limits=self.limits, config=self.config)
        log_probs, chosen = (x[:, 0] for x in best)
        extended = replace(
            self,
            tokens=torch.cat([self.tokens, chosen], dim=1),
            log_probs=torch.where(self.done, self.log_probs, self.log_probs + log_probs[:, 0]),
            ended=torch.where(self.done, self.ended, lengths),
            lengths=lengths,
            done=self.done | (chosen[:, 0] == EOS),
        )
        return extended, None

    def collect(self, sentences: Sequence[int]) -> list[list[Hypothesis]]:
        rows = torch.tensor(sentences, device=self.tokens.device)
        ends, first = self.ended[rows], self.tokens.shape[1] - self.lengths[rows]
        scores = self.log_probs[rows] / ends**self.config.length_penalty
        if not scores.isfinite().all():
            raise UserError(DIVERGED)
        return [
            [Hypothesis(tokens=tokens[start : start + end - 1], score=score)]
            for tokens, score, start, end in zip(
                self.tokens[rows].tolist(), scores.tolist(), first.tolist(), ends.tolist(), strict=True
            )
        ]
