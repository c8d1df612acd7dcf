"""Training speed: real target tokens per second, with model FLOP utilisation and a share of time by part."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.corpus import Corpus
from benchmarks.preparation import Data, data_of, export_corpus, prepared
from benchmarks.protocol import AbsentError, WorkerProcess
from benchmarks.report import Report
from benchmarks.rounds import Summary, summarise
from benchmarks.session import OURS, Session, System, choose
from benchmarks.work import FLOP_FORMULA, TrainingWork, training_flops

REFERENCE = "ours-reference"
SYSTEMS = {
    OURS: System("ours_training"),
    REFERENCE: System("ours_training", settings={"reference": True}, note="attention and loss by their definitions"),
    "torch": System("torch_training", note="nn.Transformer, pre-norm, plain loop, batches of similar lengths"),
    "torch-random": System("torch_training", settings={"by_length": False}, note="the same, random batches"),
    "huggingface": System("huggingface_training", "huggingface", note="Marian, Seq2SeqTrainer, grouped by length"),
    "eole": System("eole_training", "eole", note="its own command `train`, batches by tokens"),
}
CEILING = "matmul"
PROFILED_UPDATES = 12
_CEILING_SECONDS = 4.0  # in each round, at most


def add_options(parser: argparse.ArgumentParser) -> None:
    add_work_options(parser)
    parser.add_argument("--minutes", type=float, default=6.0, help="of measured work, over all systems and rounds")
    parser.add_argument("--rounds", type=int, default=5)


def add_work_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    default = TrainingWork()
    files = "a folder with train.en, train.de, val.en and val.de"
    parser.add_argument("--data", type=Path, required=required, help=files)
    parser.add_argument("--languages", default="en-de", help="endings of the files, source first")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default=default.precision)
    sizes = ("vocab_size", "d_model", "ffn_dim", "num_heads", "layers", "tokens", "seed")
    for name in sizes:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(default, name))
    parser.add_argument("--dropout", type=float, default=default.dropout, help="of residuals and activations")
    parser.add_argument("--attention-dropout", type=float, default=default.attention_dropout)


def make_work(arguments: argparse.Namespace, session: Session) -> tuple[TrainingWork, Data]:
    """Prepare the corpus and write it where the peers find it."""
    source, _, target = arguments.languages.partition("-")
    data = data_of(arguments.data.absolute(), source=source, target=target, cache=session.output.absolute() / "cache")
    sizes = ("d_model", "ffn_dim", "num_heads", "layers", "tokens")
    others = ("dropout", "attention_dropout", "precision", "device", "threads", "seed")
    corpus = prepared(data, vocab_size=arguments.vocab_size)
    path = session.output.absolute() / "corpus.npz"
    export_corpus(corpus).save(path)
    work = TrainingWork(
        corpus=str(path),
        vocab_size=corpus.tokenizer.target_vocab_size,
        **{name: getattr(arguments, name) for name in sizes + others},
    )
    return work, data


def run(arguments: argparse.Namespace, session: Session) -> Report:
    systems = choose(SYSTEMS, arguments.systems)
    work, data = make_work(arguments, session)
    seconds = arguments.minutes * 60 / (arguments.rounds * len(systems))
    slices: dict[str, list[dict[str, Any]]] = {name: [] for name in systems}

    with session.workers(
        {CEILING: System("matmul"), **systems}, lambda name: worker_settings(name, work, data)
    ) as workers:

        def measure(name: str) -> float:
            if name == CEILING:
                return float(workers[name].ask({"run": min(seconds, _CEILING_SECONDS)})["flops_per_second"])
            slices[name].append(workers[name].ask({"run": seconds}))
            print(f"  {name}: {_speed(slices[name][-1]):,.0f} target tokens/s", flush=True)
            return _speed(slices[name][-1])

        values = session.take_turns(list(workers), arguments.rounds, measure)
        own = _own_facts(workers, values) if OURS in values else {}
    if CEILING not in values:
        raise AbsentError(f"{CEILING}: {session.absent[CEILING]}")
    ceiling = max(values.pop(CEILING))
    session.versions.pop(CEILING)
    return _report(work, session, summarise(values, ours=OURS), slices, ceiling, own)


def worker_settings(name: str, work: TrainingWork, data: Data) -> dict[str, Any]:
    return {**asdict(work), "data": data} if name in (OURS, REFERENCE) else asdict(work)


def _speed(piece: dict[str, Any]) -> float:
    return float(piece["tokens"] / piece["seconds"])


def _own_facts(workers: Mapping[str, WorkerProcess], present: Collection[str]) -> dict[str, Any]:
    facts = workers[OURS].ask({"losses": True}) | workers[OURS].ask({"profile": PROFILED_UPDATES})
    if REFERENCE in present:
        facts["reference_losses"] = workers[REFERENCE].ask({"losses": True})["losses"]
    return facts


def _report(
    work: TrainingWork,
    session: Session,
    summaries: dict[str, Summary],
    slices: dict[str, list[dict[str, Any]]],
    ceiling: float,
    own: dict[str, Any],
) -> Report:
    lengths = Corpus.load(work.corpus).lengths()
    flops = training_flops(work, lengths) / lengths.target
    report = Report("training", asdict(work), work.threads, versions=session.versions, absent=session.absent)
    speeds = ("target tokens/s", "lowest", "highest", "ours / it")
    report.headings = (f"system ({work.precision})", *speeds, "tokens an update", "model FLOPs of the ceiling")
    for name, summary in summaries.items():
        found = {
            **asdict(summary),
            "tokens_per_update": median(piece["tokens"] / piece["updates"] for piece in slices[name]),
            "utilisation": summary.median * flops / ceiling,
        }
        report.results[name] = {**found, "slices": slices[name]}
        values = (summary.median, summary.low, summary.high, summary.ratio_text, found["tokens_per_update"])
        report.rows.append((name, *values, f"{found['utilisation']:.1%}"))
    report.results |= {"ceiling": {"flops_per_second": ceiling, "flops_per_target_token": flops}, "own": own}
    report.notes.append("Target tokens are real ones with EOS, counted from each system's own batches.")
    report.notes.append(
        f"Ceiling: the fastest of several matrix products in this run, {ceiling / 1e9:,.0f} GFLOP/s; "
        f"{flops / 1e6:.1f} MFLOP a target token, padding not counted: {FLOP_FORMULA}"
    )
    if own:
        report.notes += _notes(own)
    return report


def _notes(own: dict[str, Any]) -> list[str]:
    shares = ", ".join(f"{part} {share:.1%}" for part, share in own["shares"].items())
    losses = own["losses"]
    notes = [
        f"Ours, share of time by part over {PROFILED_UPDATES} further updates: {shares}. On a CPU the loss works out "
        "most of its gradients on the way forward.",
        f"Ours, loss with label smoothing from {losses[0]:.4f} to {losses[-1]:.4f} in {len(losses)} updates.",
    ]
    if reference := own.get("reference_losses"):
        pairs = list(zip(losses, reference, strict=False))
        farthest = max(abs(ours - theirs) for ours, theirs in pairs)
        notes.append(
            f"The same loss curve as the reference path: over {len(pairs)} common updates no loss differs by more than "
            f"{farthest:.1e}, the last are {pairs[-1][0]:.4f} and {pairs[-1][1]:.4f}."
        )
    return notes
