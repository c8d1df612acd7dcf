"""Which tokens may come next, and the best of them.

Letters: B sentences, K hypotheses of one sentence, N = B * K, V target vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from translate.decoding.hypotheses import SearchConfig
from translate.special_tokens import EOS

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
