"""python -m translate.train: train a model, or continue a run, and score it."""

from translate.config import run_command
from translate.models import ARCHITECTURES
from translate.training.run import train
from translate.training.settings import TrainConfig

if __name__ == "__main__":
    architectures = {name: kind for name, (kind, _) in ARCHITECTURES.items()}
    run_command("train", TrainConfig, train, variants={"model": architectures})
