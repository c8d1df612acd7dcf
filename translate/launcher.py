"""torchrun: the environment variables that it sets, and messages that only one of its processes prints."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from datetime import timedelta

from translate.errors import UserError

_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # read by PyTorch's env:// initialisation
_PATIENCE = timedelta(seconds=3)


def launched_as() -> tuple[int, int]:
    """Rank and world size, from the environment variables that torchrun sets; (0, 1) without them.

    Raises UserError if they are incomplete or contradictory.
    """
    # container images and clusters may export WORLD_SIZE=1 or empty variables
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


def is_printed_by_another(message: str) -> bool:
    """True if another process of the same torchrun job, on any machine, has already printed this message.

    The processes count their messages in torchrun's store; without the store, each process prints its own.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return False
    import torch.distributed as dist  # here, since decoding with CTranslate2 works without PyTorch

    key = f"message {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')} {hashlib.sha256(message.encode()).hexdigest()}"
    with suppress(UserError, dist.DistError):  # the store may have ended with torchrun
        _, size = launched_as()
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        return size > 1 and dist.TCPStore(address, port, is_master=False, timeout=_PATIENCE).add(key, 1) > 1
    return False
