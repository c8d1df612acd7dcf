"""One run of the benchmark: its workers, the systems that could not take part, and its results as files."""

import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.environments import PEERS, last_line, process_environment, python_of, requirements_of
from benchmarks.protocol import AbsentError, Message
from benchmarks.report import OURS, Cell, Values, readable, table
from translate.errors import UserError
from translate.files import write_json, write_text
from translate.training.session import provenance

LONGEST_ANSWER = 1800.0  # seconds; a worker that takes longer is killed


@dataclass(frozen=True)
class System:
    """A system to measure, as systems.yaml describes it."""

    adapter: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def peer(self) -> str:
        """The peer whose environment it runs in; empty for our own."""
        return self.adapter if self.adapter in PEERS else ""


SYSTEMS: dict[str, dict[str, System]] = {
    part: {name: System(**values) for name, values in systems.items()}
    for part, systems in yaml.safe_load(Path(__file__).with_name("systems.yaml").read_text()).items()
}


class Worker:
    """The driver's end of a worker process."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stream, env=environment, encoding="utf-8"
            )

    def exchange(self, line: str) -> str:
        """Write a line and read one. Raises AbsentError with the end of the log if the process ends instead."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        limit = threading.Timer(LONGEST_ANSWER, self.process.kill)
        limit.start()
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            limit.cancel()
        if not answer:
            raise AbsentError(f"{last_line(self.log)} (status {self.process.wait()}; see {self.log})")
        return answer.rstrip("\n")

    def ask(self, request: Mapping[str, Any]) -> Message:
        return json.loads(self.exchange(json.dumps(request)))

    def close(self) -> None:
        """End the worker by the end of its input, or kill it."""
        try:
            self.process.communicate(timeout=10)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.communicate()


@dataclass
class Session:
    """Settings and findings of one part of the benchmark.

    versions  of the systems that took part
    absent    the systems that could not, and why
    results   measurements, for programs; headings, rows and notes are for people
    """

    part: str
    output: Path
    environments: Path
    threads: int
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)
    headings: Sequence[str] = ()
    rows: list[Sequence[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.output.mkdir(parents=True, exist_ok=True)

    def process(self, name: str, command: Sequence[str], *, ours: bool) -> Worker:
        return Worker(command, process_environment(threads=self.threads, ours=ours), self.output / f"{name}.log")

    def start(self, name: str, system: System, settings: Mapping[str, Any]) -> tuple[Worker, Message]:
        """A worker, and its first answer; the settings name its task. Raises AbsentError if it fails."""
        python = python_of(system.peer, self.environments) if system.peer else sys.executable
        command = [python, "-m", f"benchmarks.adapters.{system.adapter}"]
        worker = self.process(name, command, ours=system.adapter == OURS)
        ready = worker.ask({**settings, **system.settings})
        versions = ready.get("versions") or ", ".join(requirements_of(system.peer))
        self.versions[name] = "; ".join(filter(None, [versions, system.note]))
        return worker, ready

    @contextmanager
    def workers(
        self, systems: Mapping[str, System], settings: Callable[[System], Mapping[str, Any]]
    ) -> Iterator[dict[str, Worker]]:
        """Workers of the systems that can take part, started one after the other."""
        started: dict[str, Worker] = {}
        with ExitStack() as ends:
            for name, system in systems.items():
                print(f"starting {name}", flush=True)
                with self.leaving_out(name):
                    started[name], _ = self.start(name, system, settings(system))
                    ends.callback(started[name].close)
            yield started

    def take_turns(self, names: Iterable[str], rounds: int, measure: Callable[[str], float]) -> Values:
        """One value per round of each system; those that fail (AbsentError) leave, with all their values."""
        values: Values = {name: [] for name in names}
        for number in range(rounds):
            # every second round goes backwards: a steady drift of the machine then favours no system
            for name in [*values] if number % 2 == 0 else [*values][::-1]:
                with self.leaving_out(name):
                    values[name].append(measure(name))
                    print(f"  {name}: {readable(values[name][-1])}", flush=True)
                if name in self.absent:
                    del values[name]
        return values

    @contextmanager
    def leaving_out(self, name: str) -> Iterator[None]:
        """Note why a system cannot take part, and go on without it."""
        try:
            yield
        except (AbsentError, UserError) as reason:
            self.absent[name] = str(reason)
            self.versions.pop(name, None)
            print(f"{name} does not take part: {reason}", flush=True)

    def publish(self) -> None:
        """Write results.json and table.md, and print the latter."""
        command = " ".join(["python", os.path.relpath(sys.argv[0]), *sys.argv[1:]])
        machine = provenance() | {"threads": self.threads, "system": platform.platform()}
        machine["matrix extensions"] = torch.backends.cpu.get_cpu_capability()
        machine["date"] = datetime.now().astimezone().isoformat(timespec="seconds")
        found = {"versions": self.versions, "absent": self.absent, "results": self.results}
        write_json(self.output / "results.json", {"part": self.part, "command": command, "machine": machine} | found)
        lines = [f"## {self.part.capitalize()}", "", f"`{command}`", ""]
        lines += ["; ".join(f"{key}: {value}" for key, value in machine.items()), ""]
        lines += [table(self.headings, self.rows), ""]
        lines += [f"- {system}: {version}" for system, version in self.versions.items()]
        lines += [f"- **{system} did not take part**: {reason}" for system, reason in self.absent.items()]
        text = "\n".join([*lines, *(f"- {note}" for note in self.notes)]) + "\n"
        write_text(self.output / "table.md", text)
        print(text, flush=True)


def choose(part: str, wanted: Sequence[str], *, known: Collection[str] = ()) -> dict[str, System]:
    """Systems of a part that are asked for, in that order; all if none is. Raises UserError for unknown names.

    known  names of systems that take part in something else
    """
    systems = SYSTEMS[part]
    for name in wanted:
        if name not in {*systems, *known}:
            raise UserError(f"--systems: unknown system {name}; choose from {', '.join(systems)}")
    return {name: systems[name] for name in wanted or systems if name in systems}
