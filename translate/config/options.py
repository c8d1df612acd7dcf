"""The YAML files: where they are, and what can be chosen."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from translate.errors import install_command

CONFIGS = Path(__file__).parent.parent.parent / "configs"
IS_HYDRA_1_3 = hydra.__version__.startswith("1.3.")
# Hydra 1.3 asks which version's behaviour is wanted; 1.4 has one, and warns of the question
BEHAVIOUR = {"version_base": "1.3"} if IS_HYDRA_1_3 else {}
Variants = Mapping[str, Mapping[str, type[Any]]]


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def help_text(name: str, schema: type[Any]) -> str:
    """What --help prints: what the options mean, the choices of each group, and all values as they are."""
    with hydra.initialize_config_dir(str(CONFIGS), **BEHAVIOUR):
        config = hydra.compose(name, overrides=[word for word in sys.argv[1:] if not word.startswith("-")])
    defaults = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))["defaults"]
    groups = [key for entry in defaults if isinstance(entry, dict) for key in entry if " " not in key]
    return "\n".join(
        [
            f"usage: python -m translate.{name} [NAME=VALUE ...]",
            *(["", inspect.cleandoc(schema.__doc__)] if schema.__doc__ else []),
            "",
            "Choices (NAME=CHOICE):",
            *(f"  {group}: {', '.join(choices(group))}" for group in groups),
            "",
            "Options (NAME=VALUE), with the values they have now:",
            textwrap.indent(OmegaConf.to_yaml(config), "  "),
        ]
    )


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
            return f"a sweep with {choice} needs an extra package: {install_command('sweep')}"
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


_CHOICE = "data=text_files"
# where the text is; other options of data.train (take, weight, tag, …) change how the chosen corpus is used
_PLACES = ("source", "target", "path", "format", "name")
_TRAIN = "data.train"


def choose_own_text(name: str) -> None:
    """Add data=text_files to the command line where it, or its experiment, names training text and no data=.

    The default corpus's validation and test sets, labels and languages do not suit another text.
    """
    defaults = _read(CONFIGS / f"{name}.yaml").get("defaults", [])
    if not any(isinstance(entry, dict) and "data" in entry for entry in defaults):
        return
    words = dict(_options(sys.argv[1:]))
    experiments = [_read(path) for path in _experiments(words.get("experiment", ""))]
    is_chosen = "data" in words or any(_chooses_data(experiment) for experiment in experiments)
    if not is_chosen and (_names_text(words) or any(_names_text(_train_options(body)) for body in experiments)):
        sys.argv.append(_CHOICE)


def _options(arguments: list[str]) -> Iterator[tuple[str, str]]:
    for word in arguments:
        key, equals, value = word.partition("=")
        if equals and not word.startswith("-"):
            yield key.lstrip("+"), value


def _names_text(options: dict[str, str]) -> bool:
    places = [f"{_TRAIN}.{place}" for place in _PLACES]
    whole = options.get(_TRAIN, "")
    return any(options.get(place) for place in places) or any(f"{place}:" in whole for place in _PLACES)


def _experiments(choices: str) -> Iterator[Path]:
    """The files of the chosen experiments, of which a sweep has several, with those that they build upon."""
    paths = [CONFIGS / "experiment" / f"{choice.strip()}.yaml" for choice in choices.strip("[]").split(",")]
    seen: set[Path] = set()
    while paths:
        path = paths.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        yield path
        for entry in _read(path).get("defaults", []):
            if isinstance(entry, str) and entry != "_self_":
                paths.append(path.parent / f"{entry}.yaml")


def _chooses_data(experiment: dict[str, Any]) -> bool:
    entries = (entry for entry in experiment.get("defaults", []) if isinstance(entry, dict))
    return any(key.split()[-1].lstrip("/") == "data" for entry in entries for key in entry)


def _train_options(experiment: dict[str, Any]) -> dict[str, str]:
    train = (experiment.get("data") or {}).get("train") or {}
    return {f"{_TRAIN}.{key}": str(value) for key, value in train.items()}


def _read(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
