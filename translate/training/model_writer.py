"""Models of a run, written in the background."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from translate.checkpoint import Weights, copy_of, save_adapter, save_model
from translate.data.prepare import Prepared
from translate.distributed import World
from translate.folders import remove_directory
from translate.model_directory import MODEL_FILES
from translate.training.config import TrainConfig
from translate.training.run_folder import RunFolder


class ModelWriter:
    """Writes models of a run in the background, by the main process.

    manifest  of the run; scoring: settings of its scores; a model's manifest holds both
    """

    def __init__(
        self,
        folder: RunFolder,
        config: TrainConfig,
        data: Prepared,
        world: World,
        *,
        manifest: dict[str, Any],
        scoring: dict[str, Any],
    ):
        self.folder, self.manifest = folder, manifest
        self._config, self._data, self._world, self._scoring = config, data, world, scoring

    def save(self, directory: Path, weights: Weights, *, step: int, averaged: Sequence[str] = ()) -> None:
        """Have weights of a step written as a model directory.

        averaged  names of the states that the weights are the mean of
        """
        if self._world.is_main:
            origin = {"averaged": list(averaged)} if averaged else {}
            manifest = {**self.manifest, "step": step, **self._scoring, **origin}
            # a copy: the next update changes the weights while the thread writes
            self.folder.writer.write(partial(self._write, directory, copy_of(weights), manifest))

    def keep_only(self, names: Iterable[str]) -> None:
        """Have all models in best_models/ removed but those of these names."""
        kept, folder = set(names), self.folder.best_models
        if self._world.is_main:
            self.folder.writer.write(partial(_remove_others, folder, kept))

    def _write(self, directory: Path, weights: Weights, manifest: dict[str, Any]) -> None:
        config = self._config
        if config.adapt.adds_weights:
            save_adapter(directory, weights=weights, config=config.adapt, manifest=manifest)
        else:
            save_model(
                directory,
                weights=weights,
                config=config.model,
                tokenizer=self._data.tokenizer,
                manifest=manifest,
                truecaser=self._data.truecaser,
            )


def _remove_others(folder: Path, kept: Collection[str]) -> None:
    for directory in folder.glob("step-????????"):
        if directory.name not in kept:
            remove_directory(directory, owned=MODEL_FILES)
