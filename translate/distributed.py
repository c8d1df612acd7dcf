"""The processes of a run that torchrun started; for one process alone, everything here costs nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from translate.errors import UserError
from translate.signals import Interrupted

Result = TypeVar("Result")


@dataclass(frozen=True)
class World:
    """The processes of a run: their number, and the rank of this one."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def from_main(self, value: Any) -> Any:
        """The main process's value, on every process."""
        if self.size == 1:
            return value
        # a list of one, in which the others find the value after the call
        holder = [value]
        dist.broadcast_object_list(holder, src=0)
        return holder[0]

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes in order of rank, on every process."""
        if self.size == 1:
            return [value]
        gathered: list[Any] = [None] * self.size
        dist.all_gather_object(gathered, value)
        return gathered

    def gather_results(self, work: Callable[[], Result]) -> list[Result]:
        """The results of work that every process does by itself; an error, or a signal, of one is raised on each."""
        if self.size == 1:
            return [work()]
        own: Result | BaseException
        try:
            own = work()
        # of any kind: a process that raised alone would leave the others waiting
        except (Exception, Interrupted) as error:
            own = error
        # an error that is no UserError may not survive pickling
        is_plain = isinstance(own, Exception) and not isinstance(own, UserError)
        shares = self.gather(RuntimeError(f"process {self.rank}: {own!r}") if is_plain else own)
        for failure in [own, *shares]:  # its own with its traceback
            if isinstance(failure, BaseException):
                raise failure
        return shares

    def wait(self) -> None:
        """Return when every process has called it."""
        if self.size > 1:
            dist.barrier()

    def main_first(self, work: Callable[[], Result]) -> Result:
        """Do the work on the main process, then on the others, which find its results in files."""
        # one barrier, which the main process reaches after its work and the others before theirs
        if not self.is_main:
            self.wait()
        result = work()
        if self.is_main:
            self.wait()
        return result


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Context of the processes that torchrun started, or of this one alone when torchrun did not start it."""
    if "WORLD_SIZE" not in os.environ:
        yield World()
        return
    world = World(rank=int(os.environ["RANK"]), size=int(os.environ["WORLD_SIZE"]))
    if world.size > 1 and not dist.is_initialized():
        if device.type == "cuda":
            # or NCCL would take GPU 0 in every process
            torch.cuda.set_device(device)
        # control values stay on the CPU, gradients travel between GPUs
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield world
    finally:
        # also after an error: the others must not wait for a process that has left
        if dist.is_initialized():
            dist.destroy_process_group()
