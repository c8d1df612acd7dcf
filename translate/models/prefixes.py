"""Tokens that a model puts in front of sentences by itself, as models of many languages do with tokens of languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from translate.batch import Tokens
from translate.models.seq2seq import EmbeddingNoise


def with_prefix(tokens: Tokens, prefix: Sequence[int], *, dropped: int = 0) -> Tokens:
    """Padded sentences (B, L) with the prefix in front of each, (B, P - dropped + L).

    dropped  number of first tokens that the prefix replaces
    """
    if not prefix:
        return tokens
    assert tokens.mask is not None, "packed sentences have no prefix"
    added = len(prefix) - dropped
    front = torch.tensor(prefix, device=tokens.ids.device).expand(len(tokens.ids), -1)
    ids = torch.cat([front, tokens.ids[:, dropped:]], dim=1)
    first = torch.arange(added, device=tokens.ids.device).expand(len(tokens.ids), -1)
    return replace(
        tokens,
        ids=ids,
        # padding keeps a position of a real token
        positions=torch.cat([first, tokens.positions + added], dim=1),
        mask=F.pad(tokens.mask, (added, 0), value=True),
        max_length=tokens.max_length + added,
    )


def without_prefix(weights: Tensor, queries: int, keys: int) -> Tensor:
    """Attention weights (B, H, T, S) without those of prefixes of so many queries and keys."""
    return weights[:, :, queries:, keys:] if queries or keys else weights


def behind_prefixes(noise: EmbeddingNoise | None, *, source: int, target: int) -> EmbeddingNoise | None:
    """Noise that leaves so many first tokens of each side as they are."""
    if noise is None or not (source or target):
        return noise
    return EmbeddingNoise(_behind(noise.source, source), _behind(noise.target, target))


def _behind(noise: Callable[[Tensor, int], Tensor], ahead: int) -> Callable[[Tensor, int], Tensor]:
    return lambda x, start: torch.cat([x[:, :ahead], noise(x[:, ahead:], start)], dim=1)
