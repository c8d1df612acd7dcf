"""Loggers: destinations of a run's curves, texts and pictures. The contract is in loggers/logger.py."""

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
