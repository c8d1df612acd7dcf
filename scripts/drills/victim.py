"""Train like `python -m translate.train`, with faults planted inside: started by the drill, alone or under torchrun.

    python scripts/drills/victim.py FOLDER PLANTED TRAINING-OPTIONS

FOLDER gets this process's number (RANK.pid), standard error (RANK.stderr) and the files flushed to disk (flushed).
PLANTED is a JSON object of the names in PLANTS with their arguments.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import runpy
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from translate import folders
from translate.batch import Batch
from translate.data.augmentation import pair_encoder
from translate.training import batch_memory, state, step

RANK = int(os.environ.get("RANK", "0"))
ALLOCATION = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 17179869184 bytes. Error code 12"


def late(seconds: float) -> None:
    """Let the last process come later than the others."""
    if int(os.environ.get("WORLD_SIZE", "1")) == RANK + 1:
        time.sleep(seconds)


def slow_disk(seconds: float) -> None:
    """Let each flush take this much longer."""

    def wait(flush: Callable[[int], None], descriptor: int) -> None:
        time.sleep(seconds)
        flush(descriptor)

    _wrap(os, "fsync", wait)


def lost_at_flush(number: int) -> None:
    """Fail this flush for lack of room, as a network file system does."""
    count = itertools.count(1)

    def fail(flush: Callable[[int], None], descriptor: int) -> None:
        if next(count) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    _wrap(os, "fsync", fail)


def loader_fails(number: int) -> None:
    """Raise an error in the thread that prepares batches, at this batch of the session."""
    count = itertools.count(1)

    def fail(encode: Callable[..., Any], *arguments: Any) -> Any:
        if next(count) == number:
            raise RuntimeError("planted in the loader")
        return encode(*arguments)

    _wrap(pair_encoder.PairEncoder, "encode", fail)


def nan(steps: list[int]) -> None:
    """Make a gradient NaN in these updates, before its norm is taken."""
    current = _count_steps()

    def spoil(clip: Callable[..., Any], parameters: Any, *arguments: Any, **options: Any) -> Any:
        parameters = list(parameters)
        if current() in steps:
            next(x.grad for x in parameters if x.grad is not None).fill_(float("nan"))
        return clip(parameters, *arguments, **options)

    _wrap(torch.nn.utils, "clip_grad_norm_", spoil)


def skip(steps: list[int]) -> None:
    """Leave the weights as they are in these updates: what a run with NaN there has to do."""
    current = _count_steps()
    for kind in (torch.optim.AdamW, torch.optim.Adam):
        _wrap(kind, "step", lambda make, *arguments: None if current() in steps else make(*arguments))


def out_of_memory(positions: int) -> None:
    """Let batches with more positions than this on the target side fail as the CPU's allocator does."""

    def fail(add: Callable[..., Any], objective: Any, batch: Batch) -> Any:
        if batch.target.ids.numel() > positions:
            raise RuntimeError(ALLOCATION)
        return add(objective, batch)

    _wrap(step.Objective, "add_gradient", fail)


def split(positions: int) -> None:
    """Halve batches with more positions than this beforehand: what a run without memory for them has to do."""

    def parts(batch: Batch) -> list[Batch]:
        if batch.target.ids.numel() <= positions:
            return [batch]
        return [part for half in batch_memory.halves_of(batch) for part in parts(half)]

    def divide(_: Callable[..., Any], memory: batch_memory.BatchMemory, batches: list[Batch]) -> list[Batch]:
        return [part for batch in batches for part in parts(batch)]

    _wrap(batch_memory.BatchMemory, "parts", divide)


def shifted_position(_: bool) -> None:
    """A bug for the drill to find: a restored run leaves out a batch."""

    def shift(restore: Callable[..., None], self: state.TrainState, *arguments: Any, **options: Any) -> None:
        restore(self, *arguments, **options)
        position = self.progress.position
        self.progress.position = replace(position, batches=position.batches + 1)

    _wrap(state.TrainState, "restore", shift)


def missing_flush(_: bool) -> None:
    """A bug for the drill to find: folders get their names before their files are on disk."""
    folders._flush_all = lambda directory: None


PLANTS = {
    plant.__name__: plant
    for plant in (
        late,
        slow_disk,
        lost_at_flush,
        loader_fails,
        nan,
        skip,
        out_of_memory,
        split,
        shifted_position,
        missing_flush,
    )
}


def _wrap(owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace a function by one that is given the original and its arguments."""
    original = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **options: around(original, *arguments, **options))


def _count_steps() -> Callable[[], int]:
    """A function that gives the number of the update under way."""
    current = [0]

    def note(make: Callable[..., Any], *arguments: Any, step: int, **options: Any) -> Any:
        current[0] = step
        return make(*arguments, step=step, **options)

    _wrap(step, "train_step", note)
    return lambda: current[0]


def _note_flushes(path: Path) -> None:
    """Append file and size of each flush, so that a power cut can be acted: what is not there may be lost."""

    def note(flush: Callable[[int], None], descriptor: int) -> None:
        flush(descriptor)
        found = os.fstat(descriptor)
        with open(path, "a", encoding="utf-8") as log:
            log.write(f"{found.st_ino} {found.st_size}\n")

    _wrap(os, "fsync", note)


def main() -> None:
    folder, planted, options = Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3:]
    (folder / f"{RANK}.pid").write_text(str(os.getpid()))
    if (folder / "own_stderr").exists():  # torchrun mixes the processes' lines with its own
        os.dup2(os.open(folder / f"{RANK}.stderr", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 2)
    _note_flushes(folder / "flushed")
    for name, argument in planted.items():
        PLANTS[name](argument)
    sys.argv = ["translate.train", *options]
    runpy.run_module("translate.train", run_name="__main__")


if __name__ == "__main__":
    main()
