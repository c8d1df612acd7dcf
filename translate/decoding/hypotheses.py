"""What every search shares: its settings, its results, and which tokens may come next.

Letters: B sentences, K hypotheses of one sentence, N = B * K, V target vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

from translate.batch import BOS, EOS, PAD, UNK
from translate.errors import UserError

NEVER_SAID = (PAD, UNK, BOS)  # the tokens before EOS
_WIDE, _GROUP = 2048, 16  # columns; fewer are searched one by one
DIVERGED = "the model's scores are not finite: its training has diverged, it cannot translate"


class SearchMethod(StrEnum):
    beam = "beam"
    greedy = "greedy"


@dataclass(kw_only=True)
class SearchConfig:
    """How a model's next-token probabilities become a translation.

    length_penalty  the alpha of score = log p / length ** alpha, where length counts EOS (the power form)
    min_length      tokens of a translation, EOS not counted
    max_length      likewise; 0: as many as the model allows
    max_length_ratio, max_length_offset   a second bound: ratio * source tokens + offset
    n_best          how many translations of one sentence are returned
    """

    method: SearchMethod = SearchMethod.beam
    beam_size: int = 5
    length_penalty: float = 1.0
    min_length: int = 0
    max_length: int = 0
    max_length_ratio: float = 2.0
    max_length_offset: int = 10
    n_best: int = 1

    def check(self) -> None:
        """Raise UserError for settings that make no search."""
        hypotheses = 1 if self.method == SearchMethod.greedy else self.beam_size
        if self.beam_size < 1:
            raise UserError(f"search.beam_size ({self.beam_size}) must be at least 1")
        if not 1 <= self.n_best <= hypotheses:
            raise UserError(
                f"search.n_best ({self.n_best}) must lie between 1 and the number of hypotheses that "
                f"search.method={self.method} keeps ({hypotheses})"
            )
        if self.length_penalty < 0:
            raise UserError(f"search.length_penalty ({self.length_penalty}) must not be negative")
        if self.min_length < 0 or self.max_length < 0:
            raise UserError("search.min_length and search.max_length must not be negative")
        if self.max_length and self.max_length < self.min_length:
            raise UserError(f"search.max_length ({self.max_length}) is less than search.min_length ({self.min_length})")
        if self.max_length_ratio < 0 or self.max_length_ratio == self.max_length_offset == 0:
            raise UserError("search.max_length_ratio and search.max_length_offset leave no room for a translation")


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """One translation: its tokens without EOS, and its length-normalised log probability, EOS included."""

    tokens: list[int]
    score: float


def length_limits(lengths: Sequence[int], config: SearchConfig, max_length: int) -> list[int]:
    """Most tokens of each sentence's translation, EOS not counted: a function of that sentence alone.

    lengths count the source tokens with EOS; max_length is what the model can write.
    """
    ceiling = min(config.max_length or max_length, max_length)
    wished = [int(config.max_length_ratio * length) + config.max_length_offset for length in lengths]
    return [min(max(limit, config.min_length, 1), ceiling) for limit in wished]


def best_continuations(
    logits: Tensor, count: int, *, lengths: Tensor, limits: Tensor, config: SearchConfig
) -> tuple[Tensor, Tensor]:
    """The count likeliest next tokens of each hypothesis and their log probabilities: (B, K, count) both, best first.

    logits (N, V); lengths (B,) are those of a sentence's hypotheses with the new token, EOS counted, and limits (B,)
    the greatest. Tokens that may not come now have minus infinity; the others keep what the model gave them. A
    hypothesis at its limit may only end: whatever is returned has been ended by the model's own probability, so
    that one that merely ran on cannot win. Equal probabilities go to the lower token.
    """
    log_probs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    of_sentences = (len(lengths), -1)
    end = log_probs[:, EOS].view(of_sentences).clone()
    log_probs[:, :EOS] = -torch.inf  # NEVER_SAID
    if config.min_length:
        may_end = lengths[:, None] > config.min_length
        log_probs[:, EOS] = torch.where(may_end, end, -torch.inf).flatten()
    best, tokens = (x.view(*of_sentences, x.shape[-1]) for x in highest(log_probs, count))
    must_end = (lengths >= limits)[:, None]
    best.masked_fill_(must_end[:, :, None], -torch.inf)
    best[:, :, 0] = torch.where(must_end, end, best[:, :, 0])
    tokens[:, :, 0].masked_fill_(must_end, EOS)
    return best, tokens


def highest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest scores of each row, best first, and where they are; equal ones in that order."""
    count = min(count, scores.shape[1])
    if count == 1:
        return scores.max(dim=1, keepdim=True)
    indices = _where_highest(scores, count).sort(dim=1).values
    values, order = scores.gather(1, indices).sort(dim=1, descending=True, stable=True)
    return values, indices.gather(1, order)


def _where_highest(scores: Tensor, count: int) -> Tensor:
    """(N, count), in no order.

    On a CPU, where topk looks at one element after the other: only among the groups of columns with the highest
    maxima, which are found many at a time. Every one of the highest scores is in one of those.
    """
    groups = scores.shape[1] // _GROUP
    if scores.is_cuda or scores.shape[1] < _WIDE or groups < count:
        return scores.topk(count, dim=1, sorted=False).indices
    grouped = groups * _GROUP
    maxima = scores[:, :grouped].unflatten(1, (_GROUP, groups)).amax(1)  # group g: columns g, g + groups, ...
    chosen = maxima.topk(count, dim=1, sorted=False).indices
    columns = (chosen[:, :, None] + torch.arange(0, grouped, groups)).flatten(1)
    rest = torch.arange(grouped, scores.shape[1]).expand(len(scores), -1)
    columns = torch.cat([columns, rest], dim=1)
    return columns.gather(1, scores.gather(1, columns).topk(count, dim=1, sorted=False).indices)
