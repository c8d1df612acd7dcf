"""The slow paths of training on a CPU that the fast ones must equal, in their places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch.nn.functional as F
from torch import Tensor

from translate.batch import NO_TARGET
from translate.models import attention
from translate.models.attention_kernels import attend_explicitly, join_heads, split_heads
from translate.models.rotary import Rotation
from translate.training import step


@contextmanager
def reference_paths() -> Iterator[None]:
    """Train with attention as its formula says and PyTorch's cross entropy of all logits.

    Dropout's masks stay those of the pool, so that losses can be compared update by update.
    """
    with ExitStack() as patches:
        patches.enter_context(patch.object(attention, "self_attend_by_hand", _self_attend))
        patches.enter_context(patch.object(attention, "attend_by_hand", _attend))
        patches.enter_context(patch.object(step, "label_smoothed_cross_entropy", _cross_entropy))
        yield


def _self_attend(
    projected: Tensor, bias: Tensor | None, rotation: Rotation | None, *, num_heads: int, dropout_rate: float
) -> Tensor:
    q, k, v = (split_heads(x, num_heads) for x in projected.chunk(3, dim=-1))
    if rotation is not None:
        q, k = rotation.turn(q), rotation.turn(k)
    return join_heads(attend_explicitly(q, k, v, bias, dropout_rate=dropout_rate)[0])


def _attend(query: Tensor, key_value: Tensor, bias: Tensor | None, *, num_heads: int, dropout_rate: float) -> Tensor:
    q, k, v = (split_heads(x, num_heads) for x in (query, *key_value.chunk(2, dim=-1)))
    return join_heads(attend_explicitly(q, k, v, bias, dropout_rate=dropout_rate)[0])


def _cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, *, smoothing: float) -> tuple[Tensor, Tensor]:
    logits, labels = F.linear(hidden, weight).float().flatten(0, -2), labels.flatten()
    smoothed, plain = (
        F.cross_entropy(logits, labels, ignore_index=NO_TARGET, label_smoothing=rate, reduction="sum")
        for rate in (smoothing, 0.0)
    )
    return smoothed, plain.detach()
