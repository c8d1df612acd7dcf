"""python -m translate.train: train a model, or continue a run, and score it."""

from translate.adaptation import ADAPTATIONS
from translate.config import Variants, run_command
from translate.losses import AUXILIARY_LOSSES
from translate.models import ARCHITECTURES
from translate.recipes.back_translation import back_translate
from translate.training.run import train
from translate.training.settings import TrainConfig

VARIANTS: Variants = {
    "model": {name: config for name, (config, _) in ARCHITECTURES.items()},
    "adapt": {name: config for name, (config, _) in ADAPTATIONS.items()},
}
ADDITIONS = {"auxiliary": {name: config for name, (config, _) in AUXILIARY_LOSSES.items()}}


def run(config: TrainConfig) -> None:
    if config.back_translation.monolingual:
        back_translate(config)
    else:
        train(config)


if __name__ == "__main__":
    run_command("train", TrainConfig, run, variants=VARIANTS, additions=ADDITIONS)
