"""Latency: milliseconds for one sentence at a time."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.decoding import (
    SYSTEMS,
    add_model_options,
    default_systems,
    described,
    model_settings,
    prepared_for,
    read_text,
)
from benchmarks.protocol import AbsentError, WorkerProcess
from benchmarks.report import Report, Row
from benchmarks.rounds import Summary, summarise
from benchmarks.session import OURS, Session, System, choose

_TRIED_SENTENCES = 20


def add_options(parser: argparse.ArgumentParser) -> None:
    add_model_options(parser)
    parser.add_argument("--beam", type=int, default=5, help="measured beside greedy search")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=int, default=100, help="sentences of a round")


def run(arguments: argparse.Namespace, session: Session) -> Report:
    systems = choose(SYSTEMS, arguments.systems or default_systems(arguments.device))
    base = model_settings(arguments, session, read_text(arguments))
    work = {"model": str(arguments.model), "source": str(arguments.source), "sentences": arguments.limit}
    report = Report("latency", work, session.threads, versions=session.versions, absent=session.absent)
    report.headings = ("system", "beam", "median ms", "lowest", "highest", "ours / it", "setting")
    with session.workers(systems, lambda name: prepared_for(name, systems[name], base, session)) as workers:
        for beam in (arguments.beam, 1):
            present = {name: worker for name, worker in workers.items() if name not in session.absent}
            summaries, settings = _measure(present, systems, session, beam, arguments)
            report.rows += [_row(name, beam, summary, settings[name]) for name, summary in summaries.items()]
            for name, summary in summaries.items():
                found = {**asdict(summary), "setting": settings[name]}
                report.results.setdefault(name, {})["greedy" if beam == 1 else f"beam {beam}"] = found
    report.notes.append(f"Medians of {arguments.limit} sentences, one at a time, in each of {arguments.rounds} rounds.")
    return report


def _measure(
    workers: dict[str, WorkerProcess],
    systems: dict[str, System],
    session: Session,
    beam: int,
    arguments: argparse.Namespace,
) -> tuple[dict[str, Summary], dict[str, dict[str, int]]]:
    def milliseconds(name: str, setting: dict[str, int], limit: int) -> float:
        request: dict[str, Any] = {"setting": setting, "beam": beam, "limit": limit, "one_by_one": True}
        return 1000 * median(workers[name].ask(request)["each"])

    settings = {}
    for name in workers:
        try:
            tried = candidates(systems[name], session.threads)
            limit = min(_TRIED_SENTENCES, arguments.limit)
            settings[name] = min(tried, key=lambda setting: milliseconds(name, setting, limit))
        except AbsentError as reason:
            session.leave_out(name, str(reason))

    def measure(name: str) -> float:
        found = milliseconds(name, settings[name], arguments.limit)
        print(f"  {name}, beam {beam}: {found:.1f} ms", flush=True)
        return found

    return summarise(session.take_turns(list(settings), arguments.rounds, measure), ours=OURS), settings


def candidates(system: System, threads: int) -> list[dict[str, int]]:
    """One sentence is one batch: only CTranslate2 has anything to choose."""
    if system.module != "ctranslate2_decoding":
        return [{}]
    return [{"inter_threads": 1, "intra_threads": intra} for intra in sorted({1, threads})]


def _row(name: str, beam: int, summary: Summary, setting: dict[str, int]) -> Row:
    kind = "greedy" if beam == 1 else str(beam)
    return (name, kind, summary.median, summary.low, summary.high, summary.ratio_text, described(setting))
