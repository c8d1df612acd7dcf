"""What a run must remember to go on exactly where it was: weights, optimiser, averages, random states, place.

state/step-00001000/ holds weights.safetensors, average.safetensors (if there is one), training.pt and
progress.json. A folder appears under its name only when it is complete and on disk.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from translate.checkpoint import Weights, copy_of, set_weights, weights_of, write_weights
from translate.data.loader import Place
from translate.distributed import World
from translate.files import read_json, remove_directory, replaced_directory, write_json
from translate.model_directory import WEIGHTS
from translate.training.averages import RunningAverage
from translate.training.parallel import Trainee
from translate.training.writer import Writer

AVERAGE, TRAINING, PROGRESS = "average.safetensors", "training.pt", "progress.json"
STATE_FILES = (WEIGHTS, AVERAGE, TRAINING, PROGRESS)
STATE_NAME = re.compile(r"step-[0-9]{8}")


@dataclass
class Progress:
    """How far a run has come.

    seconds  of training in all sessions
    best     the best value of the metric so far, and best_step where it was reached
    stale    validations since then
    validated  the step of the last validation
    """

    step: int = 0
    place: Place = field(default_factory=Place)
    epochs: float = 0.0
    seconds: float = 0.0
    target_tokens: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    best: float | None = None
    best_step: int = 0
    stale: int = 0
    validated: int = 0


@dataclass(frozen=True)
class _Snapshot:
    """A run as it was after one update, on the CPU; training holds the optimiser and random states of all processes.

    In fp16 it holds the loss scale as well.
    """

    weights: Weights
    average: Weights | None
    training: dict[str, Any]
    progress: Progress


class RunState:
    """The moving parts of a run, saved and restored together.

    saved  the step of the newest saved state; 0: there is none
    """

    def __init__(
        self,
        trainee: Trainee,
        optimizer: torch.optim.Optimizer,
        average: RunningAverage | None,
        directory: Path,
        world: World,
    ):
        self.trainee, self.optimizer, self.average = trainee, optimizer, average
        self.directory, self.world = directory, world
        self.progress = Progress()
        self.saved = 0

    def restore(self) -> bool:
        """Continue from the newest complete state, if there is one."""
        saved = saved_states(self.directory)
        if not saved:
            return False
        folder, device = saved[-1], self.trainee.device
        set_weights(self.trainee.model, safetensors.torch.load_file(folder / WEIGHTS))
        if self.average is not None:
            self.average.restore(safetensors.torch.load_file(folder / AVERAGE))
        training = torch.load(folder / TRAINING, map_location="cpu", weights_only=True)
        self.optimizer.load_state_dict(training["optimizer"])
        if self.trainee.loss_scale is not None and "loss_scale" in training:
            self.trainee.loss_scale.load_state_dict(training["loss_scale"])
        # with another number of processes the run goes on, though no longer bit for bit
        _set_random_state(training["random"][self.world.rank % len(training["random"])], device)
        values = read_json(folder / PROGRESS)
        self.progress = Progress(**{**values, "place": Place(**values["place"])})
        self.saved = self.progress.step
        return True

    def save(self, keep: int, writer: Writer) -> None:
        """Have the state written under its step, and all but the newest `keep` removed."""
        random = self.world.gather(_random_state(self.trainee.device))
        self.saved = self.progress.step
        if self.world.is_main:
            scale = self.trainee.loss_scale
            snapshot = _Snapshot(
                copy_of(weights_of(self.trainee.model)),
                copy_of(self.average.weights) if self.average is not None else None,
                {
                    "optimizer": copy_of(self.optimizer.state_dict()),
                    "random": random,
                    **({"loss_scale": scale.state_dict()} if scale is not None else {}),
                },
                copy.deepcopy(self.progress),
            )
            writer.write(partial(_write, snapshot, self.directory, keep))


def _write(snapshot: _Snapshot, directory: Path, keep: int) -> None:
    with replaced_directory(directory / f"step-{snapshot.progress.step:08d}", owned=STATE_FILES) as folder:
        write_weights(snapshot.weights, folder / WEIGHTS)
        if snapshot.average is not None:
            write_weights(snapshot.average, folder / AVERAGE)
        with open(folder / TRAINING, "wb") as file:
            torch.save(snapshot.training, file)
        write_json(folder / PROGRESS, dataclasses.asdict(snapshot.progress))
    for old in saved_states(directory)[:-keep]:
        remove_directory(old, owned=STATE_FILES)


def saved_states(directory: Path) -> list[Path]:
    """The complete states in a run's state folder, oldest first; a folder of any other name is somebody's own."""
    if not directory.is_dir():
        return []
    folders = [path for path in directory.iterdir() if STATE_NAME.fullmatch(path.name)]
    needed = (WEIGHTS, TRAINING, PROGRESS)
    return sorted(folder for folder in folders if all((folder / name).is_file() for name in needed))


def _random_state(device: torch.device) -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
