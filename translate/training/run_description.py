"""A run as loggers show it: its name, and the settings that runs are compared by."""

from __future__ import annotations

from typing import Any

from translate.files import flatten, to_plain
from translate.training.changes import FREE, rule_of
from translate.training.config import TrainConfig
from translate.training.loggers.logger import RunDescription, Value
from translate.training.run_folder import RunFolder
from translate.training.stopping import Trial

# the training text: a continued run may find it elsewhere, but two runs are likely to differ in it
_TEXTS = ("data.train.name", "data.train.path", "data.train.source")
_LONGEST = 200  # characters of a value


def describe_for_loggers(config: TrainConfig, folder: RunFolder, trial: Trial | None, *, step: int) -> RunDescription:
    """The description of a run whose last update before this session is `step`."""
    metrics = [metric.value for metric in config.validation.metrics]
    return RunDescription(
        name=trial.name if trial is not None and trial.varied else folder.path.absolute().name,
        group=trial.sweep.absolute().name if trial is not None and trial.varied else "",
        folder=folder.path,
        settings=compared_settings(config),
        step=step,
        # the one that chooses the best model comes first
        scores=sorted(metrics, key=lambda name: name != config.validation.metric),
    )


def compared_settings(config: TrainConfig) -> dict[str, Value]:
    """Settings that may affect the result, by option; lists are text, and "none" is a value that is not set."""
    values = flatten(to_plain(config))
    chosen = {key: x for key, x in values.items() if rule_of(key) is not FREE or key in _TEXTS}
    return {**{key: _value(x) for key, x in chosen.items()}, "auxiliary": " ".join(config.auxiliary) or "none"}


def _value(value: Any) -> Value:
    if isinstance(value, bool | int | float):
        return value
    items = value if isinstance(value, list) else [value]
    return " ".join(str(item) for item in items if item not in (None, "", {}))[:_LONGEST] or "none"
