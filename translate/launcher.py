"""The launcher of a run's processes, torchrun: the variables that it sets, and messages that all processes share."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from datetime import timedelta

from translate.errors import UserError

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # as PyTorch's env:// reads them
_PATIENCE = timedelta(seconds=3)


def launched_as() -> tuple[int, int]:
    """Rank and world size, from the environment variables that torchrun sets; (0, 1) without them.

    Raises UserError where they say that this is one of several processes, but not which or where the others are.
    """
    # images and clusters export WORLD_SIZE=1; an empty variable is as none
    size, missing = os.environ.get("WORLD_SIZE") or "1", [name for name in _VARIABLES if not os.environ.get(name)]
    if size.strip() == "1":
        return 0, 1
    if missing:
        raise UserError(
            f"WORLD_SIZE={size} is set in the environment, {missing[0]} is not: start several processes by torchrun, "
            "or unset WORLD_SIZE to train with one"
        )
    rank = os.environ["RANK"]
    if not (size.isdecimal() and rank.isdecimal() and int(rank) < int(size)):
        raise UserError(f"RANK={rank} and WORLD_SIZE={size} in the environment: a rank must be below the world size")
    port = os.environ["MASTER_PORT"]
    if not (port.isdecimal() and int(port) < 2**16):
        raise UserError(f"MASTER_PORT={port} in the environment: a port is a number below {2**16:,}")
    return int(rank), int(size)


def is_said_by_another(message: str) -> bool:
    """True if another process that torchrun started on any machine has said this message before.

    torchrun has the store in which they leave their messages; without it, each process says its own.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return False
    import torch.distributed as dist  # not above: decoding by CTranslate2 does without PyTorch

    key = f"message {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')} {hashlib.sha256(message.encode()).hexdigest()}"
    with suppress(UserError, dist.DistError):  # the store may be gone with torchrun
        _, size = launched_as()
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return size > 1 and dist.TCPStore(address, port, is_master=False, timeout=_PATIENCE).add(key, 1) > 1
    return False
