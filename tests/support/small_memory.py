"""A memory too small for large batches: the CPU's allocator fails for activations above a size."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

IMPOSSIBLE = 1 << 52  # bytes


class SmallMemory(TorchDispatchMode):
    """Context of training in which tensors of three or more dimensions, as (B, T, D), have at most so many elements.

    backward  fail in backward passes alone; decoding: without gradients, too
    failures  number of errors so far
    """

    def __init__(self, most: int, *, backward: bool = False, decoding: bool = False):
        super().__init__()
        self.most, self.backward, self.decoding, self.failures = most, backward, decoding, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        is_backward = torch._C._current_graph_task_id() != -1
        if is_backward or ((torch.is_grad_enabled() or self.decoding) and not self.backward):
            for value in tree_leaves(result):
                if isinstance(value, Tensor) and value.dim() >= 3 and value.numel() > self.most:
                    self.failures += 1
                    torch.empty(IMPOSSIBLE, dtype=torch.uint8)  # raises the error of the real allocator
        return result
