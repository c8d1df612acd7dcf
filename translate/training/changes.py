"""Which settings may change in a run that has begun: all that a new session can follow from the last saved state.

Every key of TrainConfig has one of three rules, by its longest prefix in RULES:

- free: no effect on the result, or one that something else guards (the data's fingerprint, the base model's hash);
- recorded: training or scoring continues with the new value; the change is logged, and in the manifest with its step;
- refused: weights, vocabulary, data or the order of batches would differ from those that the run began with.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from translate.distributed import World, name_processes
from translate.errors import UserError
from translate.files import flatten, to_plain
from translate.locks import ProcessLock
from translate.training.best_model import score_best_again, step_of
from translate.training.config import TrainConfig
from translate.training.model_writer import ModelWriter
from translate.training.older_runs import as_begun
from translate.training.open_options import with_stored
from translate.training.run_folder import LOCK, RunFolder
from translate.training.saved_states import read_config
from translate.training.state import TrainState
from translate.training.state_folder import StateFolder
from translate.training.stopping import fraction_done, learning_rate
from translate.training.validation import Validator

logger = logging.getLogger(__name__)

_NEW_FILE_SECONDS = 10.0  # until a file that one machine has written is seen on another
_BUILT = "the model was built with it"
_ORDER = "it decides the order of the training pairs"
_ADAPTABLE = (_ORDER, "the optimizer's state was made for it", "it decides the training text")


@dataclass(frozen=True)
class Rule:
    """Consequences of changing a setting.

    refused   the reason why it must not change; "" for what may
    recorded  a change is logged and kept in the manifest
    rescored  scores before and after a change cannot be compared
    """

    refused: str = ""
    recorded: bool = True
    rescored: bool = False


FREE, RECORDED, RESCORED = Rule(recorded=False), Rule(), Rule(rescored=True)

RULES: dict[str, Rule] = {
    "name": FREE,
    "recipe": FREE,  # what it has chosen is in config.yaml
    "chosen": FREE,
    "plan": FREE,
    "data": Rule("it decides the training text"),
    "data.root": FREE,
    "data.train_stem": FREE,
    "data.cache": FREE,
    "data.train": FREE,
    "data.additional": FREE,
    "data.valid": FREE,
    "data.further_valid": FREE,
    "data.test": FREE,
    "data.further_tests": FREE,
    "data.source_language": RECORDED,
    "data.target_language": RESCORED,  # BLEU's tokenizer follows it
    "split": RESCORED,
    "case": RESCORED,
    "tokenizer": Rule(_BUILT),
    "tokenizer.max_sentences": FREE,  # a run that has begun has its tokenizer
    "augmentation": Rule(_ORDER),
    "sampling": Rule(_ORDER),
    "switch_out": RECORDED,
    "model": Rule(_BUILT),
    "batch": RECORDED,
    "batch.update_tokens": Rule("the size of batches was chosen by it: set batch.tokens or batch.accumulation"),
    "adapt": Rule(_BUILT),
    "adapt.model": FREE,
    "loss": RESCORED,  # validation.metric=loss and ties are decided by the smoothed loss
    "auxiliary": RECORDED,
    "optimizer": RECORDED,
    "optimizer.name": Rule("the optimizer's state was made for it"),
    "schedule": RECORDED,
    "averaging": RECORDED,
    "validation": RECORDED,
    "validation.metric": RESCORED,
    "validation.tokenize": RESCORED,
    "validation.samples": FREE,
    "validation.attention_maps": FREE,
    "search": RESCORED,
    "back_translation": Rule("it decides the training text"),
    "compute": FREE,
    "logger": FREE,
    "compute.precision": RESCORED,
    "compute.compile": RECORDED,
    "compute.fast_path": RECORDED,
    "compute.fp8": RECORDED,
    "run": FREE,
    "run.seed": Rule(_ORDER),
    "run.max_steps": RECORDED,
    "run.max_epochs": RECORDED,
    "run.max_minutes": RECORDED,
    "run.patience": RECORDED,
    "run.save_every": RECORDED,
    "recovery": RECORDED,
    "pruning": FREE,
    "sweep": FREE,
}

_BOUNDS = ("run.max_steps", "run.max_epochs", "run.max_minutes")


def rule_of(key: str) -> Rule:
    """The rule for a dotted key; one that no prefix in RULES covers is refused."""
    parts = key.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))  # the longest first
    return next((RULES[prefix] for prefix in prefixes if prefix in RULES), Rule("it is not known to be harmless"))


@dataclass(frozen=True)
class Change:
    """A setting that differs from the one that the run had until now."""

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key}: {self.before!r} before, {self.now!r} now"


@dataclass(frozen=True)
class Changes:
    """Settings that a new session changes in a run.

    settings  the configuration to follow: what is not given is as in the run, and so are schedule and model of an older
              one
    config    new content of the folder's config.yaml
    changes   those that are recorded
    """

    settings: TrainConfig
    config: dict[str, Any]
    changes: tuple[Change, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def keys(self) -> set[str]:
        return {change.key for change in self.changes}

    @property
    def rescored(self) -> bool:
        """True if the best score so far cannot be compared with later ones."""
        return any(rule_of(key).rescored for key in self.keys)

    @property
    def reordered(self) -> bool:
        """True if the current epoch cannot be continued: its batches would differ, not only their number per update."""
        return any(key.startswith("batch.") and key != "batch.accumulation" for key in self.keys)


def with_changes(manifest: Mapping[str, Any], changes: Changes, *, step: int) -> dict[str, Any]:
    """The manifest with changes at a step added; several changes of one key at one step become one."""
    entries = {(entry["step"], entry["key"]): entry for entry in manifest.get("changes", [])}
    for change in changes.changes:
        before = entries.get((step, change.key), {"before": change.before})["before"]
        entries[step, change.key] = {"step": step, "key": change.key, "before": before, "now": change.now}
    return {**manifest, "changes": [entry for entry in entries.values() if entry["before"] != entry["now"]]}


def open_run(folder: RunFolder, config: TrainConfig, world: World) -> Changes:
    """Lock the run's folder, and find what the configuration changes in the run that is there; on every process.

    Nothing of the run is written yet. Raises UserError for a folder of another kind, one in use, and settings that must
    not change.
    """
    changes = Changes(config, to_plain(config))
    if world.is_main:
        folder.open()  # on the main process alone: the others share its lock
        if folder.has_begun:
            changes = find_changes(config, read_config(folder.config_file), folder=folder.path)
    found: Changes = world.from_main(changes)
    require_one_folder(folder, world)
    return found


def require_one_folder(folder: RunFolder, world: World) -> None:
    """Raise UserError on every process where one does not see the run's folder that the main process has opened."""
    lock = ProcessLock(folder.path / LOCK)
    opened = world.from_main(lock.holder() if world.is_main else "")
    deadline = time.monotonic() + _NEW_FILE_SECONDS
    while not (seen := lock.holder() == opened) and time.monotonic() < deadline:
        time.sleep(0.1)
    if missing := [rank for rank, sees in enumerate(world.gather(seen, patient=True)) if not sees]:
        raise UserError(
            f"run.dir={folder.path}: {name_processes(missing)} cannot see the folder that process 0 has opened; all "
            "processes need one that they share"
        )


def find_changes(config: TrainConfig, before: Mapping[str, Any], *, folder: Path) -> Changes:
    """Compare a configuration with the one that a run has followed. Raises UserError for what must not change.

    before  content of the run's config.yaml. A key that it lacks is newer than the run: it counts as changed where it
            differs from its default.
    """
    config, now = as_begun(with_stored(config, before), before)
    old, new = _flat(before), _flat(now)
    defaults = _flat(to_plain(_defaults_of(config)))
    changes = [
        Change(key, old.get(key, defaults.get(key)), value)
        for key, value in new.items()
        if old.get(key, defaults.get(key)) != value
    ]
    if refused := [change for change in changes if rule_of(change.key).refused]:
        raise UserError(_refusal(refused, folder))
    recorded = tuple(change for change in changes if rule_of(change.key).recorded)
    return Changes(config, now, recorded)


def _refusal(changes: Sequence[Change], folder: Path) -> str:
    lines = "\n".join(f"  {x.key}: {x.before!r} there, {x.now!r} now ({rule_of(x.key).refused})" for x in changes)
    dropout = [change for change in changes if change.key in ("model.dropout", "adapt.dropout")]
    way = "choose another run.dir"
    if all(rule_of(change.key).refused in _ADAPTABLE or change in dropout for change in changes):
        way += f", with adapt=full adapt.model={folder} to train on from the weights of this run"
        way += f" and adapt.dropout={dropout[0].now}" if dropout else ""
    return f"run.dir={folder} belongs to a run with another configuration, which cannot change there:\n{lines}\n{way}"


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys, with the names of the auxiliary losses as a value: one that comes or goes is a change."""
    return {**flatten(config), "auxiliary": sorted(config.get("auxiliary") or {})}


def _defaults_of(config: TrainConfig) -> TrainConfig:
    auxiliary = {name: type(loss)() for name, loss in config.auxiliary.items()}
    return TrainConfig(model=type(config.model)(), adapt=type(config.adapt)(), auxiliary=auxiliary)


def take_up_changes(
    changes: Changes,
    config: TrainConfig,
    state: TrainState,
    states: StateFolder,
    validator: Validator,
    models: ModelWriter,
) -> None:
    """Adapt a run to its new settings. They are written last: a run killed before does all of it again."""
    folder, world = models.folder, states.world
    before = copy.deepcopy(state.progress)
    models.manifest = with_changes(models.manifest, changes, step=state.step)
    for change in changes.changes:
        logger.info(f"from step {state.step:,} on, {change}")
    state.adopt_settings(changes.keys, reordered=changes.reordered)
    _announce_learning_rate(changes, config, state)
    if states.newest:
        # the model in best/ may be of a later step than the state: the run continued after it was saved
        best_step = int(world.from_main(step_of(folder.best) if world.is_main else 0))
        if changes.rescored or best_step != state.progress.best_step:
            score_best_again(best_step, config, state, validator, models)
    if state.progress != before:
        states.write(state)
    states.wait()  # on disk before the configuration that it belongs to
    if world.is_main:
        if changes.rescored:
            folder.result_file.unlink(missing_ok=True)  # scores by the former settings
        folder.write(changes.config, models.manifest)
    world.wait()


def _announce_learning_rate(changes: Changes, config: TrainConfig, state: TrainState) -> None:
    """Log how the learning rate changes: it depends on the fraction of the run that is done, and so on the bounds."""
    progress, last = state.progress, state.learning_rate
    if last is None or not any(key.startswith(("optimizer.l", "schedule.", "run.max_")) for key in changes.keys):
        return
    if bounds := {
        change.key.removeprefix("run."): change.before for change in changes.changes if change.key in _BOUNDS
    }:
        before = fraction_done(replace(config.run, **bounds), progress)
        now = fraction_done(config.run, progress)
        logger.info(
            f"the schedule is {'stretched' if now < before else 'compressed'} to the new length of the run: {now:.0%} "
            f"of it is done ({before:.0%} by the previous bounds)"
        )
    logger.info(
        f"learning rate: {last:.2g} at step {progress.step:,}, {learning_rate(config, progress):.2g} from here on"
    )
