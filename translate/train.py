"""python -m translate.train: train a model, or continue a run, and score it; with --multirun, many."""

import logging
import math
import sys
from dataclasses import replace

from translate.adaptation import ADAPTATIONS
from translate.config import Variants, run_command
from translate.config.sweep import current_trial
from translate.errors import DivergedError
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES
from translate.training.back_translation import back_translate
from translate.training.config import TrainConfig
from translate.training.run import train
from translate.training.trial import Trial

logger = logging.getLogger("translate.train")

VARIANTS: Variants = {
    "model": {name: config for name, (config, _) in ARCHITECTURES.items()},
    "adapt": {name: config for name, (config, _) in ADAPTATIONS.items()},
}
ADDITIONS = {"auxiliary": {name: config for name, (config, _) in AUXILIARY_LOSSES.items()}}


def run(config: TrainConfig) -> float | None:
    trial = current_trial(config)
    if trial is None:
        return _train(config)
    return run_trial(replace(config, run=replace(config.run, dir=str(trial.folder))), trial)


def run_trial(config: TrainConfig, trial: Trial) -> float:
    """One run of a sweep; its value, not a number where training diverged. A signal ends the whole sweep."""
    try:
        value = _train(config, trial)
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)  # the log has it already
        value = math.nan
    if value is None:
        trial.abandon()
        sys.exit(0)
    logger.info(trial.record(value))
    return value


def _train(config: TrainConfig, trial: Trial | None = None) -> float | None:
    return (back_translate if config.back_translation.monolingual else train)(config, trial)


if __name__ == "__main__":
    run_command("train", TrainConfig, run, variants=VARIANTS, additions=ADDITIONS)
