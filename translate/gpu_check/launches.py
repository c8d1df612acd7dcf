"""Count the work of a GPU: kernel launches, host reads, floating-point operations and bytes.

A PyTorch operation counts as one launch, unless it is known to launch several kernels. Views and allocations are none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

# operations, beside views, that only allocate or describe tensors
_WITHOUT_KERNEL = {"empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view", "device", "lift_fresh"}
_WITHOUT_KERNEL |= {"is_set_to"}
# operations that return a value to the host, which has to wait for the device
_HOST_READS = {"_local_scalar_dense", "equal", "nonzero", "masked_select", "unique", "is_nonzero"}
# operations with more than one kernel. The gradient of an embedding sorts and adds up the rows of its tokens; attention
# also clears the state of a random generator that it does not use
_KERNELS = {"embedding_dense_backward": 6, "sort": 2, "topk": 2, "_varlen_attn": 2, "_varlen_attn_backward": 3}
# attention of packed sentences: its floating-point operations are not counted, as fake tensors have no lengths
_OF_UNKNOWN_LENGTHS = {"_efficient_attention_forward", "_efficient_attention_backward"}
# most tensors per launch of a multi-tensor kernel, by the number of tensor lists (PyTorch's MultiTensorApply)
_TENSORS_PER_LAUNCH = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
_ELEMENTS_PER_LAUNCH = 320 * 65_536
_OPTIMIZERS = {"_fused_adamw_", "_fused_adam_"}


@dataclass(frozen=True)
class Kernel:
    """One operation on the device.

    launches  number of kernels
    flops     floating-point operations, only of matrix products and of attention of padded sentences
    size      bytes read and written
    """

    name: str
    launches: int
    flops: int
    size: int


@dataclass
class Work:
    """Kernels in the order of their launches, and operations that made the host wait."""

    kernels: list[Kernel] = field(default_factory=list)
    host_reads: list[str] = field(default_factory=list)

    @property
    def launches(self) -> int:
        return sum(kernel.launches for kernel in self.kernels)

    def by_name(self) -> Counter[str]:
        """Launches of each operation."""
        counts: Counter[str] = Counter()
        for kernel in self.kernels:
            counts[kernel.name] += kernel.launches
        return counts


class LaunchCounter(TorchDispatchMode):
    """Context that records the work of all operations in it; see Work.

    value_read  what the host reads from fake tensors, which have no values
    """

    def __init__(self, *, value_read: float = 0.0):
        super().__init__()
        self.work, self._value_read = Work(), value_read

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: Mapping[str, Any] | None = None
    ) -> Any:
        name, options = operation.overloadpacket.__name__, options or {}
        if name in ("item", "_local_scalar_dense"):  # the first in inference mode, the second otherwise
            self.work.host_reads.append(name)
            return _of_type(self._value_read, arguments[0].dtype)
        result = operation(*arguments, **options)
        if name in _HOST_READS:
            self.work.host_reads.append(name)
        if name not in _WITHOUT_KERNEL and not _is_view(operation, (arguments, options), result):
            self.work.kernels.append(_kernel(operation, name, arguments, options, result))
        return result


def _of_type(value: float, dtype: torch.dtype) -> float | int | bool:
    return value if dtype.is_floating_point else bool(value) if dtype is torch.bool else int(value)


def _is_view(operation: Any, arguments: Any, result: Any) -> bool:
    """True if the operation writes nothing, and all its results share memory with its arguments."""
    known = {x.untyped_storage()._cdata for x in tree_leaves(arguments) if isinstance(x, Tensor)}
    results = [x for x in tree_leaves(result) if isinstance(x, Tensor)]
    return not operation._schema.is_mutable and all(x.untyped_storage()._cdata in known for x in results)


def _kernel(operation: Any, name: str, arguments: tuple[Any, ...], options: Mapping[str, Any], result: Any) -> Kernel:
    flops = None if name in _OF_UNKNOWN_LENGTHS else flop_registry.get(operation.overloadpacket)
    # index_copy_ writes only as many bytes of its target as it copies
    touched = [*arguments[2:], arguments[3]] if name == "index_copy_" else [arguments, dict(options), result]
    tensors = [x for x in tree_leaves(touched) if isinstance(x, Tensor)]
    return Kernel(
        name,
        launches=_launches(name, arguments),
        flops=int(flops(*arguments, **options, out_val=result)) if flops else 0,
        size=sum(x.numel() * x.element_size() for x in tensors),
    )


def _launches(name: str, arguments: Sequence[Any]) -> int:
    if name.startswith("_foreach_") or name in _OPTIMIZERS:
        lists = [x for x in arguments if isinstance(x, list | tuple) and x and isinstance(x[0], Tensor)]
        numbers = [x for x in lists if x[0].dim()] or lists
        if name == "_foreach_copy_" and any(x.stride() != y.stride() for x, y in zip(*lists, strict=True)):
            return len(lists[0])  # one after the other
        per_launch = _TENSORS_PER_LAUNCH[min(max(len(numbers), 1), 5)]
        elements = sum(x.numel() for x in lists[0])
        return max(-(-len(lists[0]) // per_launch), math.ceil(elements / _ELEMENTS_PER_LAUNCH))
    return _KERNELS.get(name, 1)


def work_of(function: Callable[[], object], *, value_read: float = 0.0) -> Work:
    """The work of a function."""
    with LaunchCounter(value_read=value_read) as counter:
        function()
    return counter.work
