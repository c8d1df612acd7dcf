"""One session of a training run for the drill: started, observed, ended, and what it left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VICTIM = Path(__file__).with_name("victim.py")
REPOSITORY = Path(__file__).parents[2]
STATE_NAME = re.compile(r"step-[0-9]{8}")
LIMIT = 240.0  # seconds; a session takes 10 to 20, four times as long on a loaded machine


@dataclass
class Session:
    """A training process, or two under torchrun, with their folder for notes.

    planted  faults inside the processes: see victim.py
    prefix   of the environment, such as LD_PRELOAD
    """

    run: Path
    notes: Path
    options: list[str]
    ranks: int = 1
    planted: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    stderr: int | None = None
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        self.notes.mkdir(parents=True, exist_ok=True)
        for path in self.notes.iterdir():
            path.unlink()
        if self.stderr is None:
            (self.notes / "own_stderr").touch()
        torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={self.ranks}"]
        words = [sys.executable, *(torchrun if self.ranks > 1 else []), str(VICTIM)]
        words += [str(self.notes), json.dumps(self.planted), *self.options, f"run.dir={self.run}"]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_WAIT_POLICY": "PASSIVE"} | self.environment
        self.began = time.time()
        self.process = subprocess.Popen(
            words,
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL if self.stderr is None else self.stderr,
            start_new_session=True,  # a group of its own, which can be signalled as Slurm does
        )

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def pid(self, rank: int = 0) -> int:
        """Process number of a rank; waits for its start. 0: the session has ended."""
        path = self.notes / f"{rank}.pid"
        while self.is_running:
            if path.exists() and (text := path.read_text()):
                return int(text)
            time.sleep(0.02)
        return 0

    def children(self) -> list[int]:
        """Processes that the main one has started, such as validation's workers."""
        parent = self.pid()
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if _parent_of(path) == parent]

    def wait(self, limit: float = LIMIT) -> int | None:
        """Exit status; None where the session had to be ended because it hung."""
        try:
            status = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            status = None
        # what a killed torchrun has left behind
        for path in self.notes.glob("*.pid"):
            if _is_victim(int(path.read_text() or 0)) and not _ended(int(path.read_text()), seconds=LIMIT / 2):
                os.kill(int(path.read_text()), signal.SIGKILL)
                status = None
        return status

    def tracebacks(self) -> list[str]:
        """Last lines of the tracebacks that the processes printed."""
        texts = [path.read_text(errors="replace") for path in sorted(self.notes.glob("*.stderr"))]
        return [text.strip().split("\n")[-1] for text in texts if "Traceback (most recent call last)" in text]

    def errors(self) -> list[str]:
        """Error lines that the processes printed."""
        texts = [path.read_text(errors="replace") for path in sorted(self.notes.glob("*.stderr"))]
        return [line for text in texts for line in text.split("\n") if line.startswith("error: ")]


def _parent_of(process: Path) -> int:
    """Parent of a process in /proc; 0: it has ended."""
    try:
        # the name of the program, in brackets, may hold spaces
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _is_victim(pid: int) -> bool:
    try:
        return str(VICTIM).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _ended(pid: int, *, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while _is_victim(pid):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def states(run: Path) -> list[Path]:
    """Folders of saved states under their own names, oldest first."""
    folder = run / "state"
    return sorted(path for path in folder.iterdir() if STATE_NAME.fullmatch(path.name)) if folder.is_dir() else []


def newest_step(run: Path) -> int:
    """Step of the newest saved state; 0: there is none."""
    found = states(run)
    return int(found[-1].name.removeprefix("step-")) if found else 0


def continued_from(run: Path, since: int) -> int:
    """Step from which the log says a session continued, in what it has written after an offset; 0: from scratch."""
    with open(run / "train.log", "rb") as log:
        log.seek(since)
        found = re.findall(r"continuing from step ([\d,]+)", log.read().decode(errors="replace"))
    return int(found[-1].replace(",", "")) if found else 0


def log_size(run: Path) -> int:
    log = run / "train.log"
    return log.stat().st_size if log.exists() else 0


def unflushed(session: Session) -> Iterator[Path]:
    """Files that the session has written and not flushed in this length: a power cut may empty them.

    The log and TensorBoard's events are not among them: they are not flushed at each line.
    """
    log = session.notes / "flushed"
    flushed = {tuple(line.split()) for line in log.read_text().split("\n")} if log.exists() else set()
    for path in session.run.rglob("*"):
        is_log = path.name == "train.log" or "tfevents" in path.name
        if path.is_file() and not is_log and not path.is_symlink() and path.stat().st_mtime > session.began:
            found = path.stat()
            if found.st_size and (str(found.st_ino), str(found.st_size)) not in flushed:
                yield path
