"""The kinds of fault that the drill draws from.

A live fault meets a running session; a cold one changes what lies on disk between two sessions; a planted one is inside
the processes of a session. Each says what may come of it, and everything else is a finding.
"""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drills.sessions import Session, states, unflushed

KILLED = (-signal.SIGKILL,)
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    strike    live: given the session, returns False if it came too late
    damage    cold: given the run's folder, the corpus' folder and a source of chance; returns what undoes it, or None
    planted   arguments of victim.py, drawn by chance
    ranks     numbers of processes that it can meet
    statuses  exit statuses that one process may have; two under torchrun may have any but 0
    lost      number of newest states that are damaged: the next session continues from the one before
    refused   the next session ends with an error line, and the one after `undo` continues
    noisy     a traceback is right: the fault is a bug
    """

    strike: Callable[[Session, random.Random], bool] | None = None
    damage: Callable[[Path, Path, random.Random], Callable[[], None] | None] | None = None
    planted: Callable[[random.Random], dict[str, Any]] = lambda chance: {}
    environment: dict[str, str] = field(default_factory=dict)
    ranks: tuple[int, ...] = (1, 2)
    statuses: tuple[int, ...] = (143,)
    lost: int = 0
    refused: bool = False
    noisy: bool = False


def _signal(number: int, rank: int = 0) -> Callable[[Session, random.Random], bool]:
    def strike(session: Session, chance: random.Random) -> bool:
        if not (pid := session.pid(rank)):
            return False
        os.kill(pid, number)
        return True

    return strike


def _kill_writing(session: Session, chance: random.Random) -> bool:
    """Wait until a folder is half-written."""
    pid = session.pid()
    while session.is_running and not list((session.run / "state").glob("*.new")):
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    return session.process.poll() != 0


def _kill_torchrun(session: Session, chance: random.Random) -> bool:
    session.process.kill()
    return True


def _kill_worker(session: Session, chance: random.Random) -> bool:
    """Wait for a validation that decodes in workers."""
    while session.is_running:
        if workers := session.children():
            os.kill(chance.choice(workers), signal.SIGKILL)
            return True
        time.sleep(0.002)
    return False


def _to_group(session: Session, chance: random.Random) -> bool:
    os.killpg(session.process.pid, signal.SIGTERM)
    return session.is_running


def _twice(session: Session, chance: random.Random) -> bool:
    pid = session.pid()
    for _ in range(2):
        os.kill(pid, signal.SIGTERM)
        time.sleep(chance.uniform(0.0, 0.2))
        if not session.is_running:
            break
    return True


def _full_disk(session: Session, chance: random.Random) -> bool:
    """Let no file grow above 10 kB: the next state cannot be written."""
    if not (pid := session.pid()):
        return False
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (10_000, 10_000))
    return True


def _power_cut(session: Session, chance: random.Random) -> bool:
    """Kill, and empty each file whose content had not been flushed."""
    os.kill(session.pid(), signal.SIGKILL)
    session.process.wait()
    for path in list(unflushed(session)):
        os.truncate(path, 0)
    return True


def _stopped(session: Session, chance: random.Random) -> bool:
    """Stop a process for three seconds; then end the session."""
    pid = session.pid(chance.randrange(session.ranks))
    if not pid:
        return False
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(pid, signal.SIGCONT)
    time.sleep(chance.uniform(0, 1))
    return _signal(signal.SIGTERM)(session, chance)


def _cache_vanishes(session: Session, chance: random.Random) -> bool:
    """Remove the cache under a running session; then end it."""
    shutil.rmtree(session.run.parent / "cache", ignore_errors=True)
    time.sleep(chance.uniform(0, 1))
    return _signal(signal.SIGTERM)(session, chance)


def _cut(run: Path, corpus: Path, chance: random.Random) -> None:
    """Cut a file of the newest state."""
    path = chance.choice(sorted(states(run)[-1].iterdir()))
    os.truncate(path, chance.randrange(path.stat().st_size))


def _emptied(run: Path, corpus: Path, chance: random.Random) -> None:
    """Empty all files of the newest state."""
    for path in states(run)[-1].iterdir():
        os.truncate(path, 0)


def _file_missing(run: Path, corpus: Path, chance: random.Random) -> None:
    """Remove a file of the newest state that every state has."""
    (states(run)[-1] / chance.choice(["weights.safetensors", "training.pt", "progress.json"])).unlink()


def _flipped(run: Path, corpus: Path, chance: random.Random) -> None:
    """Flip a bit in the newest state's weights."""
    path = states(run)[-1] / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def _swapped(run: Path, corpus: Path, chance: random.Random) -> None:
    """Put an older state's training file into the newest state."""
    found = states(run)
    shutil.copy(found[0] / "training.pt", found[-1] / "training.pt")


def _description_cut(run: Path, corpus: Path, chance: random.Random) -> None:
    """Empty or cut a file that describes the run."""
    path = run / chance.choice(["manifest.json", "config.yaml"])
    os.truncate(path, chance.choice([0, path.stat().st_size // 2]))


def _best_vanishes(run: Path, corpus: Path, chance: random.Random) -> None:
    shutil.rmtree(run / chance.choice(["best", "last"]), ignore_errors=True)


def _cache_gone(run: Path, corpus: Path, chance: random.Random) -> None:
    shutil.rmtree(run.parent / "cache")


def _cache_flipped(run: Path, corpus: Path, chance: random.Random) -> None:
    """Change a byte in the middle of a cached file."""
    path = chance.choice(
        sorted(x for x in (run.parent / "cache").rglob("*") if x.is_file() and x.stat().st_size > 1000)
    )
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _corpus_changed(run: Path, corpus: Path, chance: random.Random) -> Callable[[], None]:
    """Change a line of the training text: another run, which this folder must refuse."""
    path = corpus / chance.choice(["train.en", "train.de"])
    content = path.read_bytes()
    path.write_bytes(content.replace(b" ", b"  x ", 1))
    return lambda: _write(path, content)


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


_TERMINATE = _signal(signal.SIGTERM)

FAULTS: dict[str, Fault] = {
    "kill": Fault(_signal(signal.SIGKILL), statuses=KILLED),
    "kill_last_rank": Fault(_signal(signal.SIGKILL, rank=1), ranks=(2,)),
    "kill_torchrun": Fault(_kill_torchrun, ranks=(2,)),
    "kill_writing": Fault(_kill_writing, statuses=KILLED),
    "kill_worker": Fault(_kill_worker, ranks=(1,), statuses=(0, 1)),
    "terminate": Fault(_TERMINATE),
    "interrupt": Fault(_signal(signal.SIGINT), statuses=(130,)),
    "hang_up": Fault(_signal(signal.SIGHUP), statuses=(129,)),
    "terminate_group": Fault(_to_group),
    "terminate_twice": Fault(_twice, statuses=(143, -signal.SIGTERM)),
    "full_disk": Fault(_full_disk, statuses=(1,)),
    "full_disk_at_flush": Fault(planted=lambda chance: {"lost_at_flush": chance.randrange(40, 120)}, statuses=(1,)),
    "slow_disk": Fault(_TERMINATE, planted=lambda chance: {"slow_disk": 0.02}),
    "power_cut": Fault(_power_cut, ranks=(1,), statuses=KILLED),
    "state_cut": Fault(damage=_cut, lost=1),
    "state_emptied": Fault(damage=_emptied, lost=1),
    "state_file_missing": Fault(damage=_file_missing, lost=1),
    "state_flipped": Fault(damage=_flipped, lost=1),
    "states_swapped": Fault(damage=_swapped, lost=1),
    "description_cut": Fault(damage=_description_cut),
    "model_vanishes": Fault(damage=_best_vanishes),
    "cache_gone": Fault(damage=_cache_gone),
    "cache_flipped": Fault(damage=_cache_flipped),
    "cache_vanishes": Fault(_cache_vanishes),
    "corpus_changed": Fault(damage=_corpus_changed, refused=True),
    "stopped": Fault(_stopped),
    "late_rank": Fault(_TERMINATE, planted=lambda chance: {"late": chance.uniform(3, 6)}, ranks=(2,)),
    "loader_fails": Fault(planted=lambda chance: {"loader_fails": chance.randrange(20, 60)}, statuses=(1,), noisy=True),
}
if FAKETIME is not None:
    clock = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": "-3d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    FAULTS["clock_set_back"] = Fault(
        _TERMINATE, environment=clock, ranks=(1,)
    )  # torchrun cannot sleep under libfaketime

# Faults that change the weights: planted in all sessions of a round, and compared with a run whose updates do by other
# means what such an update has to do. kind -> (of the disturbed run, of the undisturbed one)
CHANGES_UPDATES = {"nan": ("nan", "skip"), "out_of_memory": ("out_of_memory", "split")}
