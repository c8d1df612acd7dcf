"""One run of the benchmark: its folders, its workers, and who could not take part."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environments import python_of
from benchmarks.machine import process_environment
from benchmarks.protocol import AbsentError, WorkerProcess
from benchmarks.rounds import take_turns
from translate.errors import UserError

OURS = "ours"


@dataclass(frozen=True)
class System:
    """A module of benchmarks.workers, what it is told beside the work, and the peer's environment that it runs in."""

    module: str
    peer: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def is_ours(self) -> bool:
        return self.module.startswith(OURS)


@dataclass
class Session:
    """versions and absent fill up as workers start, or cannot."""

    output: Path
    environments: Path
    threads: int
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)

    def python(self, system: System) -> str:
        return python_of(system.peer, self.environments) if system.peer else sys.executable

    def environment(self, system: System) -> dict[str, str]:
        return process_environment(threads=self.threads, ours=system.is_ours)

    def start(self, name: str, system: System, settings: Mapping[str, Any]) -> WorkerProcess:
        """Raises AbsentError where that cannot be."""
        print(f"starting {name}", flush=True)
        worker = WorkerProcess(
            system.module,
            {**settings, **system.settings},
            python=self.python(system),
            environment=self.environment(system),
            log=self.output / f"{name}.log",
        )
        self.versions[name] = "; ".join(filter(None, [worker.facts.get("versions", ""), system.note]))
        return worker

    @contextmanager
    def workers(
        self, systems: Mapping[str, System], settings: Callable[[str], Mapping[str, Any]]
    ) -> Iterator[dict[str, WorkerProcess]]:
        """Those that can take part, started one after the other, each told settings(its name)."""
        started: dict[str, WorkerProcess] = {}
        try:
            for name, system in systems.items():
                try:
                    started[name] = self.start(name, system, settings(name))
                except AbsentError as reason:
                    self.leave_out(name, str(reason))
            yield started
        finally:
            for worker in started.values():
                worker.close()

    def take_turns(self, names: Sequence[str], rounds: int, measure: Callable[[str], float]) -> dict[str, list[float]]:
        """Values of those that stay to the end."""
        values, left = take_turns(names, rounds, measure)
        for name, reason in left.items():
            self.leave_out(name, reason)
        return values

    def leave_out(self, name: str, reason: str) -> None:
        self.absent[name] = reason
        self.versions.pop(name, None)
        print(f"{name} does not take part: {reason}", flush=True)


def choose(systems: Mapping[str, System], wished: Sequence[str]) -> dict[str, System]:
    """The systems asked for, in that order. Raises UserError for a name that is not there."""
    for name in wished:
        if name not in systems:
            raise UserError(f"--systems: {name} is none of {', '.join(systems)}")
    return {name: systems[name] for name in wished or systems}
