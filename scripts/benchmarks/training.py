"""Training speed: target tokens per second without padding, FLOP utilisation, and the share of time of each part."""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.adapters.ours import prepare_corpus
from benchmarks.protocol import AbsentError, Message
from benchmarks.report import OURS, STATISTICS, Values, summarise
from benchmarks.session import Session, System, choose
from benchmarks.work import FLOP_FORMULA, Corpus, TrainingWork, training_flops
from translate.errors import UserError

REFERENCE = "ours-reference"
CEILING = "matrix products"
PROFILED_UPDATES = 12
_CEILING_SECONDS = 4.0  # in each round, at most
_COMMON = ("corpus", "device", "threads")  # fields of the work that are no options of their own here


def add_options(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    files = "a folder with train.en, train.de, val.en and val.de"
    parser.add_argument("--data", type=Path, required=required, help=files)
    parser.add_argument("--languages", default="en-de", help="endings of the files, source first")
    for option in fields(TrainingWork):
        if option.name not in _COMMON:
            name = f"--{option.name.replace('_', '-')}"
            parser.add_argument(name, type=type(option.default), default=option.default)


def add_time_options(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    parser.add_argument("--minutes", type=float, default=6.0, help="of measured work, over all systems and rounds")
    parser.add_argument("--rounds", type=int, default=5)


def make_work(arguments: argparse.Namespace, session: Session) -> tuple[TrainingWork, Message]:
    """Prepare the corpus and write it for the peers; the work, and the data that our own workers prepare again."""
    languages = arguments.languages.split("-")
    for name in (f"{split}.{language}" for split in ("train", "val") for language in languages):
        if not (arguments.data / name).is_file():
            raise UserError(f"--data {arguments.data}: file {name} is missing; give a folder that has it")
    work = TrainingWork(**{key: value for key, value in vars(arguments).items() if key in vars(TrainingWork())})
    cache = str(session.output / "cache")
    data = {"folder": str(arguments.data), "splits": ["train", "val"], "languages": languages, "cache": cache}
    prepared = prepare_corpus(data, vocab_size=work.vocab_size)
    path = session.output / "corpus.json"
    Corpus(*prepared.train.pairs(np.arange(len(prepared.train)))).save(path)
    return replace(work, corpus=str(path), vocab_size=prepared.tokenizer.target_vocab_size), data


def settings_of(system: System, work: TrainingWork, data: Message) -> Message:
    return {"task": "train", "work": asdict(work)} | ({"data": data} if system.adapter == OURS else {})


def run(arguments: argparse.Namespace, session: Session) -> None:
    systems = choose("training", arguments.systems)
    work, data = make_work(arguments, session)
    session.results["work"] = asdict(work)
    seconds = arguments.minutes * 60 / (arguments.rounds * len(systems))
    slices: dict[str, list[Message]] = {name: [] for name in (CEILING, *systems)}
    ceiling = {CEILING: System("torch_loop", {"task": "matrix_products"})}
    # the ceiling is measured in every round as well: the clock rate of a processor depends on what else it does
    with session.workers(ceiling | systems, lambda system: settings_of(system, work, data)) as workers:

        def measure(name: str) -> float:
            """Target tokens per second; of the ceiling, FLOPs."""
            answer = workers[name].ask({"run": min(seconds, _CEILING_SECONDS) if name == CEILING else seconds})
            slices[name].append(answer)
            return float(answer["tokens"] / answer["seconds"])

        values = session.take_turns(workers, arguments.rounds, measure)
        own = session.results["own"] = {}
        if OURS in values:
            own |= workers[OURS].ask({"losses": True}) | workers[OURS].ask({"profile": PROFILED_UPDATES})
            if REFERENCE in values:
                own["reference_losses"] = workers[REFERENCE].ask({"losses": True})["losses"]
    if CEILING not in values:
        raise AbsentError(f"{CEILING}: {session.absent[CEILING]}")
    _report(session, work, values, slices)


def _report(session: Session, work: TrainingWork, values: Values, slices: Mapping[str, list[Message]]) -> None:
    ceiling, lengths = max(values.pop(CEILING)), Corpus.load(work.corpus).lengths
    flops = training_flops(work, lengths) / int(lengths[:, 1].sum())
    session.results["ceiling"] = {"flops_per_second": ceiling, "flops_per_target_token": flops}
    session.headings = (f"system ({work.precision})", "target tokens/s", *STATISTICS, "tokens per update", "of ceiling")
    for name, summary in summarise(values).items():
        tokens = median(piece["tokens"] / piece["updates"] for piece in slices[name])
        utilisation = median(values[name]) * flops / ceiling
        measured = {"tokens_per_update": tokens, "utilisation": utilisation, "slices": slices[name]}
        session.results[name] = summary | measured
        session.rows.append((name, *summary.values(), tokens, f"{utilisation:.1%}"))
    session.notes += [
        "Target tokens are counted without padding and with EOS, from each system's own batches.",
        f"Ceiling: the fastest of several matrix products in this run, {ceiling / 1e9:,.0f} GFLOP/s; "
        f"{flops / 1e6:.1f} MFLOP per target token, padding not counted: {FLOP_FORMULA}",
    ]
    if own := session.results["own"]:
        session.notes += _notes(**own)


def _notes(shares: Mapping[str, float], losses: list[float], reference_losses: list[float] | None = None) -> list[str]:
    parts = ", ".join(f"{part} {share:.1%}" for part, share in shares.items())
    notes = [
        f"Ours, share of time over {PROFILED_UPDATES} more updates: {parts}. On a CPU the loss computes most of its "
        "gradients in the forward pass.",
        f"Ours, loss with label smoothing from {losses[0]:.4f} to {losses[-1]:.4f} in {len(losses)} updates.",
    ]
    if reference_losses:
        differences = [abs(a - b) for a, b in zip(losses, reference_losses, strict=False)]
        most, updates = max(differences), f"{len(differences)} updates"
        notes.append(f"Largest difference of a loss from the reference path: {most:.1e} in {updates}.")
    return notes
