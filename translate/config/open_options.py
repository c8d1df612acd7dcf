"""Find the options that the user leaves open; training/open_options.py sets their values.

The schema of a command has no values for the options in its OPEN. YAML files, experiments and the command line set
values; the options still missing after composition are open. So are those set to the word `auto`, which stands for any
value where a YAML file has set another one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from omegaconf import MISSING, DictConfig, IntegerNode, OmegaConf, StringNode

from translate.errors import UserError, excerpt

Compose = Callable[[Sequence[str]], DictConfig]
_GROUP = "recipe"
_AUTO = "auto"
_ADAPTATION_RATE = "optimizer.learning_rate"  # open beside adapt=, whatever the recipe
_TOKENS, _UPDATE_TOKENS = "batch.tokens", "batch.update_tokens"
_BATCH_SIZE = {_TOKENS, "batch.accumulation"}  # open beside batch.tokens=auto or batch.update_tokens, likewise
_AUTO_OPTIONS = (_TOKENS,)  # integers that may be `auto`


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
            if f"{part}.{name}" in _AUTO_OPTIONS:
                node[name] = StringNode(MISSING)  # until fill_open_options
    return schema


def fill_open_options(
    composed: DictConfig, choices: Mapping[str, Any], words: Sequence[str], compose: Compose
) -> DictConfig:
    """Fill in missing options with those of recipe=fixed; `chosen` lists the names of those that are open.

    choices  choice of each group in the configuration
    words    options of the command line

    Without recipe=, the recipe is auto for a new model without experiment=, and fixed otherwise: an experiment is a set
    of settings that have been tried together. With recipe=auto all missing options are open. With recipe=fixed these
    are: beside adapt=, the learning rate; with batch.tokens=auto or batch.update_tokens, the size of batches.
    """
    others = [word for word in words if not word.startswith(f"{_GROUP}=")]
    is_usual = len(others) == len(words) and choices["experiment"] is None
    is_adapted = choices["adapt"] != "none"
    is_auto = choices[_GROUP] == "auto" or (is_usual and not is_adapted)
    if choices[_GROUP] == "auto":
        composed = compose([*others, f"{_GROUP}=fixed"])
    wanted = {_ADAPTATION_RATE} if is_usual and is_adapted else set()
    if _TOKENS in _open_options(composed) or composed.batch.update_tokens:
        wanted |= _BATCH_SIZE
    if is_auto or wanted:
        found = _open_options(compose([*others, f"{_GROUP}=auto"]))
        composed.chosen = sorted(key for key in found if _has_default(composed, key) and (is_auto or key in wanted))
    if is_auto:
        composed.recipe = "auto"
    _fill_in_defaults(composed, _open_options(composed))
    _read_integers(composed)
    return composed


def fill_without_recipe(composed: DictConfig) -> DictConfig:
    """Fill in missing options with their defaults, for a command without recipes; `chosen` lists their names."""
    composed.chosen = sorted(key for key in _open_options(composed) if _has_default(composed, key))
    _fill_in_defaults(composed, composed.chosen)
    return composed


def _fill_in_defaults(composed: DictConfig, keys: Iterable[str]) -> None:
    for key in keys:
        if _has_default(composed, key):
            OmegaConf.update(composed, key, _default(composed, key))


def _open_options(composed: DictConfig) -> set[str]:
    """Options that are missing or `auto`."""
    return OmegaConf.missing_keys(composed) | {key for key in _AUTO_OPTIONS if OmegaConf.select(composed, key) == _AUTO}


def _read_integers(composed: DictConfig) -> None:
    """Convert options that may be `auto` to integers. Raises UserError for another word."""
    for key in _AUTO_OPTIONS:
        part, _, name = key.rpartition(".")
        value = OmegaConf.select(composed, key)
        try:
            OmegaConf.select(composed, part)[name] = IntegerNode(int(value), is_optional=False)
        except (ValueError, TypeError):  # also for null
            raise UserError(f"{key}={excerpt(value)}: an integer is expected, or {_AUTO}") from None


def _default(composed: DictConfig, key: str) -> Any:
    """Default of an option in the dataclass of its group; MISSING if it has none."""
    group, _, name = key.rpartition(".")
    kind = OmegaConf.get_type(OmegaConf.select(composed, group)) if group else None
    if not dataclasses.is_dataclass(kind):
        return MISSING
    return getattr(kind(), name, MISSING)


def _has_default(composed: DictConfig, key: str) -> bool:
    return _default(composed, key) != MISSING
