"""Kill a training run at random moments, continue it each time, and compare its weights with an undisturbed run's.

    python scripts/kill_test.py --kills 10 --output /tmp/kills [NAME=VALUE ...]

Every other kill waits for the run to write a folder, and falls while it does. The options are those of
`python -m translate.train`; without any, a small model on the shipped corpus is trained for 600 updates that save
every 20. Exit status 0 if all weights and hypotheses are identical.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path

import safetensors.torch
import torch

SMALL = [
    "experiment=shipped",
    "model=tiny",
    "tokenizer.vocab_size=1000",
    "validation.every=150",
    "run.max_steps=600",
    "run.save_every=20",
    "run.log_every=20",
]


def main() -> None:
    arguments = _arguments()
    options = arguments.options or SMALL
    undisturbed, killed = arguments.output / "undisturbed", arguments.output / "killed"
    started = time.monotonic()
    _train(options, undisturbed).wait()
    seconds = time.monotonic() - started
    print(f"undisturbed: {seconds:.0f} s", flush=True)
    moments = random.Random(arguments.seed)
    for number in range(1, arguments.kills + 1):
        process = _train(options, killed)
        _wait_for_progress(process, killed, since=_newest(killed))
        # each session may last as long as keeps the run from ending before the last kill
        time.sleep(moments.uniform(0.0, 0.4) * seconds / arguments.kills)
        if number % 2 == 0:
            _wait_for_writing(process, killed)
        survived = process.poll() is not None
        process.kill()
        process.wait()
        what = "had ended by itself" if survived else _unfinished(killed)
        print(f"kill {number}: newest state {_newest(killed) or 'none'}; {what}", flush=True)
    if _train(options, killed).wait():
        sys.exit("the continued run failed")
    differences = _differences(undisturbed, killed)
    print("identical" if not differences else "different: " + ", ".join(differences))
    sys.exit(bool(differences))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="an empty or new folder for the two runs")
    parser.add_argument("options", nargs="*", help="of python -m translate.train")
    return parser.parse_args()


def _train(options: list[str], folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "translate.train", *options, f"run.dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for_progress(process: subprocess.Popen[bytes], folder: Path, *, since: str) -> None:
    """Until the run has saved once more, so that every session gains something."""
    while process.poll() is None and _newest(folder) == since:
        time.sleep(0.01)


def _wait_for_writing(process: subprocess.Popen[bytes], folder: Path) -> None:
    while process.poll() is None and not _being_written(folder):
        time.sleep(0.0005)


def _newest(folder: Path) -> str:
    states = sorted(path.name for path in (folder / "state").glob("step-????????"))
    return states[-1] if states else ""


def _being_written(folder: Path) -> list[str]:
    return [path.name for pattern in ("*.new", "*.old", "state/*.new") for path in folder.glob(pattern)]


def _unfinished(folder: Path) -> str:
    """What the kill interrupted, as far as half-written folders tell."""
    names = _being_written(folder)
    return f"while writing {', '.join(names)}" if names else "between two savings"


def _differences(one: Path, other: Path) -> list[str]:
    names = ["best/weights.safetensors", "last/weights.safetensors"]
    names += [f"state/{_newest(one)}/{file}.safetensors" for file in ("weights", "average")]
    different = [name for name in names if not _same_weights(one / name, other / name)]
    hypotheses = "evaluation/hypotheses.txt"
    if (one / hypotheses).read_bytes() != (other / hypotheses).read_bytes():
        different.append(hypotheses)
    return different


def _same_weights(one: Path, other: Path) -> bool:
    ours, theirs = safetensors.torch.load_file(one), safetensors.torch.load_file(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


if __name__ == "__main__":
    main()
