"""Loggers: destinations of a run's curves, texts and pictures, by the table LOGGERS.

logger.py has the contract, tensorboard*.py, wandb.py, mlflow.py and trackio.py fulfil it; combined.py passes a run's
values to all that are configured.
"""

from __future__ import annotations

from collections.abc import Callable

from translate.training.loggers.logger import Logger, LoggerConfig
from translate.training.loggers.mlflow import MlflowConfig, MlflowLogger
from translate.training.loggers.tensorboard import TensorBoardConfig, TensorBoardLogger
from translate.training.loggers.trackio import TrackioConfig, TrackioLogger
from translate.training.loggers.wandb import WandbConfig, WandbLogger

# name -> (configuration, implementation)
LOGGERS: dict[str, tuple[type[LoggerConfig], Callable[..., Logger]]] = {
    "tensorboard": (TensorBoardConfig, TensorBoardLogger),
    "wandb": (WandbConfig, WandbLogger),
    "mlflow": (MlflowConfig, MlflowLogger),
    "trackio": (TrackioConfig, TrackioLogger),
}
