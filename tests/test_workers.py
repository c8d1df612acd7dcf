"""Workers: processes that share one queue of sentences, their errors and their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fake_models import FakeModel, random_model
from searches import search
from small_runs import environment
from translate.decoding.config import SearchConfig
from translate.decoding.native_engine import NativeEngine
from translate.decoding.search.base import Queue
from translate.errors import UserError


def test_queue_gives_each_index_once():
    queue = Queue(7)
    assert (queue.next_index, queue.take(3)) == (0, [0, 1, 2])
    assert queue.take(0) == queue.take(-2) == []
    assert (queue.next_index, queue.take(100)) == (3, [3, 4, 5, 6])
    assert (queue.next_index, queue.take(1)) == (7, [])


def test_workers_equal_one_process():
    model = random_model(vocabulary_size=12, end=1.0)
    sources = [[4 + (i * j) % 8 for j in range(1 + i % 7)] for i in range(100)]
    shares: list[float] = []
    engine = NativeEngine(model=model, device=torch.device("cpu"), batch_tokens=40, workers=3)
    found = engine.search([tuple(source) for source in sources], SearchConfig(), progress=shares.append)
    assert found == search(model, sources, SearchConfig())
    assert model.batches != [], "the search in this process"
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_error_in_a_worker_is_raised_in_the_parent():
    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        raise UserError("no logits today")

    with pytest.raises(UserError, match="no logits today"):
        search(FakeModel(next_logits), [[4]] * 40, SearchConfig(), workers=2)


def test_a_worker_that_is_killed_is_named():
    """At once, though the other one goes on for long."""

    def next_logits(source: tuple[int, ...], history: tuple[int, ...]) -> list[float]:
        if source == (4,):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
        raise AssertionError

    started = time.monotonic()
    with pytest.raises(UserError, match="ended from outside"):
        search(FakeModel(next_logits), [[5, 5]] * 20 + [[4]] * 20, SearchConfig(), workers=2)
    assert time.monotonic() - started < 30


ENDLESS = """
import os
from translate.decoding.workers import run_in_processes

def work(queue, report):
    os.write(1, f"{os.getpid()}\\n".encode())  # at once: two processes print
    while True:
        report([(0, [])] * 1000)

run_in_processes(work, 2, 2, lambda found: None)
"""


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere one process translates")
def test_workers_end_with_a_process_that_is_killed():
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        workers = [int(process.stdout.readline()) for _ in range(2)]
        process.kill()
    end = time.monotonic() + 20
    while any(map(is_running, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
