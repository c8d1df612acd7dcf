"""python -m translate.train: train a model, or continue a run, and score it."""

from translate.adaptation import ADAPTATIONS
from translate.config import Variants, run_command
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES
from translate.training.run import train
from translate.training.settings import TrainConfig

VARIANTS: Variants = {
    "model": {name: config for name, (config, _) in ARCHITECTURES.items()},
    "adapt": {name: config for name, (config, _) in ADAPTATIONS.items()},
}
ADDITIONS = {"auxiliary": {name: config for name, (config, _) in AUXILIARY_LOSSES.items()}}

if __name__ == "__main__":
    run_command("train", TrainConfig, train, variants=VARIANTS, additions=ADDITIONS)
