"""The state with which a run resumes exactly: weights, optimiser, averages, random states, position in the data.

state/step-00001000/ holds weights.safetensors, average.safetensors (if there is one), training.pt and
progress.json. A folder appears under its name only when it is complete and on disk.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from translate.checkpoint import Weights, copy_of, set_weights, weights_of, write_weights
from translate.data.loader import Place
from translate.distributed import World
from translate.errors import UserError
from translate.files import read_json, write_json
from translate.folders import remove_directory, replaced_directory
from translate.model_directory import WEIGHTS
from translate.training.averages import RunningAverage
from translate.training.parallel import ParallelModel
from translate.training.writer import Writer

logger = logging.getLogger("translate")

AVERAGE, TRAINING, PROGRESS = "average.safetensors", "training.pt", "progress.json"
STATE_FILES = (WEIGHTS, AVERAGE, TRAINING, PROGRESS)
STATE_NAME = re.compile(r"step-[0-9]{8}")


@dataclass
class RunProgress:
    """Progress of a run.

    seconds  of training in all sessions
    last_success  step of the last update that was not skipped; loss: its mean per target token, in nats
    best     the best value of the metric so far, with the validation loss (best_loss) and the step (best_step) of the
             same model
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
    last_success: int = 0
    loss: float | None = None
    best: float | None = None
    best_loss: float | None = None
    best_step: int = 0
    stale: int = 0
    validated: int = 0


@dataclass(frozen=True)
class _Snapshot:
    """A copy of a run's state after one update, on the CPU.

    training  states of the optimiser, of the random generators of all processes and, in fp16, of the loss scale
    """

    weights: Weights
    average: Weights | None
    training: dict[str, Any]
    progress: RunProgress


class RunState:
    """The changing parts of a run, saved and restored together.

    saved          step of the newest saved state; 0: there is none
    learning_rate  of the last update before the restored state; None: nothing was restored
    """

    def __init__(
        self,
        model: ParallelModel,
        optimizer: torch.optim.Optimizer,
        average: RunningAverage | None,
        directory: Path,
        world: World,
    ):
        self.model, self.optimizer, self.average = model, optimizer, average
        self.directory, self.world = directory, world
        self.progress = RunProgress()
        self.saved = 0
        self.learning_rate: float | None = None

    def restore(self) -> bool:
        """Restore the newest state that can be read and whose weights are finite; whether there is one.

        Raises UserError where there are states and none can be read.
        """
        folders, damaged = saved_states(self.directory), []
        for folder in reversed(folders):
            try:
                saved = _read(folder)
            except (OSError, MemoryError):  # the file may be good
                raise
            except Exception as error:  # the unpickler of damaged files raises whatever its bytes lead it to
                reason = (str(error) or type(error).__name__).split("\n")[0]
                logger.warning(f"{folder} is damaged and left out: {reason[:200]}")
                damaged.append(folder)
                continue
            if is_finite(saved.weights):
                self._restore(saved)
                return True
            logger.warning(f"{folder} is left out: its weights are not finite, training had diverged when it was saved")
        if damaged and damaged == folders[::-1]:
            raise UserError(
                f"{self.directory}: no state of the run can be read; bring one back, or choose another run.dir"
            )
        return False

    def _restore(self, saved: _Snapshot) -> None:
        device, training = self.model.device, saved.training
        set_weights(self.model.module, saved.weights)
        if self.average is not None:
            self.average.restore(saved.weights if saved.average is None else saved.average)
        settings = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}  # the schedule sets the rate
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(training["optimizer"])
        self.learning_rate = self.optimizer.param_groups[0]["lr"]
        # current settings take precedence over those in the state
        for group, own in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(own)
        if self.model.loss_scale is not None and "loss_scale" in training:
            self.model.loss_scale.load_state_dict(training["loss_scale"])
        # with another number of processes the run goes on, though no longer bit for bit
        _set_random_state(training["random"][self.world.rank % len(training["random"])], device)
        self.progress = saved.progress
        self.saved = self.progress.step

    @property
    def is_sound(self) -> bool:
        """True if training can go on from here: the last update was not skipped, and all numbers are finite."""
        if self.progress.last_success < self.progress.step:
            return False
        average = self.average.weights if self.average is not None else {}
        tensors = (weights_of(self.model.module), average, self.optimizer.state_dict())
        return all(map(is_finite, tensors))

    def discard_diverged(self, *, vocab_size: int) -> int:
        """Remove the states that were saved after training had diverged; the step of the newest left, 0 for none.

        A state goes if no update has succeeded since, or if its training loss was above twice the cross entropy of
        uniform guessing, ln vocab_size. On the main process only.
        """
        most = 2 * math.log(vocab_size)
        for folder in reversed(saved_states(self.directory)):
            progress = read_progress(folder)
            if progress.step < self.progress.last_success and not (progress.loss or 0.0) > most:
                return progress.step
            remove_directory(folder, owned=STATE_FILES)
        return 0

    def save(self, keep: int, writer: Writer) -> None:
        """Have the state written under its step, and all but the newest `keep` removed."""
        random = self.world.gather(_random_state(self.model.device))
        self.saved = self.progress.step
        if self.world.is_main:
            scale = self.model.loss_scale
            snapshot = _Snapshot(
                copy_of(weights_of(self.model.module)),
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


def _read(folder: Path) -> _Snapshot:
    average = folder / AVERAGE  # absent where the run had no average until now
    training = torch.load(folder / TRAINING, map_location="cpu", weights_only=True)
    if not (isinstance(training, dict) and {"optimizer", "random"} <= training.keys()):
        raise UserError(f"{TRAINING} is not what was saved there")
    return _Snapshot(
        safetensors.torch.load_file(folder / WEIGHTS),
        safetensors.torch.load_file(average) if average.exists() else None,
        training,
        read_progress(folder),
    )


def saved_states(directory: Path) -> list[Path]:
    """The complete states in a run's state folder, oldest first; folders with any other name are not the program's."""
    if not directory.is_dir():
        return []
    folders = [path for path in directory.iterdir() if STATE_NAME.fullmatch(path.name)]
    needed = (WEIGHTS, TRAINING, PROGRESS)
    return sorted(folder for folder in folders if all((folder / name).is_file() for name in needed))


def read_progress(folder: Path) -> RunProgress:
    """The progress in a state's folder. Those of older versions lack fields, and may have NaN as their best score."""
    values = read_json(folder / PROGRESS)
    values.setdefault("last_success", values["step"] - values.get("skipped_in_a_row", 0))
    progress = RunProgress(**{**values, "place": Place(**values["place"])})
    if progress.best is not None and not math.isfinite(progress.best):
        progress.best = None
    return progress


def is_finite(state: Any) -> bool:
    """True if all numbers are finite in a tensor, or in nested dictionaries and lists of them."""
    if isinstance(state, Tensor):
        return bool(state.isfinite().all())
    if isinstance(state, dict):
        return all(map(is_finite, state.values()))
    return not isinstance(state, list) or all(map(is_finite, state))


def _random_state(device: torch.device) -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)
