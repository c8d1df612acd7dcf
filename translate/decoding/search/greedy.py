"""Greedy search, which takes the most likely next token, and sampling, which draws it.

Letters: B sentences, K hypotheses of one sentence, N = B * K, V target vocabulary, T tokens since the earliest of the
sentences started.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import ClassVar, Self

import torch
from torch import Tensor

from translate.decoding.config import DIVERGED, Hypothesis, SearchConfig
from translate.decoding.search.base import (
    HISTORY,
    Search,
    limit_repetition,
    mask_forbidden,
    stable_topk,
    top_continuations,
)
from translate.errors import DivergedError
from translate.tokenizer import BOS, EOS


@dataclass(frozen=True, eq=False, kw_only=True)
class GreedySearch(Search):
    """One hypothesis of each sentence; ties go to the lower token id.

    K is 1 here, and more in sampling.

    tokens         (B, K, T) int64   BOS first, right-aligned: what is left of BOS, or follows EOS, is undefined
    log_probs      (B, K)  float32  sums up to EOS
    ended          (B, K)  bool     True where EOS has been generated
    final_lengths  (B, K)  int64    length of a hypothesis that has ended, EOS counted
    """

    PADDED: ClassVar = {"tokens": HISTORY}

    tokens: Tensor
    log_probs: Tensor
    ended: Tensor
    final_lengths: Tensor

    @classmethod
    def start(cls, sources: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> Self:
        zero = torch.zeros_like(limits)
        return cls(
            config=config,
            lengths=zero,
            limits=limits,
            done=zero.bool(),
            tokens=torch.full((len(limits), 1, 1), BOS, device=limits.device),
            log_probs=torch.zeros(len(limits), 1, device=limits.device),
            ended=zero[:, None].bool(),
            final_lengths=zero[:, None],
        )

    @property
    def last_tokens(self) -> Tensor:
        return self.tokens[:, :, -1].flatten()

    def advance(self, logits: Tensor) -> tuple[Self, Tensor | None]:
        """Append a token to each hypothesis; logits (N, V). Hypotheses are never reordered."""
        lengths = self.lengths + 1
        if self.config.limits_repetition:
            # the token is chosen by the limited logits, its score is the model's own
            each_length = self.lengths.repeat_interleave(self.tokens.shape[1])
            _, chosen = self.choose(
                limit_repetition(logits, self.tokens.flatten(0, 1), each_length, self.config), lengths
            )
            log_probs = logits.log_softmax(-1, dtype=torch.float32).gather(1, chosen.view(-1, 1)).view_as(chosen)
        else:
            log_probs, chosen = self.choose(logits, lengths)
        # hypotheses that have ended run on in the batch, without effect on their results
        ended = self.ended | (chosen == EOS)
        advanced = replace(
            self,
            tokens=torch.cat([self.tokens, chosen[:, :, None]], dim=2),
            log_probs=torch.where(self.ended, self.log_probs, self.log_probs + log_probs),
            final_lengths=torch.where(self.ended, self.final_lengths, lengths[:, None]),
            ended=ended,
            lengths=lengths,
            done=ended.all(dim=1),
        )
        return advanced, None

    def choose(self, logits: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Log probability and next token of each hypothesis, (B, K) both; lengths (B,) count the new token."""
        best = top_continuations(logits, 1, lengths=lengths, search=self)
        log_probs, chosen = (x[:, :, 0] for x in best)
        return log_probs, chosen

    def hypotheses(self) -> list[list[Hypothesis]]:
        scores = self.log_probs / self.final_lengths**self.config.length_penalty
        if not scores.isfinite().all():
            raise DivergedError(DIVERGED)
        first = (self.tokens.shape[2] - self.lengths).tolist()  # column of each sentence's first token
        columns = zip(self.tokens.tolist(), scores.tolist(), self.final_lengths.tolist(), first, strict=True)
        return [
            [
                Hypothesis(tokens=ids[start : start + length - 1], score=score)  # without EOS
                for ids, score, length in zip(*sentence, strict=True)
            ]
            for *sentence, start in columns
        ]


@dataclass(frozen=True, eq=False, kw_only=True)
class SamplingSearch(GreedySearch):
    """Random hypotheses of each sentence, K = config.samples, in the order of their draws.

    Tokens are drawn from the model's distribution at config.temperature (top_k: of the likeliest tokens; top_p: of the
    likeliest that have this probability together, Holtzman et al. 2020; epsilon: of those that have this probability
    each, Hewitt et al. 2022; in this order, each of what the one before has left). Scores are the model's log
    probabilities whatever these are. Token n of draw k depends on config.seed, the sentence, k and n alone: not on the
    batch, nor on the process, nor on the number of draws.

    seeds  (B, K) int64
    """

    seeds: Tensor

    @classmethod
    def start(cls, sources: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> Self:
        seeds = [[_seed(config.seed, source, draw) for draw in range(config.samples)] for source in sources]
        return cls(
            **vars(GreedySearch.start(sources, limits, config)),
            seeds=torch.tensor(seeds, dtype=torch.int64, device=limits.device).view(-1, config.samples),
        )

    def advance(self, logits: Tensor) -> tuple[SamplingSearch, Tensor | None]:
        samples = self.config.samples
        if self.tokens.shape[1] == samples:
            return super().advance(logits)
        # before the first token all hypotheses of a sentence are one, which every draw continues
        repeated = replace(
            self,
            tokens=self.tokens.expand(-1, samples, -1),
            **{name: getattr(self, name).expand(-1, samples) for name in ("log_probs", "ended", "final_lengths")},
        )
        search, _ = GreedySearch.advance(repeated, logits.repeat_interleave(samples, dim=0))
        return search, torch.zeros_like(self.seeds)

    def choose(self, logits: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Draw by inverting the cumulative distribution at a uniform random number."""
        log_probs, eos_log_probs = mask_forbidden(logits, lengths=lengths, search=self)
        best, tokens = stable_topk(log_probs, self.config.top_k or log_probs.shape[1])
        # fp64: in fp32 the sums over a vocabulary would round unlikely tokens away
        probabilities = (best / self.config.temperature).softmax(-1, dtype=torch.float64)
        cumulative = probabilities.cumsum(-1)
        last = self._last_candidates(probabilities, cumulative)
        # the last sum may be off 1 by rounding: draw from [0, that sum)
        drawn = uniform(self.seeds, lengths[:, None]).view(-1, 1) * cumulative.gather(1, last)
        # right: a token of probability 0 is never drawn, even at 0
        ranks = torch.searchsorted(cumulative, drawn, right=True).minimum(last)
        chosen, chosen_log_probs = (x.gather(1, ranks).view_as(eos_log_probs) for x in (tokens, best))
        at_limit = (lengths >= self.limits)[:, None]
        return torch.where(at_limit, eos_log_probs, chosen_log_probs), torch.where(at_limit, EOS, chosen)

    def _last_candidates(self, probabilities: Tensor, cumulative: Tensor) -> Tensor:
        """Rank (N, 1) of the last token that may be drawn, of tokens in the order of their probabilities (N, V)."""
        last = torch.full_like(cumulative[:, :1], cumulative.shape[1] - 1, dtype=torch.int64)
        if self.config.top_p < 1:
            # the token that reaches top_p is the last one
            last = torch.minimum(last, (cumulative < self.config.top_p).sum(dim=1, keepdim=True))
        if self.config.epsilon:
            # of the probability that is left; the likeliest token always stays
            likely = probabilities >= self.config.epsilon * cumulative.gather(1, last)
            last = torch.minimum(last, likely.sum(dim=1, keepdim=True).clamp(min=1) - 1)
        return last


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


def _seed(seed: int, source: Sequence[int], draw: int) -> int:
    """Seed of one draw for a sentence, of a draw numbered from 0."""
    # the first draw has the seed that it had before several could be drawn: earlier samples can be repeated
    content = (seed, *source) if draw == 0 else (seed, *source, f"draw {draw}")
    # not hash(), which may differ between versions of Python
    return int.from_bytes(blake2b(repr(content).encode(), digest_size=8).digest(), "big", signed=True)
