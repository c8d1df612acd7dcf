"""Messages for unknown options and wrong values."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from translate.config.groups import Variants, choices

_WITHOUT_EVALUATION_SETS = (
    "a set has options of its own (source, target, …); with data=text_files and no data.valid option, validation and "
    "test pairs are held out from data.train"
)


def explain(error: Exception, known: Sequence[str]) -> str:
    """Message for a mistake on the command line, with the nearest existing name."""
    message = str(error).strip()
    if isinstance(error, MissingConfigException) and "/" in str(error.missing_cfg_file):
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        if group == "hydra/sweeper":
            return f"a sweep with {choice} needs an extra: pip install 'translate-seq2seq[sweep]'"
        options = choices(group)
        return f"{group}={choice}: there is no such choice{_nearest(choice, options)}; choices: {', '.join(options)}"
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    if message.startswith("Ambiguous value"):
        key, _, values = message.split("'")[1].partition("=")
        return f"{key}={values}: a list is written {key}=[{values}]; to try one value after the other, add --multirun"
    cause = error.__cause__
    if message.startswith("Could not override"):
        return unknown_key(message.split("'")[1], known)
    if isinstance(cause, OmegaConfBaseException):
        override = message.removeprefix("Error merging override ").split("\n")[0]
        if override.partition("=")[0] in ("data.valid", "data.test"):
            return f"{override}: {_WITHOUT_EVALUATION_SETS}"
        return f"{override}: {str(cause.msg or cause).split(chr(10))[0]}"
    return message.split("\nSee https://hydra.cc")[0]


def _unreadable(override: str) -> str:
    if "=" not in override:
        return f"{override}: an option is written name=value; --help lists them"
    return f"{override}: a bracket or quote is not closed, or text in it needs quotes, as in [{{tag: '<bt>'}}]"


def unknown_key(key: str, known: Sequence[str]) -> str:
    last = key.rpartition(".")[2]
    if key in known:
        return f"{key}: nothing that was chosen for {key.partition('.')[0]} has such an option"
    # the right name in the wrong place helps more than a similar spelling
    same_name = [name for name in known if name.rpartition(".")[2] == last]
    return f"{key}: there is no such option" + (_nearest(key, same_name or known) if known else "")


def known_keys(schema: type[Any], variants: Variants, additions: Variants) -> list[str]:
    """All option names of a command, dotted, whatever is chosen."""
    others = [(kind, f"{group}.") for group, kinds in variants.items() for kind in kinds.values()]
    others += [(kind, f"{group}.{name}.") for group, kinds in additions.items() for name, kind in kinds.items()]
    return list(dict.fromkeys(chain(flat_keys(schema), *(flat_keys(*other) for other in others))))


def flat_keys(schema: type[Any], prefix: str = "") -> Iterator[str]:
    """All option names below a dataclass, dotted."""
    instance = schema()
    for field in dataclasses.fields(schema):
        yield prefix + field.name
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from flat_keys(type(value), f"{prefix}{field.name}.")


def unknown_keys(config: Any, prefix: str = "") -> Iterator[str]:
    """Keys that +key=value has added to a dataclass that does not have them."""
    if isinstance(config, ListConfig):
        for number, item in enumerate(config):
            yield from unknown_keys(item, f"{prefix}{number}.")
    if isinstance(config, DictConfig):
        kind = OmegaConf.get_type(config)
        names = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else None
        for key in map(str, config):
            if names is not None and key not in names:
                yield f"{prefix}{key}"
            elif not OmegaConf.is_interpolation(config, key):
                yield from unknown_keys(config[key], f"{prefix}{key}.")


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
