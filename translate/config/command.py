"""Commands get their configuration: configs/NAME.yaml and the command line fill in a dataclass.

Hydra composes the YAML files; the dataclasses beside the code give names, types and defaults. Nothing in a
configuration can name code to run.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from translate import __version__
from translate.config.options import (
    CONFIGS,
    FORMER_SWEEP,
    choices_of,
    config_dir,
    help_text,
    is_refused_value,
    known_options,
    may_be_choice,
    message_for,
    quoted,
    rename_former,
    require_known,
    unknown_choice,
    unknown_flag,
)
from translate.config.recipe import open_schema, with_recipe
from translate.disk_space import describe
from translate.errors import UserError
from translate.files import expand_home
from translate.launcher import is_said_by_another
from translate.memory import describe_out_of_memory, is_out_of_memory
from translate.signals import exit_statuses
from translate.streams import guard_standard_streams

Table = Mapping[str, tuple[type[Any], Any]]  # name -> (configuration, implementation)
Tables = Mapping[str, Table]  # group of choices -> its table
Names = Callable[[], list[str]]  # all option names of a command
_NO_TABLES: Tables = {}


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

    A UserError becomes one message on stderr and exit status 1; a signal that ends the work, status 128 + its number.
    """
    global _line
    guard_standard_streams()
    register_schemas(name, schema, choices, additions)
    known = cache(lambda: known_options(schema, choices, additions))  # only for hints
    with user_errors(known), exit_statuses():
        _line = line = read_command_line(schema, sys.argv[1:], known)

        def to_config(overrides: Sequence[str]) -> Any:
            composed = compose(name, overrides, directory=line.config_dir)
            if any(word.startswith("+") for word in overrides):  # Hydra refuses other unknown options by itself
                require_known(composed, known())
            return to_dataclass(composed, line.own)

        if line.version:
            print(f"translate {__version__}")
        elif line.help:
            print(help_text(name, schema, compose(name, line.overrides, directory=line.config_dir), line.config_dir))
        elif line.multirun:
            from translate.config.sweep import run_sweep  # with the training code, and thus PyTorch

            run_sweep(line.overrides, to_config, run, partial(choices_of, directory=line.config_dir))
        else:
            run(to_config(line.overrides))


def register_schemas(name: str, schema: type[Any], choices: Tables, additions: Tables) -> None:
    """Make the dataclasses Hydra's schemas: schema_NAME of the command, schema_… of what each group fills in."""
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
            # each below its own name, as several may be chosen
            store.store(group=group, name=f"schema_{addition}", node=kind, package=f"{group}.{addition}")


def compose(name: str, overrides: Sequence[str], *, directory: str = "") -> DictConfig:
    """The YAML files and overrides as one configuration; directory: further YAML files, beside configs/.

    Where training text is named without data=, the default corpus leaves altogether: its validation and test sets,
    labels and languages do not suit another text.
    """
    url = QuotedString(f"file://{directory}", Quote.single).with_quotes()  # its name may hold a comma
    search_path = [f"hydra.searchpath=[{url}]"] if directory else []
    # Hydra 1.3 asks which version's behaviour is wanted; 1.4 has one, and warns of the question
    behaviour = {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}
    with hydra.initialize_config_dir(str(CONFIGS), **behaviour):
        composed, choices = _compose(name, [*overrides, *search_path])
        if "data" in choices and not any(word.startswith("data=") for word in overrides):
            default, default_choices = _compose(name, search_path)
            # the text is compared, not the words: repeating the default names no other text
            if choices["data"] == default_choices["data"] and _training_text(composed) - _training_text(default):
                overrides = [*overrides, "data=text_files"]
                composed, choices = _compose(name, [*overrides, *search_path])
        if "recipe" in choices:
            words = [*overrides, *search_path]
            composed = with_recipe(composed, choices, words, lambda words: _compose(name, words)[0])
    return composed


def _compose(name: str, overrides: Sequence[str]) -> tuple[DictConfig, Mapping[str, str | None]]:
    """A configuration, and the choice of each group."""
    composed = hydra.compose(name, overrides=list(overrides), return_hydra_config=True)
    with open_dict(composed):
        of_hydra = composed.pop("hydra")  # no options of a command
    if of_hydra.sweeper.get("params"):
        raise UserError(FORMER_SWEEP)
    return composed, of_hydra.runtime.choices


def _training_text(composed: DictConfig) -> set[tuple[str, str]]:
    """Options that name the training text, as they are written; others (take, weight, …) change how it is used."""
    train = OmegaConf.to_container(composed.data.train, resolve=False)
    assert isinstance(train, dict)
    return {(key, str(train[key])) for key in ("source", "target", "path", "format", "name") if train[key]}


def to_dataclass(composed: DictConfig, own: Mapping[str, str]) -> Any:
    """The dataclass that a composed configuration fills in, with own in place of its values.

    Raises UserError for missing values.
    """
    # after composition: Hydra would take model=FOLDER for a choice of the group model
    composed.merge_with(own)
    if missing := sorted(OmegaConf.missing_keys(composed)):
        raise UserError(f"{missing[0]} is not set: add {missing[0]}=… to the command line")
    return expand_home(OmegaConf.to_object(composed))


def is_given(option: str) -> bool:
    """True if the command line sets this option, its group, or an option below it; False outside a command."""
    return any(f"{name}.".startswith(f"{option}.") or option.startswith(f"{name}.") for name in _line.names())


@contextmanager
def user_errors(known: Names = list) -> Iterator[None]:
    """End the process with one message and status 1 for what the person can mend."""
    try:
        yield
    except UserError as error:
        _fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(message_for(error, known(), _line.config_dir))
    except OSError as error:
        _fail(describe(error))
    except (MemoryError, RuntimeError, ImportError) as error:
        if is_out_of_memory(error):
            _fail(describe_out_of_memory(error))
        raise


def _fail(message: str) -> NoReturn:
    if not is_said_by_another(message):
        print(f"error: {UserError(message)}", file=sys.stderr)  # shortened and spelled out, also where others raised it
    sys.exit(1)


@dataclass(frozen=True)
class CommandLine:
    """A command line, read.

    overrides   options for Hydra to compose
    own         options that Hydra must not see, because a group of choices has the same name
    config_dir  folder of further YAML files; "" for none
    """

    overrides: list[str] = field(default_factory=list)
    own: dict[str, str] = field(default_factory=dict)
    help: bool = False
    version: bool = False
    multirun: bool = False
    config_dir: str = ""

    def names(self) -> list[str]:
        """Names of the options that are set."""
        return [word.partition("=")[0].lstrip("+~") for word in self.overrides]


_MANY_DIGITS = re.compile("[0-9]{4000}")
_line = CommandLine()  # of the command that runs in this process


def read_command_line(schema: type[Any], words: Sequence[str], known: Names) -> CommandLine:
    """Read a command's words. Raises UserError for unknown flags, groups without a choice and a missing folder.

    known  all option names of the command, for hints
    """
    for word in words:
        if word.encode(errors="replace").decode() != word:  # a byte that is not UTF-8 is half a surrogate pair
            encoding = sys.getfilesystemencoding()
            hint = "" if encoding == "utf-8" else f"; the locale has {encoding}: set PYTHONUTF8=1"
            raise UserError(f"{word!a}: not UTF-8, which options and names of files must be{hint}")
        if _MANY_DIGITS.search(word):  # Python converts no more of them
            raise UserError(f"{word.partition('=')[0]}: a number with thousands of digits")
    flags, options = _split(words, known)
    own = _own_options(schema, options)
    overrides = [word for word in options if word.partition("=")[0] not in own]
    for word in overrides:
        key, equals, value = word.partition("=")
        if equals and not key.strip("+~ "):
            raise UserError(f"{word}: there is no option in front of the equals sign")
        if (CONFIGS / key).is_dir() and not may_be_choice(word):  # Hydra fails with an error of its own code
            raise UserError(unknown_choice(key, value, flags.get("--config-dir", "")))
    of_hydra = ("hydra.", "hydra/")  # options of its own
    renamed = (rename_former(word) if word.lstrip("+~").startswith(of_hydra) else word for word in overrides)
    return CommandLine(
        overrides=[quoted(word) if is_refused_value(word) else word for word in renamed if word is not None],
        own=own,
        help="--help" in flags,
        version="--version" in flags,
        multirun="--multirun" in flags,
        config_dir=flags.get("--config-dir", ""),
    )


def _split(words: Sequence[str], known: Names) -> tuple[dict[str, str], list[str]]:
    """The flags with their values, and the options."""
    short = {"-h": "--help", "-m": "--multirun", "-cd": "--config-dir"}
    flags, options = dict[str, str](), list[str]()
    remaining = iter(words)
    for word in remaining:
        flag, _, value = word.partition("=")
        flag = short.get(flag, flag)
        if not word.startswith("-"):
            options.append(word)
        elif flag == "--config-dir":
            flags[flag] = config_dir(value or next(remaining, ""))
        elif flag in ("--help", "--multirun", "--version"):
            flags[flag] = value
        else:
            raise UserError(unknown_flag(word, known()))
    return flags, options


def _own_options(schema: type[Any], options: Sequence[str]) -> dict[str, str]:
    """Options that have the name of a group: model= chooses an architecture in training, and is a folder elsewhere."""
    # only where the schema has a text under that name; a dataclass there is filled by the group
    texts = {each.name for each in dataclasses.fields(schema) if each.type in ("str", str)}
    pairs = dict(word.split("=", 1) for word in options if "=" in word)
    return {key: value for key, value in pairs.items() if key in texts and (CONFIGS / key).is_dir()}
