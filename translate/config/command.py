"""Run a command with its configuration: a dataclass filled in from configs/NAME.yaml and the command line.

Hydra composes the YAML files; the dataclasses next to the code define names, types and defaults. A configuration cannot
name code to run.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from translate import __version__
from translate.config.command_line import CommandLine, Names, read_command_line
from translate.config.open_options import fill_open_options, open_schema
from translate.config.options import (
    CONFIGS,
    FORMER_SWEEP,
    choices_of,
    help_text,
    known_options,
    message_for,
    require_known,
)
from translate.disk_space import describe
from translate.errors import UserError, excerpt
from translate.files import expand_home
from translate.launcher import is_printed_by_another
from translate.memory import describe_out_of_memory, is_out_of_memory
from translate.signals import exit_statuses
from translate.streams import guard_standard_streams

Table = Mapping[str, tuple[type[Any], Any]]  # name -> (configuration, implementation)
Tables = Mapping[str, Table]  # group of choices -> its table
_NO_TABLES: Tables = {}
# of the command that runs, for is_given and errors; of each thread, since callers of translate.api may have several
_command_line: ContextVar[CommandLine] = ContextVar("command_line")


def run_command(
    name: str,
    schema: type[Any],
    run: Callable[..., Any],
    *,
    choices: Tables = _NO_TABLES,
    additions: Tables = _NO_TABLES,
) -> None:
    """Run a command with the configuration from configs/NAME.yaml and the command line.

    choices    tables of groups with exactly one chosen entry, which configures GROUP
    additions  tables of groups with any number of chosen entries, each of which configures GROUP.NAME
    run        function of the configuration and, in a sweep, the trial; returns the trial's score in sweeps

    A UserError becomes a message on stderr and exit status 1, a stop signal exit status 128 + its number.
    """
    guard_standard_streams()
    register_schemas(name, schema, choices, additions)
    known = cache(lambda: known_options(schema, choices, additions))  # only for hints
    with user_errors(known), exit_statuses():
        line = read_command_line(schema, sys.argv[1:], known)
        _command_line.set(line)

        def to_config(overrides: Sequence[str]) -> Any:
            composed = compose(name, overrides, directory=line.config_dir)
            if any(word.startswith("+") for word in overrides):  # Hydra itself refuses other unknown options
                require_known(composed, known())
            return to_dataclass(composed, line.own)

        if line.version:
            print(f"translate {__version__}")
        elif line.help:
            print(help_text(name, schema, compose(name, line.overrides, directory=line.config_dir), line.config_dir))
        elif line.multirun:
            from translate.config.sweep import run_sweep  # imports PyTorch

            run_sweep(line.overrides, to_config, run, partial(choices_of, directory=line.config_dir))
        else:
            run(to_config(line.overrides))


def register_schemas(name: str, schema: type[Any], choices: Tables, additions: Tables) -> None:
    """Register dataclasses as Hydra schemas: schema_NAME for the command, schema_… for groups and their choices."""
    store, options = ConfigStore.instance(), getattr(schema, "OPEN", ())

    def node(kind: type[Any], group: str = "") -> Any:
        return open_schema(kind, options, group) if options else kind

    store.store(name=f"schema_{name}", node=node(schema))
    defaults = schema()
    for part in (each.name for each in dataclasses.fields(schema)):
        value = getattr(defaults, part)
        if dataclasses.is_dataclass(value) and part not in choices:
            store.store(group=part, name=f"schema_{part}", node=node(type(value), part))
    for group, table in choices.items():
        for choice, (kind, _) in table.items():
            store.store(group=group, name=f"schema_{choice}", node=node(kind, group))
    for group, table in additions.items():
        for addition, (kind, _) in table.items():
            # each under its own name, since several may be chosen
            store.store(group=group, name=f"schema_{addition}", node=kind, package=f"{group}.{addition}")


def compose(name: str, overrides: Sequence[str], *, directory: str = "") -> DictConfig:
    """Compose YAML files and overrides into one configuration; directory: searched for YAML files besides configs/.

    If training text is named without data=, nothing of the default corpus remains: its validation and test sets, labels
    and languages would not match the text.
    """
    url = QuotedString(f"file://{directory}", Quote.single).with_quotes()  # the name may contain a comma
    search_path = [f"hydra.searchpath=[{url}]"] if directory else []
    # Hydra 1.3 warns if version_base is missing, 1.4 if it is given
    behaviour = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}
    with hydra.initialize_config_dir(str(CONFIGS), **behaviour):
        composed, choices = _compose(name, [*overrides, *search_path])
        if "data" in choices and not any(word.startswith("data=") for word in overrides):
            default, default_choices = _compose(name, search_path)
            # compare values, not words: repeating the default does not name another text
            if choices["data"] == default_choices["data"] and _training_text(composed) - _training_text(default):
                overrides = [*overrides, "data=text_files"]
                composed, choices = _compose(name, [*overrides, *search_path])
        if "recipe" in choices:
            words = [*overrides, *search_path]
            composed = fill_open_options(composed, choices, words, lambda words: _compose(name, words)[0])
    return composed


def _compose(name: str, overrides: Sequence[str]) -> tuple[DictConfig, Mapping[str, str | None]]:
    """Compose a configuration; also returns the choice of each group."""
    composed = hydra.compose(name, overrides=list(overrides), return_hydra_config=True)
    with open_dict(composed):
        hydra_config = composed.pop("hydra")
    if hydra_config.sweeper.get("params"):
        raise UserError(FORMER_SWEEP)
    return composed, hydra_config.runtime.choices


def _training_text(composed: DictConfig) -> set[tuple[str, str]]:
    """Options that name the training text, with their values; others (take, weight, …) only change its use."""
    train = OmegaConf.to_container(composed.data.train, resolve=False)
    assert isinstance(train, dict)
    return {(key, str(train[key])) for key in ("source", "target", "path", "format", "name") if train[key]}


def to_dataclass(composed: DictConfig, own: Mapping[str, Any]) -> Any:
    """Convert a composed configuration to its dataclass; own: see CommandLine.

    Raises UserError for missing values, and for values of other types.
    """
    # after composition, since Hydra would take model=FOLDER for a choice of the group model
    composed.merge_with(own)
    if missing := sorted(OmegaConf.missing_keys(composed)):
        raise UserError(f"{missing[0]} is not set: add {missing[0]}=… to the command line")
    config = OmegaConf.to_object(composed)
    _require_values(config)
    return expand_home(config)


def _require_values(config: Any, key: str = "") -> None:
    """Raise UserError for required options that are empty, and for a list in a list of texts.

    OmegaConf takes that list for one of the texts, and Path("") would be the current folder.
    """
    for field in dataclasses.fields(config):
        value, name = getattr(config, field.name), f"{key}.{field.name}" if key else field.name
        if dataclasses.is_dataclass(value):
            _require_values(value, name)
        elif field.default == MISSING and value == "":
            raise UserError(f"{name} is empty: write {name}=…")
        elif field.type == "list[str]" and (others := [each for each in value if not isinstance(each, str)]):
            raise UserError(f"{name}: {excerpt(repr(others[0]))} is no text: write {name}=[FIRST,SECOND]")


def is_given(option: str) -> bool:
    """True if the command line sets this option, its group, or an option in it; False outside a command."""
    names = _command_line.get(CommandLine()).names()
    return any(f"{name}.".startswith(f"{option}.") or option.startswith(f"{name}.") for name in names)


@contextmanager
def given(line: CommandLine) -> Iterator[None]:
    """Context in which is_given() tells of this command line."""
    token = _command_line.set(line)
    try:
        yield
    finally:
        _command_line.reset(token)


@contextmanager
def user_errors(known: Names = list) -> Iterator[None]:
    """Convert errors that the user can fix to one message and exit status 1."""
    try:
        yield
    except UserError as error:
        _fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(message_for(error, known(), _command_line.get(CommandLine()).config_dir))
    except OSError as error:
        _fail(describe(error))
    except (MemoryError, RuntimeError, ImportError) as error:
        if is_out_of_memory(error):
            _fail(describe_out_of_memory(error))
        raise


def _fail(message: str) -> NoReturn:
    if not is_printed_by_another(message):
        print(f"error: {UserError(message)}", file=sys.stderr)  # UserError shortens and escapes the message
    sys.exit(1)
