"""Processes of one run, forked after one import of PyTorch; they meet in a store of their parent, as under torchrun."""

from __future__ import annotations

import multiprocessing as mp
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from translate.errors import UserError


@dataclass
class Ranks:
    """Started processes; store: keeps the parent's store open."""

    processes: list[mp.process.BaseProcess]
    results: Any
    store: dist.TCPStore

    def outcomes(self, count: int, *, timeout: float = 120) -> dict[int, Any]:
        """Results of `count` of them, or the UserErrors that they raised; by rank.

        Raises AssertionError with the traceback of any other error.
        """
        found = dict(pickle.loads(self.results.get(timeout=timeout)) for _ in range(count))
        for outcome in found.values():
            if isinstance(outcome, AssertionError):
                raise outcome
        return found

    def end(self) -> None:
        for process in self.processes:
            process.kill()  # one that is stopped as well
            process.join()


def start_ranks(size: int, work: Callable[..., Any], *arguments: object, chosen: Sequence[int] | None = None) -> Ranks:
    """Start work(rank, *arguments) in `size` processes; chosen: the ranks that come, all by default."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    context = mp.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=_work, args=(rank, size, store.port, results, work, arguments), daemon=True)
        for rank in (range(size) if chosen is None else chosen)
    ]
    for process in processes:
        process.start()
    return Ranks(processes, results, store)


def run_ranks(size: int, work: Callable[..., Any], *arguments: object) -> list[Any]:
    """The outcome of work(rank, *arguments) in each of `size` processes."""
    ranks = start_ranks(size, work, *arguments)
    try:
        outcomes = ranks.outcomes(size)
    finally:
        ranks.end()
    return [outcomes[rank] for rank in range(size)]


def _work(rank: int, size: int, port: int, results: Any, work: Callable[..., Any], arguments: Sequence[object]) -> None:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    torch.set_num_threads(1)
    try:
        outcome = work(rank, *arguments)
    except UserError as error:
        outcome = error
    except Exception:
        outcome = AssertionError(traceback.format_exc())
    # pickled here: the queue would share the memory of tensors, which ends with this process
    results.put(pickle.dumps((rank, outcome)))
