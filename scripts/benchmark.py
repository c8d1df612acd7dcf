"""Our own system against its peers, at the same work, in one run, by turns.

    python scripts/benchmark.py training --data data/multi30k
    python scripts/benchmark.py decoding --model runs/multi30k --source test.en --reference test.de
    python scripts/benchmark.py training --help

Every part prints a table and writes it, with everything that was measured, into --output. Peers are installed on
first use, each in an environment of its own; one that cannot be is named in the table, with the reason.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from benchmarks.environments import DEFAULT_FOLDER
from benchmarks.protocol import AbsentError
from benchmarks.session import Session
from translate.errors import UserError

PARTS = {
    "training": "target tokens per second, utilisation of the machine, share of time by part",
    "decoding": "sentences per second of beam search, and BLEU",
    "latency": "milliseconds for one sentence at a time",
    "startup": "seconds from the start of the process to the first translation",
    "memory": "peak memory of training and decoding",
    "growth": "time and memory of our own system as lengths, vocabulary, beam, batches and corpus grow",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True, metavar="|".join(PARTS))
    for part, summary in PARTS.items():
        own = parts.add_parser(part, help=summary, description=summary.capitalize())
        _add_common_options(own, part)
        importlib.import_module(f"benchmarks.{part}").add_options(own)
    arguments = parser.parse_args()
    session = Session(arguments.output, arguments.environments, arguments.threads)
    try:
        report = importlib.import_module(f"benchmarks.{arguments.part}").run(arguments, session)
    except (UserError, AbsentError) as error:
        sys.exit(str(error))
    report.publish(arguments.output)


def _add_common_options(parser: argparse.ArgumentParser, part: str) -> None:
    def names(text: str) -> list[str]:
        return [name for name in text.split(",") if name]

    parser.formatter_class = argparse.ArgumentDefaultsHelpFormatter
    if part != "growth":
        some = "some of them, ours,torch for example; all if empty"
        parser.add_argument("--systems", type=names, default=[], help=some)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--environments", type=Path, default=DEFAULT_FOLDER, help="where peers are installed")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark") / part)


if __name__ == "__main__":
    main()
