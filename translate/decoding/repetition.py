"""Limits on repetition in translations: forbidden n-grams, and a penalty for tokens that were generated already.

Both change the logits before the softmax, as CTranslate2 does, so that the two engines search alike. Histories are
right-aligned and padded on the left; the padding never counts, so that no sentence depends on the length of others in
its batch.

Letters: N hypotheses, T tokens, V target vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from translate.decoding.hypotheses import SearchConfig
from translate.special_tokens import EOS, PAD


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
