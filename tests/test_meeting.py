"""Processes of a run meet at a port; what all of them have to say is said once."""

from __future__ import annotations

import socket
import time

import pytest
import torch

from forked_ranks import run_ranks
from translate.distributed import join_world
from translate.errors import UserError
from translate.launcher import is_printed_by_another

CPU = torch.device("cpu")


def test_a_port_that_another_program_has_is_named_at_once(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        variables = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        with (
            pytest.raises(UserError, match=rf"cannot meet at MASTER_ADDR=127\.0\.0\.1 MASTER_PORT={port}: .*address"),
            join_world(torch.device("cpu"), timeout=60.0),
        ):
            pass


@pytest.mark.parametrize("is_open", [True, False])
def test_a_port_without_an_answer_is_waited_for_within_the_limit(monkeypatch, is_open):
    """Of a program that accepts connections and says nothing, and of none: the main process ended before it joined."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if is_open:
            silent.listen()
        monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
        port = silent.getsockname()[1]
        for name, value in {"RANK": 1, "WORLD_SIZE": 3, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
            monkeypatch.setenv(name, str(value))
        started = time.monotonic()
        with pytest.raises(UserError, match="process 0 did not start within 2 s"), join_world(CPU, timeout=2.0):
            pass
        assert time.monotonic() - started < 3.9


def say(rank: int) -> bool:
    return is_printed_by_another("model.d_model (500) must be a multiple of model.num_heads (8)")


def test_a_message_of_all_processes_is_said_once():
    assert sorted(run_ranks(3, say)) == [False, True, True]
    assert not is_printed_by_another("of one process alone")
