"""Sweeps (--multirun): a run for each combination of values, or for each trial of Optuna (study.py)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override

from translate.console import logger, print_notes
from translate.errors import DivergedError, UserError
from translate.folders import MARKER, foreign_names, is_marked, listing, mark
from translate.launcher import launched_as
from translate.signals import stop_signals
from translate.training.changes import find_changes
from translate.training.config import SweepMethod, TrainConfig
from translate.training.parallel import decide_run
from translate.training.parts import with_base_model
from translate.training.run_folder import RunFolder
from translate.training.saved_states import read_config
from translate.training.stopping import TRIALS_LOCK, Trial

# name patterns of a sweep's files; the first two are from earlier versions
_STUDY = ("multirun.yaml", "optimization_results.yaml", "study.db*")
_OF_A_SWEEP = (MARKER, *_STUDY, "trials.tsv", f"{TRIALS_LOCK}*", "trial-*")

Run = Callable[..., float | None]
ToConfig = Callable[[Sequence[str]], Any]
Choices = Callable[[str], list[str]]


def run_sweep(words: Sequence[str], to_config: ToConfig, run: Run, choices: Choices) -> None:
    """Train a model for each trial of a sweep, each in its own folder below run.dir.

    words      options of the command line, some with several values
    to_config  function from options with one value each to a configuration
    choices    function from a group to its choices, for glob(…)

    Raises UserError for an invalid sweep.
    """
    overrides = OverridesParser.create().parse_overrides(list(words))
    swept = {override.key_or_group: override for override in overrides}  # the last one wins
    swept = {option: override for option, override in swept.items() if override.is_sweep_override()}
    fixed = [word for word, each in zip(words, overrides, strict=True) if each.key_or_group not in swept]
    # with a value for each swept option, since a fixed option may exist only in a swept group
    config = to_config(
        [*fixed, *option_words({option: _first(override, choices) for option, override in swept.items()})]
    )
    if not isinstance(config, TrainConfig):
        raise UserError("--multirun is for the train command")
    if launched_as()[1] > 1:
        raise UserError("a sweep trains its models one after another, each in one process: start it without torchrun")
    if config.sweep.method is SweepMethod.optuna:
        from translate.config.study import search  # with Optuna, an extra

        search(config, fixed, swept, to_config, run, choices)
        return
    trials = [(varied, to_config([*fixed, *option_words(varied)])) for varied in grid(swept, choices)]
    for _, trial_config in trials:
        # find a mistake in the last trial before the first one trains
        decide_run(with_base_model(trial_config))
    folder, found = sweep_folder(config.run.dir), list[float]()
    for number, (varied, trial_config) in enumerate(trials):
        trial = Trial(sweep=folder, number=number, metric=config.validation.metric, varied=varied)
        value = run_trial(trial_config, trial, run)
        if value is None or stop_signals.received:
            return
        found.append(value)
    require_success(found)


def grid(swept: Mapping[str, Override], choices: Choices) -> Iterator[dict[str, str]]:
    """All combinations of values; the last option varies fastest."""
    for override in swept.values():
        if not override.is_discrete_sweep():
            raise UserError(f"{override.input_line}: an interval is for sweep=optuna")
    for values in product(*(values_of(override, choices) for override in swept.values())):
        yield dict(zip(swept, values, strict=True))


def values_of(override: Override, choices: Choices) -> list[str]:
    """Values of choice(…), range(…), glob(…) or a list, in the syntax of options."""
    value = override.value()
    if not isinstance(value, Glob):
        return list(override.sweep_string_iterator())
    offered = choices(override.key_or_group)
    if found := value.filter(offered):
        return list(found)
    raise UserError(f"{override.input_line}: no choice matches; choices: {', '.join(offered) or 'none'}")


def _first(override: Override, choices: Choices) -> str:
    value: Any = override.value()
    return str(value.start) if override.is_interval_sweep() else values_of(override, choices)[0]


def run_trial(config: TrainConfig, trial: Trial, run: Run) -> float | None:
    """Run one trial of a sweep and return its score: NaN if training diverged, None if a signal ends the sweep.

    Raises UserError if the trial's folder has a run with other values of swept options.
    """
    config = replace(config, run=replace(config.run, dir=str(trial.folder)))
    _require_own_run(config, trial)
    try:
        value = run(config, trial)
    except DivergedError as error:
        print_notes(f"error: {error}")  # already logged
        value = math.nan
    if value is not None:
        logger.info(trial.record(value))
    return value


def require_success(values: Sequence[float]) -> None:
    """Raise DivergedError if training has diverged in every trial."""
    if values and all(map(math.isnan, values)):
        raise DivergedError("training has diverged in every trial; sweep lower values of optimizer.learning_rate")


def _require_own_run(config: TrainConfig, trial: Trial) -> None:
    """Raise UserError if the run in the trial's folder has other values of swept options.

    A run may change such options, but the sweep would attribute its score to the new values.
    """
    folder = RunFolder(trial.folder)
    if not folder.has_begun:
        return
    try:
        before = read_config(folder.config_file)
    except (FileNotFoundError, UserError):
        return  # config.yaml is restored when the run continues
    # as train() compares them
    for change in find_changes(with_base_model(config), before, folder=folder.path).changes:
        if any(_sets(option, change.key, config) for option in trial.varied):
            raise UserError(
                f"run.dir={folder.path}: this run has {change.key}={change.before}, and trial {trial.number} of this "
                f"sweep {change.now}; choose another run.dir for another sweep"
            )


def _sets(option: str, key: str, config: TrainConfig) -> bool:
    """True if a swept option may set this key: a group of choices sets all keys in it."""
    if not hasattr(config, option.partition(".")[0]):
        # a group of whole configurations, such as experiment; limits of a run may be raised later
        return not key.startswith("run.")
    return key == option or key.startswith(f"{option}.")


def option_words(varied: Mapping[str, str]) -> list[str]:
    return [f"{option}={value}" for option, value in varied.items()]


def sweep_folder(path: str) -> Path:
    """Create and mark the folder of a sweep. Raises UserError for a folder with other files."""
    if not path:
        raise UserError("run.dir is empty: name a folder for the sweep")
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"run.dir={path}: that is a file; name a folder for the sweep") from None
    # a table alone, without any trial, is not a sweep's
    patterns = _OF_A_SWEEP if any(folder.glob("trial-*")) else (MARKER, *_STUDY)
    foreign = foreign_names(folder, patterns)
    if foreign and not is_marked(folder, "sweep"):
        raise UserError(
            f"run.dir={path}: this folder is not a sweep's, and it is not empty: it holds {listing(foreign)}; "
            "choose a new folder"
        )
    mark(folder, "sweep")
    return folder
