"""Several processes of one run, forked from the process of the tests: PyTorch is imported once."""

from __future__ import annotations

import os
import pickle
import socket
import traceback
from collections.abc import Callable
from typing import Any

import torch


def in_ranks(work: Callable[[int], Any], *, size: int = 2) -> list[Any]:
    """Results of work(rank) in processes with the environment that torchrun gives them.

    Raises AssertionError with the traceback of a process that failed.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    pipes = []
    for rank in range(size):
        reader, writer = os.pipe()
        if os.fork() == 0:
            _work(work, rank, writer, environment={"WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
        os.close(writer)
        pipes.append(reader)
    results = []
    for reader in pipes:
        with open(reader, "rb") as file:
            content = file.read()
        os.wait()
        assert content, "the process was killed"
        results.append(pickle.loads(content))
    for result in results:
        assert not (isinstance(result, tuple) and result[0] == "failed"), result[1]
    return results


def _work(work: Callable[[int], Any], rank: int, writer: int, *, environment: dict[str, object]) -> None:
    """Body of a forked process, which never returns."""
    try:
        own = {"RANK": rank, "LOCAL_RANK": rank, **environment}
        os.environ |= {key: str(value) for key, value in own.items()}
        torch.set_num_threads(1)
        result: Any = work(rank)
    except BaseException:
        result = ("failed", traceback.format_exc())
    with open(writer, "wb") as file:
        file.write(pickle.dumps(result))
    os._exit(0)
