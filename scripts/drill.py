"""Disturb a training run again and again, continue it each time, and compare it with an undisturbed run.

    python scripts/drill.py --count 12 --output /tmp/drill [NAME=VALUE ...]

Faults take turns: SIGKILL at a random moment, SIGKILL while files are being written, SIGTERM, and a full disk. The
options are those of `python -m translate.train`; without any, a small model on the shipped corpus is trained for 600
updates that save every 20. Exit status 0 if all weights and hypotheses are identical.
"""

import argparse
import filecmp
import random
import resource
import subprocess
import sys
import time
from itertools import cycle, islice
from pathlib import Path

SMALL = (
    "experiment=shipped model=tiny tokenizer.vocab_size=1000 validation.every=150 run.max_steps=600 run.save_every=20 "
    "run.log_every=20"
)
Process = subprocess.Popen[bytes]


def kill(process: Process, folder: Path) -> None:
    process.kill()


def kill_writing(process: Process, folder: Path) -> None:
    """Wait until a folder is half-written."""
    while process.poll() is None and not being_written(folder):
        time.sleep(0.0005)
    process.kill()


def terminate(process: Process, folder: Path) -> None:
    """The run saves after the current update and ends."""
    process.terminate()


def full_disk(process: Process, folder: Path) -> None:
    """Let no file grow above 10 kB: the next state cannot be written, which ends the run."""
    if process.poll() is None:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (10_000, 10_000))


FAULTS = {fault.__name__: fault for fault in (kill, kill_writing, terminate, full_disk)}


def main() -> None:
    arguments = _arguments()
    options = arguments.options or SMALL.split()
    undisturbed, disturbed = arguments.output / "undisturbed", arguments.output / "disturbed"
    started = time.monotonic()
    if _train(options, undisturbed).wait():
        sys.exit("the undisturbed run failed")
    seconds = time.monotonic() - started
    print(f"undisturbed: {seconds:.0f} s", flush=True)
    moments = random.Random(arguments.seed)
    for number, name in enumerate(islice(cycle(arguments.faults), arguments.count), start=1):
        process = _train(options, disturbed)
        _wait_for_progress(process, disturbed, since=newest_state(disturbed))
        # each session may last as long as keeps the run from ending before the last fault
        time.sleep(moments.uniform(0.0, 0.4) * seconds / arguments.count)
        # an outcome is reported only of faults that met a running process
        was_over = process.poll() is not None
        FAULTS[name](process, disturbed)
        process.wait()
        left = ", ".join(being_written(disturbed)) or "no half-written files"
        outcome = "the run had ended by itself" if was_over else f"status {process.returncode}, {left}"
        print(f"{number}: {name}; newest state {newest_state(disturbed) or 'none'}; {outcome}", flush=True)
    if _train(options, disturbed).wait():
        sys.exit("the continued run failed")
    names = ["best/weights.safetensors", "last/weights.safetensors", "evaluation/hypotheses.txt"]
    names += [f"state/{newest_state(undisturbed)}/{kind}.safetensors" for kind in ("weights", "average")]
    _, changed, missing = filecmp.cmpfiles(undisturbed, disturbed, names, shallow=False)
    different = changed + missing
    print("identical" if not different else "different: " + ", ".join(different))
    sys.exit(bool(different))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=12, help="of faults")
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), help="in this order")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="an empty or new folder for the two runs")
    parser.add_argument("options", nargs="*", help="of python -m translate.train")
    return parser.parse_args()


def _train(options: list[str], folder: Path) -> Process:
    command = [sys.executable, "-m", "translate.train", *options, f"run.dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for_progress(process: Process, folder: Path, *, since: str) -> None:
    """Wait until the run has saved once more, so that it gets further in every session."""
    while process.poll() is None and newest_state(folder) == since:
        time.sleep(0.01)


def newest_state(folder: Path) -> str:
    return max((path.name for path in (folder / "state").glob("step-????????")), default="")


def being_written(folder: Path) -> list[str]:
    """Names of folders that are not complete."""
    return [path.name for pattern in ("*.new", "*.old", "state/*.new") for path in folder.glob(pattern)]


if __name__ == "__main__":
    main()
