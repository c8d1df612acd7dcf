"""Start-up: seconds from the start of a process to its first translation on standard output."""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import decoding
from benchmarks.environments import requirements_of
from benchmarks.protocol import SCRIPTS, AbsentError, last_words, version_of
from benchmarks.report import Report
from benchmarks.rounds import summarise
from benchmarks.session import OURS, Session, System, choose
from translate.text import read_lines

SYSTEMS = {
    OURS: System("ours_line", note="python -m translate.decode"),
    "ours-ctranslate2": System("ours_line", settings={"engine": "ctranslate2"}, note="the same, engine=ctranslate2"),
    "huggingface": System("huggingface_line", "huggingface", note="from_pretrained, SentencePiece, generate"),
    "ctranslate2": System("ctranslate2_line", "ctranslate2", note="Translator, SentencePiece, translate_batch"),
}


@dataclass
class Program:
    """How a system is started to translate standard input, line by line."""

    command: Sequence[str]
    environment: dict[str, str]
    log: Path


def add_options(parser: argparse.ArgumentParser) -> None:
    decoding.add_model_options(parser)
    parser.add_argument("--rounds", type=int, default=5)


def run(arguments: argparse.Namespace, session: Session) -> Report:
    systems = choose(SYSTEMS, arguments.systems)
    base = decoding.model_settings(arguments, session, decoding.read_text(arguments))
    line = next(read_lines(arguments.source))
    programs: dict[str, Program] = {}
    said: dict[str, str] = {}
    for name, system in systems.items():
        try:
            programs[name] = _program(name, system, base, session)
            seconds_to_first_line(programs[name], line)  # afterwards all files are in memory
        except AbsentError as reason:
            programs.pop(name, None)
            session.leave_out(name, str(reason))
    session.versions = {name: _version(systems[name]) for name in programs}

    def measure(name: str) -> float:
        seconds, said[name] = seconds_to_first_line(programs[name], line)
        print(f"  {name}: {seconds:.2f} s", flush=True)
        return seconds

    values = session.take_turns(list(programs), arguments.rounds, measure)
    work = {"model": str(arguments.model), "line": line}
    report = Report("startup", work, session.threads, versions=session.versions, absent=session.absent)
    report.headings = ("system", "seconds", "lowest", "highest", "ours / it", "it said")
    for name, summary in summarise(values, ours=OURS).items():
        report.rows.append((name, summary.median, summary.low, summary.high, summary.ratio_text, said[name]))
        report.results[name] = {**asdict(summary), "rounds": values[name], "translation": said[name]}
    report.notes.append("Beam 5, one line, imports and loading included; every file had been read once before.")
    return report


def seconds_to_first_line(program: Program, line: str) -> tuple[float, str]:
    """The program is told one line and kept waiting for more, so that what it writes is not owed to its end."""
    with program.log.open("wb") as log:
        started = time.perf_counter()
        process = subprocess.Popen(
            program.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=program.environment,
            encoding="utf-8",
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
            said = process.stdout.readline()
            seconds = time.perf_counter() - started
        except BrokenPipeError:
            said = ""
        finally:
            process.kill()
            process.communicate()
    if not said:
        raise AbsentError(f"{last_words(program.log)} (see {program.log})")
    return seconds, said.strip()


def _program(name: str, system: System, base: dict[str, Any], session: Session) -> Program:
    """Raises AbsentError if the peer, or the model in its format, cannot be had."""
    log = session.output / f"{name}.log"
    environment, python = session.environment(system), session.python(system)
    if system.is_ours:
        options = {"model": base["model"], "threads": session.threads, **system.settings}
        command = [python, "-m", "translate.decode", *(f"{key}={value}" for key, value in options.items())]
        return Program(command, environment, log)
    model = _converted(system, base, session)
    command = [python, "-m", f"benchmarks.workers.{system.module}", str(model), base["model"], str(session.threads)]
    return Program(command, {**environment, "PYTHONPATH": str(SCRIPTS)}, log)


def _version(system: System) -> str:
    parts = requirements_of(system.peer) if system.peer else [version_of("translate-seq2seq", "torch")]
    return f"{system.note}; {', '.join(parts)}"


def _converted(system: System, base: dict[str, Any], session: Session) -> Path:
    if system.peer == "ctranslate2":
        return Path(decoding.prepared_for("ctranslate2", system, base, session)["converted"])
    folder = session.output.absolute() / "huggingface-model"
    settings = {"model": base["model"], "converted": str(folder)}
    session.start("huggingface-export", System("huggingface_export", "huggingface"), settings).close()
    return folder
