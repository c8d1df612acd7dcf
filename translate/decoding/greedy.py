"""Greedy search, which takes the most likely next token, and sampling, which draws it.

Letters: B sentences, V target vocabulary, T tokens since the earliest of the sentences started.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import ClassVar, Self

import torch
from torch import Tensor

from translate.decoding.config import DIVERGED, Hypothesis, SearchConfig
from translate.decoding.search import HISTORY, Search, limit_repetition, mask_forbidden, stable_topk, top_continuations
from translate.errors import DivergedError
from translate.tokenizer import BOS, EOS


@dataclass(frozen=True, eq=False, kw_only=True)
class GreedySearch(Search):
    """One hypothesis of each sentence; ties go to the lower token id.

    tokens         (B, T) int64   BOS first, right-aligned: what is left of BOS, or follows EOS, is undefined
    log_probs      (B,)  float32  sums up to EOS
    final_lengths  (B,)  int64    length of a hypothesis that has ended, EOS counted
    """

    PADDED: ClassVar = {"tokens": HISTORY}

    tokens: Tensor
    log_probs: Tensor
    final_lengths: Tensor

    @classmethod
    def start(cls, sources: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> Self:
        zero = torch.zeros_like(limits)
        return cls(
            config=config,
            lengths=zero,
            limits=limits,
            done=zero.bool(),
            tokens=torch.full((len(limits), 1), BOS, device=limits.device),
            log_probs=torch.zeros(len(limits), device=limits.device),
            final_lengths=zero,
        )

    @property
    def last_tokens(self) -> Tensor:
        return self.tokens[:, -1]

    def advance(self, logits: Tensor) -> tuple[Self, None]:
        """Append a token to each hypothesis; logits (B, V). Hypotheses are never reordered."""
        lengths = self.lengths + 1
        if self.config.limits_repetition:
            # the token is chosen by the limited logits, its score is the model's own
            _, chosen = self.choose(limit_repetition(logits, self.tokens, self.lengths, self.config), lengths)
            log_probs = logits.log_softmax(-1, dtype=torch.float32).gather(1, chosen[:, None])[:, 0]
        else:
            log_probs, chosen = self.choose(logits, lengths)
        # sentences that are done run on in the batch, without effect on their results
        advanced = replace(
            self,
            tokens=torch.cat([self.tokens, chosen[:, None]], dim=1),
            log_probs=torch.where(self.done, self.log_probs, self.log_probs + log_probs),
            final_lengths=torch.where(self.done, self.final_lengths, lengths),
            lengths=lengths,
            done=self.done | (chosen == EOS),
        )
        return advanced, None

    def choose(self, logits: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log probability and next token of each sentence, (B,) both; lengths count the new token."""
        best = top_continuations(logits, 1, lengths=lengths, search=self)
        log_probs, chosen = (x[:, 0, 0] for x in best)
        return log_probs, chosen

    def hypotheses(self) -> list[list[Hypothesis]]:
        scores = self.log_probs / self.final_lengths**self.config.length_penalty
        if not scores.isfinite().all():
            raise DivergedError(DIVERGED)
        first = self.tokens.shape[1] - self.lengths  # column of each sentence's first token
        return [
            [Hypothesis(tokens=tokens[start : start + length - 1], score=score)]  # without EOS
            for tokens, score, start, length in zip(
                self.tokens.tolist(), scores.tolist(), first.tolist(), self.final_lengths.tolist(), strict=True
            )
        ]


@dataclass(frozen=True, eq=False, kw_only=True)
class SamplingSearch(GreedySearch):
    """One random hypothesis of each sentence; its score is the model's log probability at any temperature and top_k.

    Token n of a sentence depends on config.seed, the sentence and n alone: not on the batch, nor on the process.

    seeds  (B,) int64
    """

    seeds: Tensor

    @classmethod
    def start(cls, sources: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> Self:
        seeds = torch.tensor([_sentence_seed(config.seed, source) for source in sources], device=limits.device)
        return cls(**vars(GreedySearch.start(sources, limits, config)), seeds=seeds)

    def choose(self, logits: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Draw from the top_k tokens by inverting the cumulative distribution at a uniform random number."""
        log_probs, eos_log_probs = mask_forbidden(logits, lengths=lengths, search=self)
        best, tokens = stable_topk(log_probs, self.config.top_k or log_probs.shape[1])
        # fp64: in fp32 the sums over a vocabulary would round unlikely tokens away
        cumulative = (best / self.config.temperature).softmax(-1, dtype=torch.float64).cumsum(-1)
        # the last sum may be off 1 by rounding: draw from [0, that sum)
        drawn = uniform(self.seeds, lengths)[:, None] * cumulative[:, -1:]
        # right: a token of probability 0 is never drawn, even at 0
        ranks = torch.searchsorted(cumulative, drawn, right=True).clamp_(max=cumulative.shape[1] - 1)
        at_limit = lengths >= self.limits
        chosen = torch.where(at_limit, EOS, tokens.gather(1, ranks)[:, 0])
        return torch.where(at_limit, eos_log_probs[:, 0], best.gather(1, ranks)[:, 0]), chosen


def uniform(seeds: Tensor, numbers: Tensor) -> Tensor:
    """A number in [0, 1) for each seed and number, int64 both: 32 bits of SplitMix64 (Steele, Lea and Flood 2014)."""
    # int64 wraps around as the algorithm's uint64 does
    x = seeds + numbers * _signed(0x9E3779B97F4A7C15)
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    return _shifted(x ^ _shifted(x, 31), 32).double() / 2**32  # exact: a double has 53 bits


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Logical shift to the right: int64's own repeats the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(constant: int) -> int:
    """The int64 with the bits of a uint64 above 2**63."""
    return constant - (1 << 64)


def _sentence_seed(seed: int, source: Sequence[int]) -> int:
    # not hash(), which may differ between versions of Python
    return int.from_bytes(blake2b(repr((seed, *source)).encode(), digest_size=8).digest(), "big", signed=True)
