"""python -m translate.train: train a model, or continue a run, and score it; with --multirun, many."""

from translate.adaptation import ADAPTATIONS
from translate.config import run_command
from translate.errors import UserError
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES
from translate.training.back_translation import back_translate
from translate.training.config import SweepMethod, TrainConfig
from translate.training.run import train
from translate.training.trial import Trial


def run(config: TrainConfig, trial: Trial | None = None) -> float | None:
    """Train, with back-translation if that is configured; trial: of a sweep. Returns the best validation score."""
    if trial is None and config.sweep.method is SweepMethod.optuna:
        raise UserError("sweep=optuna makes many runs: add --multirun")
    return (back_translate if config.back_translation.monolingual else train)(config, trial)


if __name__ == "__main__":
    run_command(
        "train",
        TrainConfig,
        run,
        choices={"model": ARCHITECTURES, "adapt": ADAPTATIONS},
        additions={"auxiliary": AUXILIARY_LOSSES},
    )
