"""Everything with which a run resumes exactly, in memory and on disk: weights, optimizer, average, progress.

state/step-00001000/ holds weights.safetensors, average.safetensors (if there is one), training.pt and
progress.json. A folder appears under its name only when it is complete and on disk.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate.checkpoint import Weights, copy_of, load_weights, set_weights, weights_of, write_weights
from translate.data.loader import DataPosition, Update
from translate.distributed import World
from translate.errors import UserError
from translate.files import read_json, write_json
from translate.folders import remove_directory, replaced_directory
from translate.model_directory import WEIGHTS
from translate.training.config import is_better
from translate.training.memory import random_state, set_random_state
from translate.training.optimizer import RunningAverage
from translate.training.parallel import ParallelModel
from translate.training.progress import RunProgress
from translate.training.run_folder import AVERAGE, PROGRESS, STATE_FILES, TRAINING, RunFolder, saved_states
from translate.training.step import StepResult

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A copy of a run's state after one update, on the CPU.

    training  states of the optimizer, of all processes ("random": generators, sizes of batches that do not fit into
              memory) and, in fp16, of the loss scale
    """

    weights: Weights
    average: Weights | None
    training: dict[str, Any]
    progress: RunProgress


class TrainState:
    """Exactly what a checkpoint holds. Progress is written by the methods here, its clock by stopping.stop_reason.

    counted        step of the last update whose result is known
    learning_rate  of the last update before the restored state; None: nothing was restored
    """

    def __init__(self, model: ParallelModel, optimizer: torch.optim.Optimizer, *, ema_decay: float = 0.0):
        self.model, self.optimizer = model, optimizer
        self.average = RunningAverage(model.module, ema_decay) if ema_decay else None
        self.progress = RunProgress()
        self.counted = 0
        self.learning_rate: float | None = None

    @property
    def step(self) -> int:
        return self.progress.step

    @property
    def weights(self) -> Weights:
        """The weights that are validated and saved as a model: the running average if there is one."""
        return self.average.weights if self.average is not None else weights_of(self.model.module)

    def advance(self, update: Update, *, target_tokens: int) -> None:
        """Count an update that has been started, and take its weights into the average."""
        self.progress.step += 1
        self.progress.position, self.progress.epochs = update.after, update.epochs
        self.progress.target_tokens += target_tokens
        if self.average is not None:
            self.average.update(self.step)

    def count_result(self, result: StepResult, *, far_loss: float = math.inf) -> None:
        """Count an update as made or skipped, see RunProgress.count."""
        self.counted = result.step
        self.progress.count(result, far_loss=far_loss)

    def record_validation(self, metric: str, value: float, loss: float) -> bool:
        """Note a validation of the current weights; True if they are the best so far."""
        progress = self.progress
        progress.validated = self.step
        better = is_better(metric, value, progress.best, loss=loss, best_loss=progress.best_loss)
        progress.stale = 0 if better else progress.stale + 1
        if better:
            self.record_best(value, loss, step=self.step)
        return better

    def record_best(self, value: float | None, loss: float | None, *, step: int) -> None:
        """Note the score of the model in best/; None: there is none."""
        self.progress.best, self.progress.best_loss, self.progress.best_step = value, loss, step

    def adopt_settings(self, changed: Collection[str], *, reordered: bool) -> None:
        """Let recovery begin anew with settings that have changed; changed: their keys; reordered: batches differ."""
        progress = self.progress
        progress.rung, progress.recent = 0, []
        # a rate that was set after a divergence is meant as it stands
        if "optimizer.learning_rate" in changed:
            progress.rate_factor = 1.0
        if reordered:
            self.model.memory.too_large = []
            self.begin_next_epoch()  # the position counts batches of the former plan

    def begin_next_epoch(self) -> None:
        """Leave the rest of an epoch whose batches have changed."""
        position = self.progress.position
        if position.updates:
            self.progress.position = replace(position, epoch=position.epoch + 1, updates=0)
            logger.info(f"batches have changed: epoch {position.epoch + 1} begins")

    @property
    def is_sound(self) -> bool:
        """True if training can continue from here: the last update was not skipped, and all numbers are finite."""
        if self.progress.last_success < self.step:
            return False
        average = self.average.weights if self.average is not None else {}
        return all(map(is_finite, (weights_of(self.model.module), average, self.optimizer.state_dict())))

    def of_process(self) -> dict[str, Any]:
        """The part of the state that differs between processes."""
        return {**random_state(self.model.device), "too_large": [list(shape) for shape in self.model.memory.too_large]}

    def snapshot(self, processes: list[dict[str, Any]]) -> Snapshot:
        """A copy on the CPU; processes: of_process() of each."""
        scale = self.model.loss_scale
        return Snapshot(
            copy_of(weights_of(self.model.module)),
            copy_of(self.average.weights) if self.average is not None else None,
            {
                "optimizer": copy_of(self.optimizer.state_dict()),
                "random": processes,
                **({"loss_scale": scale.state_dict()} if scale is not None else {}),
            },
            copy.deepcopy(self.progress),  # it is written while the run continues
        )

    def restore(self, saved: Snapshot, *, rank: int) -> None:
        """Continue from a snapshot, with the optimizer's settings as they are now."""
        set_weights(self.model.module, saved.weights)
        if self.average is not None:
            averages = saved.weights if saved.average is None else saved.average  # averaging was off until now
            for name, weight in self.average.weights.items():
                weight.copy_(averages[name])
        settings = [
            {key: value for key, value in group.items() if key not in ("params", "lr")}  # the schedule sets the rate
            for group in self.optimizer.param_groups
        ]
        self.optimizer.load_state_dict(saved.training["optimizer"])  # with its settings, undone below
        self.learning_rate = self.optimizer.param_groups[0]["lr"]
        for group, now in zip(self.optimizer.param_groups, settings, strict=True):
            group.update(now)
        if self.model.loss_scale is not None and "loss_scale" in saved.training:
            self.model.loss_scale.load_state_dict(saved.training["loss_scale"])
        # with another number of processes the run continues, though no longer bit for bit
        processes = saved.training["random"]
        own = processes[rank % len(processes)]
        set_random_state(own, self.model.device)
        # absent in states of older versions
        self.model.memory.too_large = [tuple(shape) for shape in own.get("too_large", [])]
        self.progress = saved.progress


class StateFolder:
    """The saved states of a run, of which the newest `keep` stay.

    vocab_size  of the target: a loss far above ln vocab_size, that of uniform guessing, is a sign of divergence
    newest      step of the newest one; 0: there is none
    overdue     a state could not be saved because its numbers were not finite: the next sound one is
    """

    def __init__(self, folder: RunFolder, world: World, *, keep: int, vocab_size: int):
        self.path, self.writer, self.world = folder.states, folder.writer, world
        self.keep, self.vocab_size = keep, vocab_size
        self.newest = 0
        self.overdue = False

    def restore_newest(self, state: TrainState) -> None:
        """Restore the newest state that can be read and whose weights are finite, if there is one.

        Raises UserError where there are states and none can be read.
        """
        folders, damaged = saved_states(self.path), []
        for folder in reversed(folders):
            try:
                saved = _read(folder)
            except (OSError, MemoryError):  # the file may be good
                raise
            except Exception as error:  # the unpickler of damaged files raises whatever its bytes lead it to
                reason = (str(error) or type(error).__name__).split("\n")[0]
                logger.warning(f"{folder} is damaged and skipped: {reason[:200]}")
                damaged.append(folder)
                continue
            if is_finite(saved.weights):
                state.restore(saved, rank=self.world.rank)
                self.newest = state.step
                return
            logger.warning(f"{folder} is left out: its weights are not finite, training had diverged when it was saved")
        if damaged and damaged == folders[::-1]:
            raise UserError(f"{self.path}: no state of the run can be read; bring one back, or choose another run.dir")

    def save(self, state: TrainState) -> bool:
        """Have the state written in the background; False: its numbers are not finite, the next sound one is overdue.

        Called on every process, with the results of all updates counted.
        """
        is_sound = state.is_sound
        if is_sound:
            self.writer.wait()  # one state at a time is held in memory
            self.write(state)
        elif not self.overdue:
            logger.warning(f"step {state.step:,} is not saved, as its update failed; the next sound one will be")
        self.overdue = not is_sound
        return is_sound

    def write(self, state: TrainState) -> None:
        """Have the state written under its step, and all but the newest `keep` removed."""
        processes = self.world.gather(state.of_process())  # every process takes part
        self.newest = state.step
        if self.world.is_main:
            self.writer.write(partial(_write, state.snapshot(processes), self.path, self.keep))

    def wait(self) -> None:
        """Return when every process can read what has been saved, models included."""
        self.writer.wait()
        self.world.wait()


def _write(snapshot: Snapshot, directory: Path, keep: int) -> None:
    with replaced_directory(directory / f"step-{snapshot.progress.step:08d}", owned=STATE_FILES) as folder:
        write_weights(snapshot.weights, folder / WEIGHTS)
        if snapshot.average is not None:
            write_weights(snapshot.average, folder / AVERAGE)
        with open(folder / TRAINING, "wb") as file:
            torch.save(snapshot.training, file)
        values = dataclasses.asdict(snapshot.progress)
        write_json(folder / PROGRESS, values | {"place": values.pop("position")})  # its name in older versions
    for old in saved_states(directory)[:-keep]:  # only now that the new one is complete
        remove_directory(old, owned=STATE_FILES)


def _read(folder: Path) -> Snapshot:
    average = folder / AVERAGE  # absent where the run had no average until now
    training = torch.load(folder / TRAINING, map_location="cpu", weights_only=True)
    if not (isinstance(training, dict) and {"optimizer", "random"} <= training.keys()):
        raise UserError(f"{TRAINING} is not what was saved there")
    return Snapshot(
        load_weights(folder / WEIGHTS),
        load_weights(average) if average.exists() else None,
        training,
        read_progress(folder),
    )


def read_progress(folder: Path) -> RunProgress:
    """The progress in a state's folder. Those of older versions lack fields, and may have NaN as their best score."""
    values = read_json(folder / PROGRESS)
    values.setdefault("last_success", values["step"] - values.get("skipped_in_a_row", 0))
    position = DataPosition(**values.pop("place"))
    progress = RunProgress(**values, position=position)
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
