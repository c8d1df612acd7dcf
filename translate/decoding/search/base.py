"""The contract of a search, and the scoring of next tokens that all searches share.

Letters: B sentences, K hypotheses of one sentence, N = B * K, V target vocabulary, T tokens since the earliest of the
sentences started.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor

from translate.batched_state import BatchedState, Padding
from translate.decoding.config import Hypothesis, SearchConfig
from translate.memory import require_memory
from translate.tokenizer import EOS, PAD

HISTORY = Padding(-1, PAD, left=True)  # tokens so far: the last ones are aligned
Found = list[tuple[int, list[Hypothesis]]]  # index of a sentence, its hypotheses
Report = Callable[[Found], None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Search(BatchedState, ABC):
    """The hypotheses of B sentences, which may have started at different times: their last tokens are aligned.

    A search never sees the model: it proposes the tokens to read next (last_tokens), and is advanced by the logits that
    follow them.

    lengths  (B,) int64  tokens so far, BOS not counted
    limits   (B,) int64  most tokens of a hypothesis, EOS counted
    done     (B,) bool   True where the result is final; further steps do not change it
    """

    config: SearchConfig
    lengths: Tensor
    limits: Tensor
    done: Tensor

    @classmethod
    @abstractmethod
    def start(cls, sources: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> Self:
        """One empty hypothesis of each source sentence, on the device of limits (B,)."""

    @property
    @abstractmethod
    def last_tokens(self) -> Tensor:
        """Tokens (N,) that the model reads next."""

    @abstractmethod
    def advance(self, logits: Tensor) -> tuple[Self, Tensor | None]:
        """Extend every hypothesis by one token; logits (N, V) are those of the next token.

        Returns the search and the parents (B, K'): the index of the hypothesis of its sentence that each one extends,
        where K' may differ from K; None where every hypothesis extends itself.
        """

    @abstractmethod
    def hypotheses(self) -> list[list[Hypothesis]]:
        """The n_best hypotheses of each sentence, all of which are done, best first.

        Raises DivergedError where the model's scores are not finite.
        """

    def restrict(self, log_probs: Tensor) -> None:
        """Set log probabilities (N, V) of continuations that are not allowed to minus infinity, in place; none here."""

    def needed_length(self) -> int:
        """Columns of the histories that the longest hypothesis needs, BOS counted."""
        return int(self.lengths.max()) + 1

    def replace(self, rows: Tensor, other: Self) -> Self:
        # every step adds a column to the histories: those that only the replaced sentences needed are dropped
        return super().replace(rows, other).trimmed()


def sentences_in_memory(config: SearchConfig, memory: int, *, vocabulary_size: int, cached: int) -> int:
    """Number of sentences, at least one, that can be searched for together in so many bytes.

    cached  elements of the state of a hypothesis at its greatest length

    Raises UserError, with the figures, where there is not enough memory for one sentence.
    """
    hypotheses = config.hypotheses
    # fp32: logits, their log softmax and a copy to take the best of; the cache, and a copy while it is reordered
    elements = hypotheses * (3 * vocabulary_size + 2 * cached)
    # 2K continuations of each hypothesis, before and after sorting: a score and an index
    elements += 2 * 3 * hypotheses * min(2 * hypotheses, vocabulary_size)
    option = "beam_size" if config.is_beam else "samples"
    require_memory(
        4 * elements,
        memory,
        purpose=f"search.{option}={hypotheses}: one sentence, with translations of up to the greatest length,",
        remedy=f"lower search.{option} or search.max_length",
    )
    return max(1, memory // (4 * elements)) if memory else sys.maxsize


def top_continuations(
    logits: Tensor,
    count: int,
    *,
    lengths: Tensor,
    search: Search,
    penalties: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Log probabilities and tokens (B, K, count) of the best continuations of each hypothesis, best first.

    logits     (N, V)
    lengths    (B,)    of a sentence's hypotheses with the new token, EOS counted
    penalties  (N, V)  subtracted from log probabilities; None: none

    Forbidden tokens have minus infinity; the others keep the model's log probability, without renormalisation. Tokens
    of equal probability come in the order of their ids.
    """
    log_probs, eos_log_probs = mask_forbidden(logits, lengths=lengths, search=search)
    if penalties is not None:
        log_probs -= penalties
    best, tokens = (x.view(len(lengths), -1, x.shape[-1]) for x in stable_topk(log_probs, count))
    # A hypothesis at its limit can only end. It takes EOS with the model's own probability: the score of every returned
    # hypothesis includes that of EOS, so that a hypothesis cut off at its limit cannot win.
    at_limit = (lengths >= search.limits)[:, None]
    best.masked_fill_(at_limit[:, :, None], -torch.inf)
    best[:, :, 0] = torch.where(at_limit, eos_log_probs, best[:, :, 0])
    tokens[:, :, 0].masked_fill_(at_limit, EOS)
    return best, tokens


def mask_forbidden(logits: Tensor, *, lengths: Tensor, search: Search) -> tuple[Tensor, Tensor]:
    """Log probabilities (N, V), minus infinity for forbidden tokens, and those of EOS, (B, K), never masked.

    logits (N, V); lengths (B,) as in top_continuations.
    """
    config = search.config
    log_probs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    eos_log_probs = log_probs[:, EOS].view(len(lengths), -1).clone()
    log_probs[:, :EOS] = -torch.inf  # NEVER_GENERATED: their ids are below EOS
    if config.min_length:
        may_end = lengths[:, None] > config.min_length
        if config.no_repeat_ngram:  # it may have forbidden all other tokens: EOS is what remains
            may_end = may_end | ~log_probs[:, EOS + 1 :].isfinite().any(dim=1).view(eos_log_probs.shape)
        log_probs[:, EOS] = torch.where(may_end, eos_log_probs, -torch.inf).flatten()
    search.restrict(log_probs)
    return log_probs, eos_log_probs


def stable_topk(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The highest `count` scores of each row (N, V) and their indices, best first, equal ones by their indices."""
    count = min(count, scores.shape[1])
    if count == 1:
        return scores.max(dim=1, keepdim=True)
    if count == scores.shape[1]:  # as sampling from the whole vocabulary needs
        values, indices = scores.sort(dim=1, descending=True, stable=True)
        return values, indices
    # topk promises no order among equal scores: sort its indices, then stably by score
    indices = grouped_topk(scores, count).sort(dim=1).values
    values, order = scores.gather(1, indices).sort(dim=1, descending=True, stable=True)
    return values, indices.gather(1, order)


# On a CPU topk compares one column after the other: rows of at least _WIDE columns are searched by groups of columns.
_WIDE, _GROUP_SIZE = 2048, 16


def grouped_topk(scores: Tensor, count: int) -> Tensor:
    """Indices (N, count) of the highest scores of each row (N, V), unordered.

    The maxima of groups of columns are computed with vector instructions, and each of the highest scores lies in one
    of the `count` groups with the highest maxima: only these are searched column by column.
    """
    groups = scores.shape[1] // _GROUP_SIZE
    if scores.is_cuda or scores.shape[1] < _WIDE or groups < count:
        return scores.topk(count, dim=1, sorted=False).indices
    grouped = groups * _GROUP_SIZE
    # 1. Maxima of the groups; group g has the columns g, g + groups, g + 2 * groups, …
    maxima = scores[:, :grouped].unflatten(1, (_GROUP_SIZE, groups)).amax(1)
    best_groups = maxima.topk(count, dim=1, sorted=False).indices
    # 2. All columns of the best groups, and the rest that fills no group.
    columns = (best_groups[:, :, None] + torch.arange(0, grouped, groups)).flatten(1)
    rest = torch.arange(grouped, scores.shape[1]).expand(len(scores), -1)
    columns = torch.cat([columns, rest], dim=1)
    # 3. The highest scores among these columns.
    return columns.gather(1, scores.gather(1, columns).topk(count, dim=1, sorted=False).indices)


def limit_repetition(logits: Tensor, tokens: Tensor, lengths: Tensor, config: SearchConfig) -> Tensor:
    """Logits (N, V) in fp32, lowered for repeated tokens by search.no_repeat_ngram and search.repetition_penalty.

    tokens (N, T) are the hypotheses so far, of which the last `lengths` (N,) columns count; BOS does not. PAD, UNK, BOS
    and EOS keep their logits, so that a hypothesis can always end.
    """
    logits = logits.float()
    is_real = torch.arange(tokens.shape[1], device=tokens.device) >= tokens.shape[1] - lengths[:, None]
    # PAD replaces every token that does not count: it is never generated, and its logit stays as it is
    tokens = tokens.masked_fill(~is_real | (tokens <= EOS), PAD)
    if config.repetition_penalty != 1.0:
        logits = _penalize(logits, tokens, config.repetition_penalty)
    if config.no_repeat_ngram:
        logits = logits.masked_fill(_completes_ngram(tokens, config.no_repeat_ngram, logits.shape[1]), -torch.inf)
    return logits


def _penalize(logits: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Logits of the tokens divided by the penalty where positive, else multiplied (Keskar et al. 2019, CTRL)."""
    # a token that occurs twice is read and written twice with one value: penalised once
    before = logits.gather(1, tokens)
    after = torch.where(before > 0, before / penalty, before * penalty)
    return logits.scatter(1, tokens, torch.where(tokens == PAD, before, after))


def _completes_ngram(tokens: Tensor, n: int, vocabulary_size: int) -> Tensor:
    """(N, V): True for tokens that, after the last n - 1 ones, complete an n-gram that occurred before."""
    banned = torch.zeros(len(tokens), vocabulary_size, dtype=torch.bool, device=tokens.device)
    if tokens.shape[1] < n:
        return banned
    ngrams = tokens.unfold(1, n, 1)  # (N, T - n + 1, n)
    # an n-gram bans its last token where its first n - 1 tokens are the hypothesis's last n - 1
    context = tokens[:, tokens.shape[1] - n + 1 :]
    is_repeated = (ngrams[:, :, :-1] == context[:, None]).all(dim=2) & (ngrams[:, :, 0] != PAD)
    # n-grams that do not match mark PAD instead, which is cleared
    banned.scatter_(1, ngrams[:, :, -1].masked_fill(~is_repeated, PAD), True)
    banned[:, PAD] = False
    return banned


@dataclass
class Queue:
    """The numbers 0 to size - 1, each taken once, by the first process that asks."""

    size: int
    counter: Any = field(default_factory=lambda: SimpleNamespace(value=0))
    lock: AbstractContextManager[Any] = field(default_factory=nullcontext)

    @property
    def next_index(self) -> int:
        """The next number, or size if all are taken; until take() is called another process may have taken it."""
        return int(self.counter.value)

    def take(self, count: int) -> list[int]:
        """The next numbers, at most `count`."""
        # read and raised in one step: two workers must not get the same numbers
        with self.lock:
            first = self.counter.value
            self.counter.value = min(first + max(0, count), self.size)
            return list(range(first, self.counter.value))
