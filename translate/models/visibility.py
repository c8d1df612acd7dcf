"""The keys that a query may attend to, and rotary positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from translate.batch import Tokens
from translate.models.rotary import Rotation


def hidden_bias(dtype: torch.dtype) -> float:
    """Bias of a hidden key: large enough that its weight is 0, small enough that adding a score stays finite."""
    return max(-1e30, torch.finfo(dtype).min / 2)


@dataclass(frozen=True, eq=False)
class Visibility:
    """The keys that each query may attend to, computed once per pass and used by every layer.

    bias           (B, 1, 1 or T, S), to be added to the scores: 0 where visible, a large negative number
                   elsewhere (not minus infinity: a row with nothing visible must not become NaN)
    query_offsets, key_offsets   of the packed sentences, as in Tokens; bias is None then
    rotation       of queries and keys in self-attention with rotary positions
    """

    causal: bool
    bias: Tensor | None = None
    query_offsets: Tensor | None = None
    key_offsets: Tensor | None = None
    max_queries: int = 0
    max_keys: int = 0
    rotation: Rotation | None = None

    @property
    def is_packed(self) -> bool:
        return self.query_offsets is not None


def visibility(queries: Tokens, keys: Tokens, *, causal: bool, rotation: Rotation | None = None) -> Visibility:
    """Real tokens of the same sentence, and with causal=True only those up to the query's own place."""
    if queries.is_packed:
        return Visibility(
            causal,
            query_offsets=queries.offsets,
            key_offsets=keys.offsets,
            max_queries=queries.max_length,
            max_keys=keys.max_length,
            rotation=rotation,
        )
    assert keys.mask is not None
    visible = keys.mask[:, None, None, :]
    if causal:
        length = keys.mask.shape[1]
        visible = visible & torch.ones(length, length, dtype=torch.bool, device=visible.device).tril()
    dtype = _score_dtype(visible.device)
    bias = torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, hidden_bias(dtype))
    return Visibility(causal, bias=bias, rotation=rotation)


def _score_dtype(device: torch.device) -> torch.dtype:
    """Type of scores under autocast: a bias of a wider type would convert them back."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else torch.float32
