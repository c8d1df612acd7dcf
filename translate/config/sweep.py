"""Which run of a sweep (--multirun) this is: Hydra's own grid, or Optuna's search."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import OmegaConf

from translate.errors import UserError
from translate.training.config import TrainConfig, is_minimised
from translate.training.trial import Trial


def current_trial(config: TrainConfig) -> Trial | None:
    """None outside a sweep. Raises UserError where the sweep cannot work."""
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        if search := hydra.runtime.choices.get("sweep"):
            raise UserError(f"sweep={search} makes many runs: add --multirun")
        return None
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("a sweep trains its models one after the other, each in one process: start it without torchrun")
    values = dict(override.split("=", 1) for override in hydra.overrides.task)
    trial = Trial(
        sweep=Path(config.run.dir),
        number=int(hydra.job.num),
        metric=config.validation.metric,
        varied={option: values[option] for option in _swept_options() if option in values},
    )
    if hydra.runtime.choices["hydra/sweeper"] == "optuna":
        return _in_study(trial, hydra.sweeper, config)
    return trial


def _in_study(trial: Trial, sweeper: Any, config: TrainConfig) -> Trial:
    """The trial, with the number that it has in Optuna's study, and ended early as others in it suggest."""
    import optuna

    direction = "minimize" if is_minimised(trial.metric) else "maximize"
    if getattr(sweeper.direction, "name", sweeper.direction) != direction:
        raise UserError(f"validation.metric={trial.metric} needs hydra.sweeper.direction={direction}")
    pruning = config.pruning
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=pruning.trials, n_warmup_steps=pruning.validations * config.validation.every
    )
    study = optuna.load_study(study_name=sweeper.study_name, storage=sweeper.storage, pruner=pruner)
    # the sweeper does not say which trial it has begun; killed sweeps leave others that run for ever
    running = [
        frozen
        for frozen in study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        if all(trial.varied.get(option) == str(value) for option, value in frozen.params.items())
    ]
    own = optuna.trial.Trial(study, running[-1]._trial_id)

    def is_hopeless(step: int, value: float) -> bool:
        own.report(value, step)
        return pruning.trials > 0 and own.should_prune()

    def abandon() -> None:
        study.tell(own, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(own.params)

    return replace(trial, number=own.number, is_hopeless=is_hopeless, abandon=abandon)


def _swept_options() -> list[str]:
    """The options that have several values, on the command line or in the sweeper's settings."""
    params = OmegaConf.to_container(HydraConfig.get().sweeper).get("params") or {}  # type: ignore[union-attr]
    words = [f"{option}={values}" for option, values in params.items()]
    words += [word for word in sys.argv[1:] if "=" in word and not word.startswith("-")]
    overrides = OverridesParser.create().parse_overrides(words)
    swept = {override.key_or_group: override.is_sweep_override() for override in overrides}  # the last one counts
    return [option for option, has_several in swept.items() if has_several]
