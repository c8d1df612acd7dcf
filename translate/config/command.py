"""Run a command with its configuration: a dataclass filled in from configs/NAME.yaml and the command line.

Hydra composes the YAML files; the dataclasses next to the code define names, types and defaults. A configuration cannot
name code to run.
"""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from translate import __version__
from translate.config.command_line import CommandLine, Names, read_command_line
from translate.config.open_options import fill_open_options, fill_without_recipe, open_schema
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
Composition = tuple[DictConfig, Mapping[str, str | None]]  # a configuration, and the choice of each group
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


class Schema(NamedTuple):
    """A dataclass under the name by which YAML files take it as their schema; options: those that stay open."""

    name: str
    kind: type[Any]
    group: str | None = None
    package: str | None = None
    options: tuple[str, ...] = ()


_schemas: dict[str, tuple[Schema, ...]] = {}  # by command
_stored: dict[tuple[str | None, str], Schema] = {}  # those in Hydra's store, by group and name


def register_schemas(name: str, schema: type[Any], choices: Tables, additions: Tables) -> None:
    """Register dataclasses as Hydra schemas: schema_NAME for the command, schema_… for groups and their choices."""
    options, defaults = getattr(schema, "OPEN", ()), schema()
    schemas = [Schema(f"schema_{name}", schema, options=options)]
    for part in (each.name for each in dataclasses.fields(schema)):
        value = getattr(defaults, part)
        if dataclasses.is_dataclass(value) and part not in choices:
            schemas.append(Schema(f"schema_{part}", type(value), part, options=options))
    for group, table in choices.items():
        schemas += (Schema(f"schema_{choice}", kind, group, options=options) for choice, (kind, _) in table.items())
    for group, table in additions.items():
        for addition, (kind, _) in table.items():
            # each under its own name, since several may be chosen
            schemas.append(Schema(f"schema_{addition}", kind, group, package=f"{group}.{addition}"))
    _schemas[name] = tuple(schemas)


def _store_schemas(name: str) -> None:
    """Give Hydra the schemas of a command; the store is one for all commands of a process."""
    for each in _schemas[name]:
        if _stored.get((each.group, each.name)) != each:
            node = open_schema(each.kind, each.options, each.group or "") if each.options else each.kind
            ConfigStore.instance().store(name=each.name, node=node, group=each.group, package=each.package)
            _stored[each.group, each.name] = each


def compose(name: str, overrides: Sequence[str], *, directory: str = "") -> DictConfig:
    """Compose YAML files and overrides into one configuration; directory: searched for YAML files besides configs/.

    If training text is named without data=, nothing of the default corpus remains: its validation and test sets, labels
    and languages would not match the text.
    """
    url = QuotedString(f"file://{directory}", Quote.single).with_quotes()  # the name may contain a comma
    search_path = [f"hydra.searchpath=[{url}]"] if directory else []
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
    elif "chosen" in composed:
        composed = fill_without_recipe(composed)
    return composed


def _compose(name: str, overrides: Sequence[str]) -> Composition:
    """Compose a configuration; also returns the choice of each group."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    # the order of additions and deletions matters, and a folder of --config-dir may have groups of any name
    if any(each.type is not OverrideType.CHANGE or each.is_hydra_override() for each in parsed):
        return _compose_files(name, overrides)
    values = [each for each in parsed if _is_value(each)]
    chosen = tuple(each.input_line for each in parsed if each not in values)
    files = frozenset((path, path.stat().st_mtime_ns) for path in CONFIGS.rglob("*.yaml"))
    composed, choices = _compose_choices(name, chosen, _schemas[name], files)
    composed = copy.deepcopy(composed)
    for override in values:
        try:
            OmegaConf.update(composed, override.key_or_group, override.value(), merge=True)
        except (ConfigAttributeError, ConfigKeyError) as error:
            raise ConfigCompositionException(f"Could not override '{override.key_or_group}'") from error
        except OmegaConfBaseException as error:
            raise ConfigCompositionException(f"Error merging override {override.input_line}") from error
    return composed, choices


def _is_value(override: Override) -> bool:
    """True for an option with one value, which has no influence on the choice of YAML files."""
    key = override.key_or_group
    return not (override.is_sweep_override() or override.package or "/" in key or (CONFIGS / key).is_dir())


@lru_cache(maxsize=16)
def _compose_choices(name: str, words: tuple[str, ...], *state: object) -> Composition:
    """Compose choices of groups once: trials of a sweep, recipes and calls of a program mostly differ in values alone.

    state  schemas of the command and YAML files, as they are now
    """
    return _compose_files(name, words)


def _compose_files(name: str, words: Sequence[str]) -> Composition:
    """Compose YAML files, which takes a tenth of a second."""
    _store_schemas(name)
    # Hydra 1.3 warns if version_base is missing, 1.4 if it is given
    behaviour = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}
    with hydra.initialize_config_dir(str(CONFIGS), **behaviour):
        composed = hydra.compose(name, overrides=list(words), return_hydra_config=True)
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
