"""The processes of a run that torchrun started; for one process alone, everything here costs nothing.

They meet in a key-value store, in which a process that ends early leaves its reason. An exchange whose partner has
ended, or has not answered within the time limit, raises an error of PyTorch's; join_world turns it into one line that
says which process is missing, and why.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from translate.errors import UserError, excerpt
from translate.launcher import launched_as
from translate.signals import Interrupted, stop_signals

Result = TypeVar("Result")
TIMEOUT = 120.0  # seconds
_PREPARATION = timedelta(days=30)  # no limit in practice; a process that ends is noticed in any case
_NOTICE, _POLL = 3.0, 0.05  # seconds in which the reasons of other processes arrive, and between two looks
_ERROR, _TIMED_OUT, _CUT_OFF = "error", "timed out", "cut off"  # why a process ended
_CONTINUES = "the same command continues from the last saved state"
_joins = itertools.count()
_left: list[Any] = []  # groups that this process has left: see _end_exchange


@dataclass(frozen=True)
class World:
    """The processes of a run: their number, and the rank of this one.

    patient  the group of exchanges before which one process may work for hours; None: the default group
    """

    rank: int = 0
    size: int = 1
    patient: dist.ProcessGroup | None = None

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Elementwise sum over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def sum_counts(self, counts: Sequence[int]) -> list[int]:
        """Elementwise sum of counts that the CPU knows, over all processes."""
        return list(counts) if self.size == 1 else self.sum(torch.tensor(counts, dtype=torch.int64)).tolist()

    def from_main(self, value: Any, *, patient: bool = False) -> Any:
        """The main process's value, on every process; patient: without the time limit."""
        if self.size == 1:
            return value
        # a list of one, in which the others find the value after the call
        holder = [value]
        dist.broadcast_object_list(holder, src=0, group=self.patient if patient else None)
        return holder[0]

    def gather(self, value: Any, *, patient: bool = False) -> list[Any]:
        """The values of all processes in order of rank, on every process; patient: without the time limit."""
        if self.size == 1:
            return [value]
        gathered: list[Any] = [None] * self.size
        dist.all_gather_object(gathered, value, group=self.patient if patient else None)
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

    def wait(self, *, patient: bool = False) -> None:
        """Return when every process has called it; patient: without the time limit."""
        if self.size > 1:
            dist.barrier(group=self.patient if patient else None)

    def main_first(self, work: Callable[[], Result]) -> Result:
        """Do the work on the main process, then on the others, which find its results in files; without a time limit.

        A process that ends is noticed at once.
        """
        # the main process reaches the first barrier after its work, the others before theirs
        if not self.is_main:
            self.wait(patient=True)
        result = work()
        if self.is_main:
            self.wait(patient=True)
        # the others may take long as well, to read large files
        self.wait(patient=True)
        return result


@contextmanager
def join_world(device: torch.device, *, timeout: float = TIMEOUT) -> Iterator[World]:
    """Context of the processes that torchrun started, or of this one alone when torchrun did not start it.

    timeout  seconds that a process waits for another: to join, and in every exchange that is not a patient one

    Raises UserError where a process is missing: it never came, has ended, or does not answer.
    """
    rank, size = launched_as()
    if size == 1:
        yield World()
        return
    _left.clear()  # of a run before, whose model is gone
    limit = timedelta(seconds=timeout)
    store = _meet(rank, size, device, limit)
    try:
        _begin_exchange(store, rank, size, device, limit)
        yield World(rank, size, dist.new_group(backend="gloo", timeout=_PREPARATION))
    except BaseException as error:
        if device.type == "cuda" and dist.group.WORLD is not None:
            dist.group.WORLD.abort()  # NCCL would wait for exchanges in which the others take no part
        if failure := _failed_exchange(error):
            # torchrun's signal is a consequence of the same fault, and would end this process without its reason
            stop_signals.disregard_launcher()
            # Close all connections before anything else, or others would wait for this process until their limit: the
            # functions that failed still hold the group.
            traceback.clear_frames(failure.__traceback__)
            _end_exchange()
            _left.clear()
            raise UserError(_missing_process(failure, store, rank, size, timeout)) from None
        _leave_reason(store, rank, error)
        raise
    finally:
        # also after an error: the others must not wait for a process that has left
        _end_exchange()


def _meet(rank: int, size: int, device: torch.device, limit: timedelta) -> dist.Store:
    """The store that all processes share, once every one has joined it. Raises UserError where one does not come."""
    keys = [f"device {each}" for each in range(size)]
    deadline = time.monotonic() + limit.total_seconds()
    shared = _shared_store(limit)
    # without a store: the main process has it and has not come, or has it and waits for the others
    missing = [0] if rank else list(range(1, size))
    if shared is not None:
        # a process may join several times, and torchrun's store keeps the keys of all
        store = dist.PrefixStore(f"join {next(_joins)}", shared)
        store.set(keys[rank], device.type)
        # Store.wait would print warnings at the limit
        while not (complete := store.check(keys)) and time.monotonic() < deadline:
            time.sleep(_POLL)
        missing = [] if complete else [each for each in range(size) if not store.check([keys[each]])]
    if missing:
        raise UserError(
            f"{name_processes(missing)} did not start within {limit.total_seconds():g} s (compute.timeout) of process "
            f"{rank}: look for an error there, or raise the limit"
        )
    devices = [store.get(key).decode() for key in keys]
    if len(set(devices)) > 1:
        found = ", ".join(f"process {each} on {kind}" for each, kind in enumerate(devices))
        raise UserError(f"all processes must train on devices of one kind, found {found}: set compute.device")
    return store


def _shared_store(limit: timedelta) -> dist.Store | None:
    """The store at MASTER_ADDR and MASTER_PORT; None where none answers within the limit.

    Raises UserError where another program has the port.
    """
    stores: list[dist.Store] = []
    errors: list[dist.DistError] = []

    def join() -> None:
        try:
            # not the limit itself, at which PyTorch would print frames of its code
            stores.append(next(dist.rendezvous("env://", timeout=2 * limit))[0])
        except dist.DistError as error:
            errors.append(error)

    # PyTorch's wait for an answer is not bounded where the port is open and silent
    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    thread.join(limit.total_seconds())
    if errors:
        where = f"MASTER_ADDR={os.environ['MASTER_ADDR']} MASTER_PORT={os.environ['MASTER_PORT']}"
        raise UserError(f"the processes cannot meet at {where}: {excerpt(str(errors[0]))}")
    if not stores:
        return None
    stores[0].set_timeout(limit)
    return stores[0]


def _begin_exchange(store: dist.Store, rank: int, size: int, device: torch.device, limit: timedelta) -> None:
    """Make the default group: gloo, and NCCL between GPUs."""
    backend = "gloo"
    if device.type == "cuda":
        # or NCCL would take GPU 0 in every process
        torch.cuda.set_device(device)
        # CleanUpOnly: an exchange that fails on a GPU is given up, and the next one on the CPU raises the error; by
        # torchrun's default, NCCL would abort the process
        os.environ["TORCH_NCCL_ASYNC_ERROR_HANDLING"] = "2"
        # control values stay on the CPU, gradients travel between GPUs
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)


def _end_exchange() -> None:
    """Leave the default group, whose connections stay open as long as something refers to it."""
    if dist.is_initialized():
        # Otherwise DDP's reducer, which lives on with the model, would be the last to refer to it. It would end the
        # group's threads while it holds the interpreter's lock, and they may need that to release a last tensor.
        _left.append(dist.group.WORLD)
        dist.destroy_process_group()


def _failed_exchange(error: BaseException | None) -> BaseException | None:
    """The error of PyTorch's exchange that this one is, or that it followed while contexts were left; None if neither.

    gloo raises a plain RuntimeError, which names it.
    """
    while error is not None:
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower()):
            return error
        error = error.__context__
    return None


def _missing_process(error: BaseException, store: dist.Store, rank: int, size: int, timeout: float) -> str:
    """Message that names the process because of which an exchange failed, and why it is missing."""
    timed_out = "timed out" in str(error).lower()
    others = [each for each in range(size) if each != rank]
    reasons = _exchange_reasons(store, rank, others, _TIMED_OUT if timed_out else _CUT_OFF)
    for other, reason in reasons.items():
        if reason.startswith(_ERROR):
            return f"process {other} has ended: {reason.removeprefix(_ERROR).strip()}"
    # those that are left were cut off as this one
    silent = [other for other in others if other not in reasons]
    if not silent and _TIMED_OUT in reasons.values():
        return f"the others have ended, as process {rank} did not answer within {timeout:g} s (compute.timeout)"
    if not silent:
        return f"the exchange between processes failed: {str(error).splitlines()[0]}"
    if timed_out or _TIMED_OUT in reasons.values():
        return (
            f"{name_processes(silent)} did not answer within {timeout:g} s (compute.timeout): stopped, or at work on "
            f"something else; {_CONTINUES}"
        )
    return f"{name_processes(silent)} ended without a reason: killed, or the machine or network failed; {_CONTINUES}"


def _exchange_reasons(store: dist.Store, rank: int, others: list[int], reason: str) -> dict[int, str]:
    """Leave a reason for the others, and read those that they leave within some seconds; rank -> reason."""
    reasons: dict[int, str] = {}
    deadline = time.monotonic() + _NOTICE
    # without a store, which is gone with the process or the torchrun that had it, there is none
    with suppress(dist.DistError):
        store.set(_reason_key(rank), reason)
        while len(reasons) < len(others) and time.monotonic() < deadline:
            for other in others:
                if other not in reasons and store.check([_reason_key(other)]):
                    reasons[other] = store.get(_reason_key(other)).decode()
                    if reasons[other].startswith(_ERROR):
                        return reasons
            time.sleep(_POLL)
    return reasons


def _leave_reason(store: dist.Store, rank: int, error: BaseException) -> None:
    """Tell the others why this process ends."""
    text = " ".join(str(error).split()) or type(error).__name__
    with suppress(dist.DistError):
        store.set(_reason_key(rank), f"{_ERROR} {text}")


def _reason_key(rank: int) -> str:
    return f"reason {rank}"


def name_processes(ranks: list[int]) -> str:
    """Processes by their ranks, for a message."""
    return f"process {ranks[0]}" if len(ranks) == 1 else f"processes {', '.join(map(str, ranks))}"
