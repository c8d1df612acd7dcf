"""Options that are not given, which recipe=auto fills in; in a run that has begun, they are those of the run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from translate.checkpoint import base_model_config
from translate.errors import UserError
from translate.files import CONFIGS, flatten, to_plain
from translate.parsing import from_plain, read_yaml

if TYPE_CHECKING:
    from translate.training.config import TrainConfig

# GROUP.* is all of a group: the file of a model's size sets some of it, and only the dropout is chosen by itself. The
# bounds run.max_epochs and run.max_minutes are never chosen, but a continued run keeps those that it began with.
OPEN_OPTIONS = (
    "tokenizer.type",
    "tokenizer.vocab_size",
    "model.*",
    "batch.tokens",
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
SIZE = "model.d_model"  # stands for all options of a model's size


@dataclass(frozen=True)
class Choice:
    """Values of some options, and the reason for them; `model` is the name of a file in configs/model."""

    values: Mapping[str, Any]
    reason: str

    def __str__(self) -> str:
        return f"{' '.join(f'{key}={value}' for key, value in self.values.items())}  ({self.reason})"


def open_part(choice: Choice, config: TrainConfig) -> Choice:
    """The choice without the options that are given."""
    chosen = {key: x for key, x in choice.values.items() if (SIZE if key == "model" else key) in config.chosen}
    return Choice(chosen, choice.reason)


def with_choice(config: TrainConfig, choice: Choice) -> TrainConfig:
    """The configuration with the values of a choice, but for options that are given."""
    values = dict(open_part(choice, config).values)
    if size := values.pop("model", None):
        config = with_size(config, size)
    return _with_values(config, values)


def with_size(config: TrainConfig, size: str) -> TrainConfig:
    """The configuration with a model of configs/model, but for options of the model that are given."""
    # what the file leaves out has its default, and not the value of another size
    values = to_plain(type(config.model)()) | read_yaml(CONFIGS / "model" / f"{size}.yaml")
    return _with_values(config, {f"model.{key}": value for key, value in values.items()})


def with_stored(config: TrainConfig, stored: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a continued run: options that are not given are those of its config.yaml, `stored`."""
    # an option of the model that the file lacks is newer than the run, which had the default
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
    """A part of the configuration with plain values, which become those of its types."""
    read = from_plain(type(part), values, "config.yaml")
    return dataclasses.replace(part, **{name: getattr(read, name) for name in values})


def require_effect(config: TrainConfig, is_given: Callable[[str], bool]) -> None:
    """Raise UserError for an option of the model that is given beside adapt= and is another than the base model's."""
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
