"""Stand-ins for CUDA graphs on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Repeating:
    """Calls the function again: whatever it computes is repeated, Python included."""

    def __init__(self) -> None:
        self.recordings = self.replays = 0

    def warm_up(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recordings += 1

        def replay() -> None:
            self.replays += 1
            work()

        return replay

    def forget(self) -> None:
        pass


class Tape(TorchDispatchMode):
    """Repeats operations on the very tensors of the recording, as a CUDA graph does; numbers of Python are constants.

    state  the tensors that the work changes: recording, too, computes, and they are restored after it
    """

    def __init__(self, state: Callable[[], Iterable[Tensor]]):
        super().__init__()
        self._state = state
        self._operations: list[tuple[Any, Any, Any, Any]] = []

    def warm_up(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self._operations = operations = []
        before = [(tensor, tensor.clone()) for tensor in self._state()]
        with self:
            work()
        for tensor, value in before:
            tensor.copy_(value)
        return lambda: _repeat(operations)

    def forget(self) -> None:
        pass

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self._operations.append((func, args, kwargs or {}, result))
        return result


@torch.no_grad()
def _repeat(operations: Iterable[tuple[Any, Any, Any, Any]]) -> None:
    for func, args, kwargs, result in operations:
        values = zip(tree_leaves(result), tree_leaves(func(*args, **kwargs)), strict=True)
        for address, value in values:
            if isinstance(address, Tensor) and address.data_ptr() != value.data_ptr():
                address.copy_(value)
