"""Commands get their configuration: configs/NAME.yaml and the command line fill in a dataclass.

Hydra composes the YAML files; the dataclasses beside the code give names, types and defaults. Nothing in a
configuration can name code to run.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from translate import __version__
from translate.config.command_line import CommandLine, read_command_line
from translate.config.options import CONFIGS, help_text, known_options, message_for, unknown_option, unknown_options
from translate.errors import UserError

Table = Mapping[str, tuple[type[Any], Any]]  # name -> (configuration, implementation)
Tables = Mapping[str, Table]  # group of choices -> its table
_NO_TABLES: Tables = {}

_line = CommandLine()  # of the command that runs in this process


def run_command(
    name: str,
    schema: type[Any],
    run: Callable[..., float | None],
    *,
    choices: Tables = _NO_TABLES,
    additions: Tables = _NO_TABLES,
) -> None:
    """Run a command with the configuration that configs/NAME.yaml and the command line make.

    choices    tables of groups of which one entry is chosen, which fills in GROUP
    additions  tables of groups of which any number is chosen, each of which fills in GROUP.NAME
    run        is given the configuration, and in a sweep the trial; returns its score, for sweeps

    A UserError becomes one message on stderr and exit status 1.
    """
    global _line
    register_schemas(name, schema, choices, additions)
    with user_errors(known := known_options(schema, choices, additions)):
        _line = line = read_command_line(name, schema, sys.argv[1:], known)

        def to_config(overrides: Sequence[str]) -> Any:
            return to_dataclass(compose(name, overrides, directory=line.config_dir), line.own, known)

        if line.version:
            print(f"translate {__version__}")
        elif line.help:
            print(help_text(name, schema, compose(name, line.overrides, directory=line.config_dir)))
        elif line.multirun:
            from translate.config.sweep import run_sweep  # with the training code, and thus PyTorch

            run_sweep(line.overrides, to_config, run)
        else:
            run(to_config(line.overrides))


def register_schemas(name: str, schema: type[Any], choices: Tables, additions: Tables) -> None:
    """Make the dataclasses Hydra's schemas: schema_NAME of the command, schema_… of what each group fills in."""
    store = ConfigStore.instance()
    store.store(name=f"schema_{name}", node=schema)
    defaults = schema()
    for field in dataclasses.fields(schema):
        value = getattr(defaults, field.name)
        if dataclasses.is_dataclass(value) and field.name not in choices:
            store.store(group=field.name, name=f"schema_{field.name}", node=type(value))
    for group, table in choices.items():
        for choice, (kind, _) in table.items():
            store.store(group=group, name=f"schema_{choice}", node=kind)
    for group, table in additions.items():
        for addition, (kind, _) in table.items():
            store.store(group=group, name=f"schema_{addition}", node=kind, package=f"{group}.{addition}")


def compose(name: str, overrides: Sequence[str], *, directory: str = "") -> DictConfig:
    """The YAML files and overrides as one configuration; directory: further YAML files, beside configs/."""
    search_path = [f"hydra.searchpath=[file://{directory}]"] if directory else []
    # Hydra 1.3 asks which version's behaviour is wanted; 1.4 has one, and warns of the question
    behaviour = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}
    with hydra.initialize_config_dir(str(CONFIGS), **behaviour):
        return hydra.compose(name, overrides=[*overrides, *search_path])


def to_dataclass(composed: DictConfig, own: Mapping[str, str], known: Sequence[str]) -> Any:
    """The dataclass that a composed configuration fills in, with own in place of its values.

    Raises UserError for missing values, and with the nearest name for unknown options.
    """
    composed.merge_with(own)
    if missing := sorted(OmegaConf.missing_keys(composed)):
        raise UserError(f"{missing[0]} is not set: add {missing[0]}=… to the command line")
    for key in unknown_options(composed):
        raise UserError(unknown_option(key, known))
    return expand_home(OmegaConf.to_object(composed))


def expand_home(value: Any) -> Any:
    """Put the home folder in place of a leading ~/ or ~NAME/ of every text of a configuration, as a shell does."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(value, **{name: expand_home(getattr(value, name)) for name in names})
    if isinstance(value, dict):
        return {key: expand_home(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [expand_home(inner) for inner in value]
    is_path = type(value) is str and re.match(r"~[\w.-]*(/|$)", value)
    return os.path.expanduser(value) if is_path else value


def is_given(group: str) -> bool:
    """True if the command line sets this group or an option in it; False outside a command."""
    return any(name.partition(".")[0] == group for name in _line.names())


@contextmanager
def user_errors(known: Sequence[str] = ()) -> Iterator[None]:
    """End the process with one message and status 1 for what the person can mend."""
    try:
        yield
    except UserError as error:
        _fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(message_for(error, known))
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
