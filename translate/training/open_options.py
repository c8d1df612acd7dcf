"""Open options: the user sets no value, so a new run chooses one (recipe=auto) and a continued run keeps its own.

config/open_options.py finds the options that are open in a run and lists their names in TrainConfig.chosen;
training/recipe.py measures the text of a new run, and recommended.py chooses the values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from translate.errors import UserError
from translate.files import CONFIGS, flatten, to_plain
from translate.importing.base_model import base_model_config
from translate.parsing import from_plain, read_yaml

if TYPE_CHECKING:
    from translate.training.config import TrainConfig

# Options that can be open. model.*: all options of the model. They are chosen together, as a file of configs/model;
# only dropout is chosen by itself. run.max_epochs and run.max_minutes are never chosen, but a continued run keeps them.
OPEN_OPTIONS = (
    "tokenizer.type",
    "tokenizer.vocab_size",
    "model.*",
    "batch.tokens",
    "batch.accumulation",
    "optimizer.learning_rate",
    "optimizer.weight_decay",
    "schedule.name",
    "schedule.max_warmup_steps",
    "schedule.decay_share",
    "averaging.ema_decay",
    "averaging.last",
    "validation.every",
    "run.max_steps",
    "run.max_epochs",
    "run.max_minutes",
    "run.patience",
    "run.save_every",
)
SIZE = "model.d_model"  # stands for the model size: if this option is open, so is the size


class Recipe(StrEnum):
    """Where open settings come from: chosen for text and device (auto), or the same for all texts (fixed)."""

    auto = "auto"
    fixed = "fixed"


@dataclass(frozen=True)
class Choice:
    """Values for some options, and the reason; the value of `model` is the name of a file in configs/model."""

    values: Mapping[str, Any]
    reason: str

    def __str__(self) -> str:
        return f"{' '.join(f'{key}={value}' for key, value in self.values.items())}  ({self.reason})"


def open_part(choice: Choice, config: TrainConfig) -> Choice:
    """The choice, without the options that the user has set."""
    values = {key: x for key, x in choice.values.items() if (SIZE if key == "model" else key) in config.chosen}
    return Choice(values, choice.reason)


def with_choice(config: TrainConfig, choice: Choice) -> TrainConfig:
    """The configuration with the values of a choice, except for options that the user has set."""
    values = dict(open_part(choice, config).values)
    if size := values.pop("model", None):
        config = with_size(config, size)
    return _with_values(config, values)


def with_size(config: TrainConfig, size: str) -> TrainConfig:
    """The configuration with a model size of configs/model, except for model options that the user has set."""
    # options that are not in the file get their defaults, not the values of a size applied before
    values = to_plain(type(config.model)()) | read_yaml(CONFIGS / "model" / f"{size}.yaml")
    return _with_values(config, {f"model.{key}": value for key, value in values.items()})


def with_stored(config: TrainConfig, stored: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a continued run: open options get the values of its config.yaml, `stored`."""
    # model options that the file lacks were added after the run began, so that it has used their defaults
    model = flatten({"model": to_plain(type(config.model)())})
    return _with_values(config, model | flatten(dict(stored)))


def _with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """The configuration with plain values for those of the dotted options that are open."""
    changed: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if key in config.chosen:
            part, _, name = key.partition(".")
            changed.setdefault(part, {})[name] = value
    parts = {part: _replaced(getattr(config, part), found) for part, found in changed.items()}
    return dataclasses.replace(config, **parts)


def _replaced(part: Any, values: Mapping[str, Any]) -> Any:
    """A part of the configuration with plain values, converted to the types of its fields."""
    read = from_plain(type(part), values, "config.yaml")
    return dataclasses.replace(part, **{name: getattr(read, name) for name in values})


def require_effect(config: TrainConfig, is_given: Callable[[str], bool]) -> None:
    """Raise UserError if the user sets a model option to another value than the base model of adapt= has.

    Such an option would have no effect.
    """
    if config.adapt.begins_anew:
        return
    base = to_plain(base_model_config(config.adapt, config.model))
    for name, value in to_plain(config.model).items():
        if is_given(f"model.{name}") and base.get(name) != value:
            instead = "set adapt.dropout instead" if name == "dropout" else "leave it out"
            raise UserError(
                f"model.{name}={value} has no effect beside adapt={config.adapt.method}: the model is that of "
                f"adapt.model={config.adapt.model}, which has {base.get(name, 'no such option')}; {instead}"
            )
