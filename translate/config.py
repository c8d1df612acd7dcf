"""Where YAML groups meet dataclasses: commands get their settings, and mistakes in them get an answer.

Hydra reads configs/NAME.yaml and the command line; the dataclasses beside the code give names, types and
defaults. Nothing in a configuration can name code to run.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from translate.errors import UserError

CONFIGS = Path(__file__).parent.parent / "configs"

Variants = Mapping[str, Mapping[str, type[Any]]]


def run_command(
    name: str,
    schema: type[Any],
    run: Callable[[Any], None],
    *,
    variants: Variants | None = None,
    additions: Variants | None = None,
) -> None:
    """Run a command with the settings that configs/NAME.yaml and the command line make.

    variants and additions: group -> name -> dataclass, of groups whose choices have settings of their own. Of variants
    one is chosen, which fills in GROUP; of additions any number, each of which fills in GROUP.NAME. What the person can
    mend is printed on stderr as one message, and the exit status is 1.
    """
    variants, additions = variants or {}, additions or {}
    register(name, schema, variants, additions)
    # Hydra would print errors in its own words and end the process; with this they arrive here
    os.environ["HYDRA_FULL_ERROR"] = "1"
    own, known = _take_own_options(schema), known_keys(schema, variants, additions)

    def task(config: DictConfig) -> None:
        config.merge_with(own)
        with_answers(lambda: run(to_settings(config, known)))

    command = hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=name)(task)
    try:
        if {"--help", "-h"} & set(sys.argv):
            print(help_text(name, schema))
        else:
            command()
    except HydraException as error:
        _fail(explain(error, known))


def with_answers(work: Callable[[], None]) -> None:
    """Do the work; end the process with a message and status 1 where the person can mend what went wrong."""
    try:
        work()
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def to_settings(config: DictConfig, known: Sequence[str]) -> Any:
    """The dataclass that a composed configuration fills in; UserError for what is missing or unknown."""
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise UserError(f"{missing[0]} is not set: add {missing[0]}=… to the command line")
    for key in _unknown_keys(config):
        raise UserError(unknown_key(key, known))
    try:
        return OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(str(error).split("\n")[0]) from None


def explain(error: HydraException, known: Sequence[str]) -> str:
    """What a mistake on the command line was, with the nearest name there is."""
    message = str(error).strip()
    if isinstance(error, MissingConfigException) and "/" in str(error.missing_cfg_file):
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        options = _choices(group)
        return f"{group}={choice}: there is no such choice{_nearest(choice, options)}; choices: {', '.join(options)}"
    cause = error.__cause__
    if message.startswith("Could not override"):
        return unknown_key(message.split("'")[1], known)
    if isinstance(cause, OmegaConfBaseException):
        override = message.removeprefix("Error merging override ").split("\n")[0]
        return f"{override}: {str(cause.msg or cause).split(chr(10))[0]}"
    return message.split("\nSee https://hydra.cc")[0]


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


def _nearest(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _unknown_keys(config: Any, prefix: str = "") -> Iterator[str]:
    """Keys that +key=value has added to a dataclass that does not have them."""
    if isinstance(config, ListConfig):
        for number, item in enumerate(config):
            yield from _unknown_keys(item, f"{prefix}{number}.")
    if isinstance(config, DictConfig):
        kind = OmegaConf.get_type(config)
        names = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else None
        for key in map(str, config):
            if names is not None and key not in names:
                yield f"{prefix}{key}"
            elif not OmegaConf.is_interpolation(config, key):
                yield from _unknown_keys(config[key], f"{prefix}{key}.")


def help_text(name: str, schema: type[Any]) -> str:
    """What --help prints: what the options mean, the choices of each group, and all values as they are."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = hydra.compose(name, overrides=[word for word in sys.argv[1:] if not word.startswith("-")])
    defaults = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))["defaults"]
    groups = [key for entry in defaults if isinstance(entry, dict) for key in entry if " " not in key]
    return "\n".join(
        [
            f"usage: python -m translate.{name} [NAME=VALUE ...]",
            *(["", inspect.cleandoc(schema.__doc__)] if schema.__doc__ else []),
            "",
            "Choices (NAME=CHOICE):",
            *(f"  {group}: {', '.join(_choices(group))}" for group in groups),
            "",
            "Options (NAME=VALUE), with the values they have now:",
            textwrap.indent(OmegaConf.to_yaml(config), "  "),
        ]
    )


def _choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def _take_own_options(schema: type[Any]) -> dict[str, str]:
    """Options of the command line that Hydra must not see, because a group has the same name.

    model= chooses an architecture when training, and is a folder for the commands that decode.
    """
    texts = {field.name for field in dataclasses.fields(schema) if field.type in ("str", str)}
    own = {}
    for word in list(sys.argv[1:]):
        key, equals, value = word.partition("=")
        if equals and key in texts and (CONFIGS / key).is_dir():
            own[key] = value
            sys.argv.remove(word)
    return own


def register(name: str, schema: type[Any], variants: Variants, additions: Variants) -> None:
    """Tell Hydra of schema_NAME for the command, and of schema_… for what each group of choices fills in."""
    store = ConfigStore.instance()
    store.store(name=f"schema_{name}", node=schema)
    defaults = schema()
    for field in dataclasses.fields(schema):
        value = getattr(defaults, field.name)
        if dataclasses.is_dataclass(value) and field.name not in variants:
            store.store(group=field.name, name=f"schema_{field.name}", node=type(value))
    for group, kinds in variants.items():
        for variant, kind in kinds.items():
            store.store(group=group, name=f"schema_{variant}", node=kind)
    for group, kinds in additions.items():
        for addition, kind in kinds.items():
            store.store(group=group, name=f"schema_{addition}", node=kind, package=f"{group}.{addition}")


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
