"""Settings and results of searches, common to all engines, and limits of the results' lengths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from translate.errors import UserError
from translate.special_tokens import BOS, PAD, UNK

NEVER_SAID = (PAD, UNK, BOS)
DIVERGED = "the model's scores are not finite: its training has diverged, it cannot translate"


class SearchMethod(StrEnum):
    beam = "beam"
    greedy = "greedy"
    sampling = "sampling"


@dataclass(kw_only=True)
class SearchConfig:
    """Settings of the search for translations.

    length_penalty  the alpha of score = log p / length ** alpha, where length counts EOS (the power form)
    min_length      tokens of a translation, EOS not counted
    max_length      likewise; 0: as many as the model allows
    max_length_ratio, max_length_offset   a second bound: ratio * source tokens + offset
    n_best          number of translations of a sentence that are returned
    no_repeat_ngram     n: no n-gram of target tokens occurs twice in a translation, even if it then has to end before
                        min_length; 0: no limit
    repetition_penalty  divides positive logits, and multiplies others, of tokens that a translation already has
                        (Keskar et al. 2019, CTRL); 1: off. Below 1, repetition becomes likelier
    temperature     sampling: divides log probabilities; below 1 likely tokens become likelier
    top_k           sampling: draw from so many of the likeliest tokens; 0: from all
    seed            sampling: of the random numbers
    """

    method: SearchMethod = SearchMethod.beam
    beam_size: int = 5
    length_penalty: float = 1.0
    min_length: int = 0
    max_length: int = 0
    max_length_ratio: float = 2.0
    max_length_offset: int = 10
    n_best: int = 1
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_k: int = 0
    seed: int = 1

    @property
    def limits_repetition(self) -> bool:
        return self.no_repeat_ngram > 0 or self.repetition_penalty != 1.0

    def check(self) -> None:
        """Raise UserError for settings that make no search."""
        hypotheses = self.beam_size if self.method is SearchMethod.beam else 1
        if self.beam_size < 1:
            raise UserError(f"search.beam_size ({self.beam_size}) must be at least 1")
        if not 1 <= self.n_best <= hypotheses:
            raise UserError(
                f"search.n_best ({self.n_best}) must lie between 1 and the number of hypotheses that "
                f"search.method={self.method} keeps ({hypotheses})"
            )
        if self.length_penalty < 0:
            raise UserError(f"search.length_penalty ({self.length_penalty}) must not be negative")
        if self.no_repeat_ngram < 0:
            raise UserError(f"search.no_repeat_ngram ({self.no_repeat_ngram}) must not be negative; 0: off")
        if not (self.repetition_penalty > 0 and math.isfinite(self.repetition_penalty)):
            raise UserError(f"search.repetition_penalty ({self.repetition_penalty}) must be a number above 0; 1: off")
        if self.temperature <= 0 or self.top_k < 0:
            raise UserError(
                f"search.temperature ({self.temperature}) must be above 0, search.top_k ({self.top_k}) not negative"
            )
        if self.min_length < 0 or self.max_length < 0:
            raise UserError("search.min_length and search.max_length must not be negative")
        if self.max_length and self.max_length < self.min_length:
            raise UserError(f"search.max_length ({self.max_length}) is less than search.min_length ({self.min_length})")
        if self.max_length_ratio < 0 or self.max_length_ratio == self.max_length_offset == 0:
            raise UserError("search.max_length_ratio and search.max_length_offset leave no room for a translation")


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One translation: its tokens without EOS, and its length-normalised log probability, EOS included.

    The probability is the model's own, without what the search changed to limit repetition.
    """

    tokens: list[int]
    score: float


def length_limits(lengths: Sequence[int], config: SearchConfig, max_length: int) -> list[int]:
    """Most tokens of each sentence's translation, EOS not counted: a function of that sentence alone.

    lengths count the source tokens with EOS; max_length is what the model can write.
    """
    ceiling = min(config.max_length or max_length, max_length)
    wished = [int(config.max_length_ratio * length) + config.max_length_offset for length in lengths]
    return [min(max(limit, config.min_length, 1), ceiling) for limit in wished]
