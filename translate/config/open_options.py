"""Find the options that the user leaves open; training/open_options.py sets their values.

The schema of a command has no values for the options in its OPEN. YAML files, experiments and the command line set
values; the options still missing after composition are open.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf

Compose = Callable[[Sequence[str]], DictConfig]
_GROUP = "recipe"
_ADAPTATION_RATE = "optimizer.learning_rate"  # open beside adapt=, whatever the recipe


def open_schema(kind: type[Any], options: Sequence[str], group: str = "") -> DictConfig:
    """The schema of a dataclass with these options missing; GROUP.* stands for all options of a group.

    group  the group that the dataclass configures; "" for the whole configuration
    """
    schema: DictConfig = OmegaConf.structured(kind)
    for part, _, name in (option.partition(".") for option in options):
        node = schema if part == group else schema.get(part) if not group else None
        if node is not None:
            # the architecture is never missing, since it determines the other fields
            names = [key for key in node if key != "architecture"] if name == "*" else [name] if name in node else []
            node.update(dict.fromkeys(names, MISSING))
    return schema


def fill_open_options(
    composed: DictConfig, choices: Mapping[str, Any], words: Sequence[str], compose: Compose
) -> DictConfig:
    """Fill in missing options with those of recipe=fixed; with recipe=auto, also list their names in `chosen`.

    choices  choice of each group in the configuration
    words    options of the command line

    Without recipe=, the recipe is auto for a new model without experiment=, and fixed otherwise: an experiment is a set
    of settings that have been tried together. Beside adapt=, the learning rate stays open, also with recipe=fixed.
    """
    others = [word for word in words if not word.startswith(f"{_GROUP}=")]
    is_auto = choices[_GROUP] == "auto"
    if not is_auto and len(others) == len(words):
        is_auto = choices["experiment"] is None and choices["adapt"] == "none"
    if is_auto:
        missing = OmegaConf.missing_keys(compose([*others, f"{_GROUP}=auto"]))
        if choices[_GROUP] == "auto":
            composed = compose([*others, f"{_GROUP}=fixed"])
        composed.recipe, composed.chosen = "auto", sorted(key for key in missing if _has_default(composed, key))
    elif len(others) == len(words) and choices["adapt"] != "none" and choices["experiment"] is None:
        missing = OmegaConf.missing_keys(compose([*others, f"{_GROUP}=auto"]))
        composed.chosen = sorted({_ADAPTATION_RATE} & missing)
    for key in OmegaConf.missing_keys(composed):
        if _has_default(composed, key):
            OmegaConf.update(composed, key, _default(composed, key))
    return composed


def _default(composed: DictConfig, key: str) -> Any:
    """Default of an option in the dataclass of its group; MISSING if it has none."""
    group, _, name = key.rpartition(".")
    kind = OmegaConf.get_type(OmegaConf.select(composed, group)) if group else None
    if not dataclasses.is_dataclass(kind):
        return MISSING
    return getattr(kind(), name, MISSING)


def _has_default(composed: DictConfig, key: str) -> bool:
    return _default(composed, key) != MISSING
