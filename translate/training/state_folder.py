"""States of a run, written and restored. A folder appears under its name only when it is complete and on disk."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from translate.checkpoint import load_weights, weights_of, write_weights
from translate.checksums import DamagedError
from translate.disk_space import naming, size_of
from translate.distributed import World
from translate.errors import UserError, excerpt
from translate.files import read_json, write_json, write_text
from translate.folders import remove_directory, replaced_directory
from translate.model_directory import WEIGHTS
from translate.parsing import from_plain
from translate.tensor_files import load_pickle
from translate.training.optimizer import fits_optimizer
from translate.training.progress import RunProgress
from translate.training.run_folder import RunFolder
from translate.training.saved_states import (
    AVERAGE,
    PROGRESS,
    STATE_FILES,
    TRAINING,
    read_config,
    saved_states,
    set_aside,
    state_folders,
    state_name,
    state_step,
    verify_state,
)
from translate.training.state import Snapshot, TrainState, is_finite

logger = logging.getLogger(__name__)


class StateFolder:
    """The saved states of a run.

    keep, every  which states stay: see outdated
    vocab_size  of the target: a loss far above ln vocab_size, that of uniform guessing, is a sign of divergence
    newest      step of the newest one; 0: there is none
    overdue     a state could not be saved because its numbers were not finite: the next sound one is
    """

    def __init__(self, folder: RunFolder, world: World, *, keep: int, vocab_size: int, every: int = 1):
        self.path, self.writer, self.world = folder.states, folder.writer, world
        self.keep, self.every, self.vocab_size = keep, every, vocab_size
        self.newest = 0
        self.overdue = False
        self._folder = folder

    def restore_newest(self, state: TrainState) -> None:
        """Restore the newest state that can be read and whose weights are finite, if there is one; on all processes.

        RunFolder.open has set aside those that are not what was written. Raises UserError where there are states and
        none can be read.
        """
        folder, saved, error = self._newest_sound(state) if self.world.is_main else (None, None, "")
        # the main process decides: one that cannot read a file must not continue from another state than the rest
        folder, error = self.world.from_main((folder, error))
        if error:
            raise UserError(error)
        if folder is None:
            return
        state.restore(saved or _read(folder), rank=self.world.rank)
        self.newest = state.step

    def _newest_sound(self, state: TrainState) -> tuple[Path | None, Snapshot | None, str]:
        """The state to continue from, with its folder; or an error."""
        damaged: dict[Path, str] = {}
        chosen: tuple[Path | None, Snapshot | None] = None, None
        for folder in reversed(state_folders(self.path)):
            try:
                saved = read_state(folder, contents=folder != self._folder.verified)
                if reason := _misfit(saved, state):
                    raise DamagedError(folder, reason)
            except DamagedError as error:
                damaged[folder] = error.finding
                continue
            if is_finite(saved.weights):
                chosen = folder, saved
                break
            logger.warning(f"{folder} is left out: its weights are not finite, training had diverged when it was saved")
        try:
            self._set_aside(damaged)
        except UserError as error:
            return None, None, str(error)
        return *chosen, ""

    def _set_aside(self, damaged: Mapping[Path, str]) -> None:
        for line in set_aside(self.path, damaged):
            logger.warning(line)

    def intact(self, count: int) -> list[Path]:
        """The newest `count` states, oldest first, without damaged ones, which are set aside; on all processes."""
        found, damaged = [], {}
        for folder in saved_states(self.path)[-count:] if self.world.is_main and count else ():
            try:
                verify_state(folder)
                found.append(folder)
            except DamagedError as error:
                damaged[folder] = error.finding
        if found:
            self._set_aside(damaged)
        return list(self.world.from_main(found))

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
            texts, keep, every = dict(self._folder.texts), self.keep, self.every
            self.writer.write(partial(write_state, state.snapshot(processes), self.path, keep, texts, every=every))

    def wait(self) -> None:
        """Return when every process can read what has been saved, models included."""
        self.writer.wait()
        self.world.wait()


def write_state(snapshot: Snapshot, directory: Path, keep: int, texts: Mapping[str, str], *, every: int = 1) -> None:
    """Write a snapshot into the folder of its step, and remove outdated states.

    texts  further files, by name: copies of what describes the run, which a power failure may take from its folder
    keep, every  see outdated
    """
    path, size = directory / state_name(snapshot.progress.step), size_of(state_folders(directory)[-1:])
    with replaced_directory(path, owned=STATE_FILES, needed=size) as folder:  # about as large as the state before
        write_weights(snapshot.weights, folder / WEIGHTS)
        if snapshot.average is not None:
            write_weights(snapshot.average, folder / AVERAGE)
        with naming(folder / TRAINING), open(folder / TRAINING, "wb") as file:
            torch.save(snapshot.training, file)
        values = dataclasses.asdict(snapshot.progress)
        write_json(folder / PROGRESS, values | {"place": values.pop("position")})  # its name in older versions
        for name, text in texts.items():
            write_text(folder / name, text)
    for old in outdated(state_folders(directory), keep=keep, every=every):  # only now that the new one is complete
        remove_directory(old, owned=STATE_FILES)


def outdated(folders: Sequence[Path], *, keep: int, every: int) -> list[Path]:
    """The folders of states, given oldest first, that need not be kept.

    The newest `keep` stay. One that a signal or an error has saved between two that were due after `every` updates
    makes room for the next one, so that an average of the last states is that of the undisturbed run.
    """
    due: dict[int, Path] = {}  # by the number of times that a state had been due
    for folder in folders[:-1]:
        # the first one: a later one was not due, and an update that failed may have put it off
        due.setdefault(state_step(folder) // every, folder)
    due.pop(0, None)
    kept = {*list(due.values())[max(0, len(due) - keep + 1) :], *folders[-1:]}
    return [folder for folder in folders if folder not in kept]


def read_state(folder: Path, *, contents: bool = True) -> Snapshot:
    """Read a state. Raises DamagedError for a file that is missing, or not what was written.

    contents  see checksums.verify
    """
    is_verified = verify_state(folder, contents=contents)
    try:
        return _read(folder)
    except DamagedError:
        raise
    except UserError as error:  # neither OSError nor MemoryError: the file may be good
        if is_verified:
            raise
        raise DamagedError(folder, f"its files cannot be read: {excerpt(error)}") from None


def _read(folder: Path) -> Snapshot:
    average = folder / AVERAGE  # absent where the run had no average until now
    training = load_pickle(folder / TRAINING)
    if not (isinstance(training, dict) and {"optimizer", "random"} <= training.keys()):
        raise UserError(f"{TRAINING} is not what was saved there")
    return Snapshot(
        load_weights(folder / WEIGHTS),
        load_weights(average) if average.exists() else None,
        training,
        read_progress(folder),
    )


def _misfit(saved: Snapshot, state: TrainState) -> str:
    """The part of a snapshot that does not belong to this model and optimizer; "" where all do."""
    expected = {name: weight.shape for name, weight in weights_of(state.model.module).items()}
    for weights in (saved.weights, saved.weights if saved.average is None else saved.average):
        if {name: weight.shape for name, weight in weights.items()} != expected:
            return "its weights are those of another model"
    random = saved.training["random"]
    if not isinstance(random, list) or not random or not all(map(_is_random_state, random)):
        return f"{TRAINING} has no states of random generators"
    if not fits_optimizer(saved.training["optimizer"], state.optimizer):
        return f"{TRAINING} is of another optimizer"
    return ""


def _is_random_state(value: Any) -> bool:
    """True for the states of one process's generators."""
    if not isinstance(value, dict) or not isinstance(value.get("cpu"), Tensor) or "cuda" not in value:
        return False
    try:
        torch.Generator().set_state(value["cpu"])
    except (RuntimeError, TypeError):  # of another size or type, or bytes that are no state
        return False
    return True


def read_progress(folder: Path) -> RunProgress:
    """The progress in a state's folder. Those of older versions lack fields, and may have NaN as their best score.

    Raises DamagedError for a state of another step than its folder's name says, and for values that cannot be.
    """
    values = read_json(folder / PROGRESS)
    values["position"] = saved_position(values.pop("place", None), folder)
    progress = from_plain(RunProgress, values, folder / PROGRESS)
    if "last_success" not in values:
        progress.last_success = progress.step - progress.skipped_in_a_row
    if progress.best is not None and not math.isfinite(progress.best):
        progress.best = None
    _require_possible(progress, folder)
    return progress


def _require_possible(progress: RunProgress, folder: Path) -> None:
    # a folder that was renamed or copied over another: the run would repeat its steps at each start
    if folder.name != state_name(progress.step):
        raise DamagedError(folder, f"{PROGRESS} is of step {progress.step}")
    for name, value in (vars(progress) | vars(progress.position) | progress.session).items():
        is_wrong = isinstance(value, int) and value < 0
        if is_wrong or (name in ("seconds", "epochs") and not 0 <= value < math.inf):
            raise DamagedError(folder, f"{PROGRESS}: {name} is {value}")
    if not isinstance(progress.session.get("batch_tokens", 0), int):
        raise DamagedError(folder, f"{PROGRESS}: session is damaged")


def saved_position(place: Any, folder: Path) -> Any:
    """Position in the data that the progress of a state has, as a dictionary; folder: of the state."""
    if not (isinstance(place, dict) and isinstance(updates := place.get("updates"), int)):
        return place
    # older versions counted updates of so many batches on so many processes
    config = read_config(RunFolder(folder.parent.parent).config_file)
    accumulation = (config.get("batch") or {}).get("accumulation", 1)
    processes = len(load_pickle(folder / TRAINING)["random"])
    others = {key: value for key, value in place.items() if key != "updates"}
    return {**others, "batches": updates * accumulation * processes}
