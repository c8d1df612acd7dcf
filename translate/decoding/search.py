"""What a search is to the engine that drives it: so many sentences under way, which come, grow and leave.

Letters: B sentences, K hypotheses of one sentence, N = B * K, V target vocabulary, T tokens since the earliest of the
sentences began.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.decoding.config import Hypothesis, SearchConfig
from translate.tokenizer import EOS, PAD


@dataclass(frozen=True, eq=False, kw_only=True)
class Search(ABC):
    """The hypotheses of B sentences, which may have begun at different times: their last tokens are aligned.

    Every field but config is a tensor with a row per sentence.

    lengths  (B,): tokens so far, BOS not counted
    limits   (B,): the greatest length, EOS counted
    done     (B,): whose result is certain; further steps do not change it
    """

    HISTORIES: ClassVar[tuple[str, ...]]  # the fields whose last dimension is time, T

    config: SearchConfig
    lengths: Tensor
    limits: Tensor
    done: Tensor

    @classmethod
    @abstractmethod
    def start(cls, sentences: Sequence[Sequence[int]], limits: Tensor, config: SearchConfig) -> Self:
        """One empty hypothesis of each source sentence."""

    @classmethod
    def beginning(cls, limits: Tensor, config: SearchConfig) -> dict[str, Any]:
        """The fields of sentences that have not begun."""
        zero = torch.zeros_like(limits)
        return {"config": config, "lengths": zero, "limits": limits, "done": zero.bool()}

    @property
    @abstractmethod
    def last_tokens(self) -> Tensor:
        """(N,): what the model has to read next."""

    @abstractmethod
    def extend(self, logits: Tensor) -> tuple[Self, Tensor | None]:
        """Every hypothesis one token longer, by logits (N, V).

        Also which hypothesis of its sentence each continues, (B, K'), where K' may be another K; None: itself.
        """

    @abstractmethod
    def collect(self, sentences: Sequence[int]) -> list[list[Hypothesis]]:
        """The n_best hypotheses of sentences that are done, best first; UserError where the model gave none."""

    def keep(self, sentences: Tensor) -> Self:
        """Only these sentences, (B',)."""
        return self._with({name: tensor.index_select(0, sentences) for name, tensor in self._tensors().items()})

    def join(self, other: Self) -> Self:
        """These sentences, then the other's."""
        return self._with({name: torch.cat(pair) for name, pair in self._pairs(other)})

    def replace(self, sentences: Tensor, other: Self) -> Self:
        """The other's sentences in the places of these ones, (B',), which have left."""
        return self._with({name: mine.index_copy(0, sentences, new) for name, (mine, new) in self._pairs(other)})

    def _tensors(self) -> dict[str, Tensor]:
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "config"}

    def _pairs(self, other: Self) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
        """Each field of both, with equally many columns."""
        for name, mine in self._tensors().items():
            pair = (mine, getattr(other, name))
            if name in self.HISTORIES:
                columns = max(x.shape[-1] for x in pair)
                pair = (_with_columns(pair[0], columns), _with_columns(pair[1], columns))
            yield name, pair

    def _with(self, tensors: dict[str, Tensor]) -> Self:
        """With other sentences, and no more columns than the longest of them needs."""
        columns = int(tensors["lengths"].max()) + 1
        tensors |= {name: tensors[name][..., -columns:] for name in self.HISTORIES}
        return replace(self, **cast(Any, tensors))


def _with_columns(history: Tensor, columns: int) -> Tensor:
    return F.pad(history, (columns - history.shape[-1], 0), value=PAD)


_WIDE, _GROUP = 2048, 16  # columns; fewer are searched one by one


def best_continuations(
    logits: Tensor, count: int, *, lengths: Tensor, limits: Tensor, config: SearchConfig
) -> tuple[Tensor, Tensor]:
    """The count likeliest next tokens of each hypothesis and their log probabilities: (B, K, count) both, best first.

    logits (N, V); lengths (B,) are those of a sentence's hypotheses with the new token, EOS counted, and limits (B,)
    the greatest. Tokens that may not come now have minus infinity; the others keep what the model gave them. A
    hypothesis at its limit may only end: whatever is returned has been ended by the model's own probability, so
    that one that merely ran on cannot win. Equal probabilities go to the lower token.
    """
    log_probs, end = permitted(logits, lengths=lengths, config=config)
    best, tokens = (x.view(len(lengths), -1, x.shape[-1]) for x in highest(log_probs, count))
    must_end = (lengths >= limits)[:, None]
    best.masked_fill_(must_end[:, :, None], -torch.inf)
    best[:, :, 0] = torch.where(must_end, end, best[:, :, 0])
    tokens[:, :, 0].masked_fill_(must_end, EOS)
    return best, tokens


def permitted(logits: Tensor, *, lengths: Tensor, config: SearchConfig) -> tuple[Tensor, Tensor]:
    """Log probabilities (N, V), minus infinity for what may not come now, and EOS's own, (B, K).

    logits (N, V); lengths (B,) as above.
    """
    log_probs = torch.log_softmax(logits, dim=-1, dtype=torch.float32)
    end = log_probs[:, EOS].view(len(lengths), -1).clone()
    log_probs[:, :EOS] = -torch.inf  # NEVER_SAID: they stand before EOS
    if config.min_length:
        may_end = lengths[:, None] > config.min_length
        if config.no_repeat_ngram:  # it may have forbidden all other tokens
            may_end = may_end | ~log_probs[:, EOS + 1 :].isfinite().any(dim=1).view(end.shape)
        log_probs[:, EOS] = torch.where(may_end, end, -torch.inf).flatten()
    return log_probs, end


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


def without_repetition(logits: Tensor, tokens: Tensor, lengths: Tensor, config: SearchConfig) -> Tensor:
    """Logits (N, V) in fp32, lowered for repeated tokens by search.no_repeat_ngram and search.repetition_penalty.

    tokens (N, T) are the hypotheses so far, of which the last `lengths` (N,) columns count; BOS does not. PAD, UNK, BOS
    and EOS keep their logits, so that a hypothesis can always end.
    """
    logits = logits.float()
    is_real = torch.arange(tokens.shape[1], device=tokens.device) >= tokens.shape[1] - lengths[:, None]
    # PAD replaces every token that does not count: it is never generated, and its logit stays as it is
    tokens = tokens.masked_fill(~is_real | (tokens <= EOS), PAD)
    if config.repetition_penalty != 1.0:
        logits = _penalised(logits, tokens, config.repetition_penalty)
    if config.no_repeat_ngram:
        logits = logits.masked_fill(_completes_ngram(tokens, config.no_repeat_ngram, logits.shape[1]), -torch.inf)
    return logits


def _penalised(logits: Tensor, tokens: Tensor, penalty: float) -> Tensor:
    """Logits of the tokens divided by the penalty where positive, else multiplied (Keskar et al. 2019, CTRL)."""
    before = logits.gather(1, tokens)
    after = torch.where(before > 0, before / penalty, before * penalty)
    return logits.scatter(1, tokens, torch.where(tokens == PAD, before, after))


def _completes_ngram(tokens: Tensor, n: int, vocabulary_size: int) -> Tensor:
    """(N, V): True for tokens that, after the last n - 1 ones, complete an n-gram that occurred before."""
    banned = torch.zeros(len(tokens), vocabulary_size, dtype=torch.bool, device=tokens.device)
    if tokens.shape[1] < n:
        return banned
    ngrams = tokens.unfold(1, n, 1)  # (N, T - n + 1, n)
    context = tokens[:, tokens.shape[1] - n + 1 :]
    is_repeated = (ngrams[:, :, :-1] == context[:, None]).all(dim=2) & (ngrams[:, :, 0] != PAD)
    banned.scatter_(1, ngrams[:, :, -1].masked_fill(~is_repeated, PAD), True)
    banned[:, PAD] = False
    return banned
