"""Give hostile input to the readers of files and command lines, and report what they do not refuse with a message.

    python scripts/fuzz.py --examples 100000 --seed 0 [READER ...]

Examples come in rounds of a thousand, each with the next seed: a run that was ended continues with --seed of the last
line. Findings are kept in --database and tried first by a later run. Exit status 1 if there was one.
"""

import argparse
import sys
import time
from pathlib import Path

from fuzzing.harness import fuzz
from fuzzing.readers import Reader, readers

ROUND = 1000


def main() -> None:
    arguments = _arguments()
    table = readers()
    if unknown := sorted(set(arguments.readers) - set(table)):
        sys.exit(f"unknown reader {unknown[0]}; readers: {', '.join(table)}")
    findings = 0
    for name in arguments.readers or table:
        findings += _fuzz(name, table[name], arguments)
    sys.exit(1 if findings else 0)


def _fuzz(name: str, reader: Reader, arguments: argparse.Namespace) -> int:
    """Fuzz one reader, to its first finding; the number of findings."""
    started, done = time.monotonic(), 0
    for number in range(-(-arguments.examples // ROUND)):
        seed = arguments.seed + number
        examples = min(ROUND, arguments.examples - done)
        try:
            fuzz(reader, examples=examples, first_seed=seed, database=arguments.database)
        except Exception as error:  # any exception of a reader is what is looked for
            example = "\n".join(getattr(error, "__notes__", []))
            print(f"{name}: {type(error).__name__}: {error!s:.1000}\n{example:.2000}")
            _print_total(name, done, started, seed=seed, findings=1)
            return 1
        done += examples
        if number % 10 == 9:
            _print_total(name, done, started, seed=seed + 1, findings=0)
    _print_total(name, done, started, seed=seed + 1, findings=0)
    return 0


def _print_total(name: str, done: int, started: float, *, seed: int, findings: int) -> None:
    seconds = time.monotonic() - started
    print(f"{name}: {done:,} examples in {seconds:.0f} s, findings: {findings}, next --seed {seed}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("readers", nargs="*", metavar="READER")
    parser.add_argument("--examples", type=int, default=1000, help="of each reader")
    parser.add_argument("--seed", type=int, default=0, help="of the first thousand examples")
    parser.add_argument("--database", type=Path, default=Path("build/fuzz"), help="folder of findings")
    arguments = parser.parse_args()
    if arguments.examples < 1 or arguments.seed < 0:
        parser.error("--examples must be at least 1, and --seed at least 0")
    return arguments


if __name__ == "__main__":
    main()
