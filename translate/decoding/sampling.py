"""Sampling: the next token is drawn as likely as the model finds it, until the end of the sentence is drawn.

For translations as varied as people's (Edunov et al. 2018, "Understanding Back-Translation at Scale").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Self

import torch
from torch import Tensor

from translate.decoding.continuations import highest, permitted
from translate.decoding.greedy import GreedySearch
from translate.decoding.hypotheses import SearchConfig
from translate.special_tokens import EOS


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
