"""Disturb short training runs by faults drawn at random, and compare what they deliver with undisturbed runs.

    python scripts/drill.py --output build/drill [--minutes 45] [--seed 1] [--kinds kill full_disk …]

A round is a run of one or two processes in several sessions, each of which meets a fault; then it is left alone, and
its weights and hypotheses must equal those of a run that met none. The drill ends when every kind has struck three
times and 100 faults in all. The same command continues a drill that was ended. Exit status: 0 nothing was found,
1 something was, 2 the time was too short.
"""

import argparse
import signal
import sys
import time
from pathlib import Path

from drills.faults import CHANGES_UPDATES, FAULTS
from drills.journal import Journal
from drills.rounds import Round, write_corpus


def main() -> None:
    arguments = _arguments()
    # sessions would inherit signals that are ignored, as SIGINT is in the background of a script and SIGHUP by nohup
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    output: Path = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    write_corpus(output / "corpus")
    journal = Journal(output / "journal.jsonl", kinds=arguments.kinds, least=arguments.least, count=arguments.count)
    until = time.monotonic() + 60 * arguments.minutes
    print(f"seed {arguments.seed}, {len(arguments.kinds)} kinds, at least {arguments.count} faults", flush=True)
    while not journal.is_complete:
        if time.monotonic() > until:
            print(journal.summary())
            print(f"out of time; the same command continues: {journal.missing()}")
            sys.exit(2)
        number = journal.next_round
        this = Round(output, number, seed=arguments.seed, bug=arguments.bug)
        journal.write(number, this.play(journal.kinds_needed(this.chance)))
    print(journal.summary())
    sys.exit(bool(journal.findings))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the drill, also of one to continue")
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100, help="of faults in all")
    parser.add_argument("--least", type=int, default=3, help="of faults of each kind")
    all_kinds = [*FAULTS, *CHANGES_UPDATES]
    parser.add_argument("--kinds", nargs="+", choices=all_kinds, default=all_kinds)
    parser.add_argument(
        "--bug",
        choices=["shifted_position", "missing_flush"],
        help="plant a bug in the program: the drill must find it",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
