"""The slow paths of training on a CPU that the fast ones must equal, in their places."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import torch.nn.functional as F
from torch import Tensor

from translate.batch import NO_TARGET
from translate.models import attention
from translate.models.attention import AttentionMask, attend_reference, join_heads
from translate.training import step


@contextmanager
def reference_paths() -> Iterator[None]:
    """Train with attention as its formula says and PyTorch's cross entropy of all logits.

    Dropout's masks stay those of the pool, so that losses can be compared update by update.
    """
    with ExitStack() as patches:
        patches.enter_context(patch.object(attention, "attend", _attend))
        patches.enter_context(patch.object(step, "label_smoothed_cross_entropy", _cross_entropy))
        yield


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask, *, dropout_rate: float = 0.0, **_: object
) -> tuple[Tensor, None]:
    assert mask.bias is not None
    return join_heads(attend_reference(query, key, value, mask.bias, dropout_rate=dropout_rate)[0]), None


def _cross_entropy(hidden: Tensor, weight: Tensor, labels: Tensor, *, smoothing: float) -> tuple[Tensor, Tensor]:
    logits, labels = F.linear(hidden, weight).float().flatten(0, -2), labels.flatten()
    smoothed, plain = (
        F.cross_entropy(logits, labels, ignore_index=NO_TARGET, label_smoothing=rate, reduction="sum")
        for rate in (smoothing, 0.0)
    )
    return smoothed, plain.detach()
