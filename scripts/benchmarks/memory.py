"""Memory: the peak of training and of decoding, each system alone on the machine's memory."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks import decoding, training
from benchmarks.processes import TreeWatch, peak_resident
from benchmarks.protocol import AbsentError, WorkerProcess
from benchmarks.report import Report
from benchmarks.session import Session, System, choose
from translate.errors import UserError

MEGABYTE = 1e6

# what the speed benchmark tends to choose; ours has its default
_SETTINGS = {"huggingface_decoding": {"sentences": 64}, "ctranslate2_decoding": {"intra_threads": 1, "sentences": 32}}


def add_options(parser: argparse.ArgumentParser) -> None:
    training.add_work_options(parser, required=False)
    decoding.add_model_options(parser, required=False)
    parser.add_argument("--seconds", type=float, default=30.0, help="of training with each system")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--limit", type=int, default=0, help="only so many sentences; 0: all")


def run(arguments: argparse.Namespace, session: Session) -> Report:
    if not Path("/proc/self/smaps_rollup").exists():
        raise UserError("memory can only be measured on Linux")
    if not arguments.data and not arguments.model:
        raise UserError("give --data to measure training, --model with --source and --reference for decoding, or both")
    report = Report("memory", {}, session.threads, versions=session.versions, absent=session.absent)
    report.headings = ("system", "work", "peak of its process, MB", "peak of all its processes, MB", "setting")
    if arguments.data:
        _training(arguments, session, report)
    if arguments.model:
        _decoding(arguments, session, report)
    report.notes.append(
        "The peak of a process is its resident memory, libraries included; that of all processes is sampled, and "
        "counts once what they share. Each system ran alone."
    )
    return report


def _training(arguments: argparse.Namespace, session: Session, report: Report) -> None:
    systems = _some(training.SYSTEMS, arguments.systems)
    work, data = training.make_work(arguments, session)
    for name, system in systems.items():
        settings = training.worker_settings(name, work, data)
        _measure(name, system, lambda: settings, {"run": arguments.seconds}, session, report, work="training")  # noqa: B023


def _decoding(arguments: argparse.Namespace, session: Session, report: Report) -> None:
    if not arguments.source or not arguments.reference:
        raise UserError("--model needs --source and --reference")
    systems = _some(decoding.SYSTEMS, arguments.systems or decoding.default_systems(arguments.device))
    base = decoding.model_settings(arguments, session, decoding.read_text(arguments))
    for name, system in systems.items():
        setting = dict(_SETTINGS.get(system.module, {}))
        if system.module == "ctranslate2_decoding":
            setting["inter_threads"] = session.threads
        request = {"setting": setting, "beam": arguments.beam, "limit": arguments.limit}
        settings = lambda: decoding.prepared_for(name, system, base, session)  # noqa: B023, E731
        _measure(name, system, settings, request, session, report, work="decoding")


def _some(systems: Mapping[str, System], wished: list[str]) -> dict[str, System]:
    """Of the systems asked for, those that do this kind of work."""
    choose({**training.SYSTEMS, **decoding.SYSTEMS}, wished)
    return {name: system for name, system in systems.items() if name in wished or not wished}


def _measure(
    name: str,
    system: System,
    settings: Callable[[], Mapping[str, Any]],
    request: Mapping[str, Any],
    session: Session,
    report: Report,
    *,
    work: str,
) -> None:
    label = f"{name} ({work})"
    try:
        worker: WorkerProcess = session.start(label, system, settings())
    except AbsentError as reason:
        session.leave_out(label, str(reason))
        return
    try:
        with TreeWatch(worker.process.pid) as watch:
            worker.ask(request)
        own, tree = peak_resident(worker.process.pid), watch.peak
    except AbsentError as reason:
        session.leave_out(label, str(reason))
        return
    finally:
        worker.close()
    setting = decoding.described(request.get("setting", {})) if work == "decoding" else ""
    report.rows.append((name, work, own / MEGABYTE, tree / MEGABYTE, setting))
    report.results.setdefault(work, {})[name] = {"process": own, "tree": tree, "setting": request.get("setting")}
    print(f"  {label}: {own / MEGABYTE:,.0f} MB, {tree / MEGABYTE:,.0f} MB with all its processes", flush=True)
