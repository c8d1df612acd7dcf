"""Greedy search: the likeliest next token, until it is the end of the sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Self

import torch
from torch import Tensor

from translate.decoding.config import DIVERGED, Hypothesis, SearchConfig
from translate.decoding.search import Search, best_continuations, highest, permitted, without_repetition
from translate.errors import DivergedError
from translate.tokenizer import BOS, EOS


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


@dataclass(frozen=True, eq=False, kw_only=True)
class SamplingSearch(GreedySearch):
    """One hypothesis of each sentence, whose score is its true log probability, whatever temperature and top_k were.

    Token n of a sentence depends on config.seed, the sentence and n alone: not on the batch, nor on the process.

    seeds  (B,), int64
    """

    seeds: Tensor

    @classmethod
    def start(cls, sentences: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> Self:
        seeds = torch.tensor([_seed(config.seed, sentence) for sentence in sentences], device=limits.device)
        return cls(**cls.beginning(limits, config), seeds=seeds)

    def choose(self, logits: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        log_probs, end = permitted(logits, lengths=lengths, config=self.config)
        likeliest, tokens = highest(log_probs, self.config.top_k or log_probs.shape[1])
        cumulative = (likeliest / self.config.temperature).softmax(-1, dtype=torch.float64).cumsum(-1)
        drawn = uniform(self.seeds, lengths)[:, None] * cumulative[:, -1:]
        places = torch.searchsorted(cumulative, drawn, right=True).clamp_(max=cumulative.shape[1] - 1)
        must_end = lengths >= self.limits
        chosen = torch.where(must_end, EOS, tokens.gather(1, places)[:, 0])
        return torch.where(must_end, end[:, 0], likeliest.gather(1, places)[:, 0]), chosen


def uniform(seeds: Tensor, numbers: Tensor) -> Tensor:
    """A number in [0, 1) for each seed and number, int64 both: 32 bits of SplitMix64 (Steele, Lea and Flood 2014)."""
    x = seeds + numbers * _signed(0x9E3779B97F4A7C15)
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    return _shifted(x ^ _shifted(x, 31), 32).double() / 2**32


def _shifted(x: Tensor, bits: int) -> Tensor:
    """To the right, zeros coming in on the left."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    return constant - (1 << 64)


def _seed(seed: int, sentence: Sequence[int]) -> int:
    return int.from_bytes(blake2b(repr((seed, *sentence)).encode(), digest_size=8).digest(), "big", signed=True)
