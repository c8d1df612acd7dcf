"""Our own system against its peers at the same work, in one run, in turns.

    python scripts/benchmark.py training --data data/multi30k
    python scripts/benchmark.py decoding --model runs/multi30k --source test.en --reference test.de
    python scripts/benchmark.py training --help

Every part prints a table and writes it, with all measurements, into --output. Peers are installed on first use, each
in an environment of its own; one that cannot be installed is named in the table, with the reason.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks import decoding, training
from benchmarks.environments import DEFAULT_FOLDER
from benchmarks.memory_and_growth import add_growth_options, add_memory_options, run_growth, run_memory
from benchmarks.operations import add_operation_options, run_operations
from benchmarks.protocol import AbsentError
from benchmarks.session import Session
from translate.errors import UserError

PARTS = {  # what is measured, the function that adds its options, the function that measures
    "training": ("target tokens per second, utilisation, shares of time", training.add_time_options, training.run),
    "operations": ("time of each operation of our updates, against its ceiling", add_operation_options, run_operations),
    "decoding": ("sentences per second of beam search, and BLEU", decoding.add_options, decoding.run),
    "latency": ("milliseconds for one sentence at a time", decoding.add_options, decoding.run),
    "startup": ("seconds from starting a process to its translation", decoding.add_options, decoding.run_startup),
    "memory": ("peak memory of training and decoding", add_memory_options, run_memory),
    "growth": ("time and memory of ours by lengths, vocabulary, beam, …", add_growth_options, run_growth),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True, metavar="|".join(PARTS))
    for part, (summary, add_part_options, _) in PARTS.items():
        own = parts.add_parser(part, help=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        some = "some of them, ours,torch for example; all if empty"
        own.add_argument("--systems", type=lambda text: text.split(","), default=[], help=some)
        own.add_argument("--threads", type=int, default=os.cpu_count() or 1)
        own.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
        own.add_argument("--environments", type=Path, default=DEFAULT_FOLDER, help="where peers are installed")
        own.add_argument("--output", type=Path, default=Path("runs/benchmark") / part)
        add_part_options(own)
    arguments = parser.parse_args()
    session = Session(arguments.part, arguments.output, arguments.environments, arguments.threads)
    try:
        PARTS[arguments.part][2](arguments, session)
    except (UserError, AbsentError) as error:
        sys.exit(str(error))
    session.publish()


if __name__ == "__main__":
    main()
