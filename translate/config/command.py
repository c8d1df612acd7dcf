"""Commands get their settings, and mistakes in them get an answer.

Hydra reads configs/NAME.yaml and the command line; the dataclasses beside the code give names, types and
defaults. Nothing in a configuration can name code to run.
"""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from translate import __version__
from translate.config.options import (
    BEHAVIOUR,
    CONFIGS,
    IS_HYDRA_1_3,
    Variants,
    choose_own_text,
    explain,
    help_text,
    known_keys,
    unknown_key,
    unknown_keys,
)
from translate.errors import UserError
from translate.folders import MARKER, foreign_names, is_marked, listing, mark

# files of a sweep's folder, as patterns of names
_OF_HYDRA = ("multirun.yaml", "optimization_results.yaml", "study.db*")
_OF_A_SWEEP = (MARKER, *_OF_HYDRA, "trials.tsv", ".trials.lock*", "trial-*")


def run_command(
    name: str,
    schema: type[Any],
    run: Callable[[Any], float | None],
    *,
    variants: Variants | None = None,
    additions: Variants | None = None,
) -> None:
    """Run a command with the settings that configs/NAME.yaml and the command line make.

    variants and additions: group -> name -> dataclass, of groups whose choices have settings of their own. Of variants
    one is chosen, which fills in GROUP; of additions any number, each of which fills in GROUP.NAME. What run returns is
    how good these settings are, for sweeps. What the person can mend is printed on stderr as one message, and the exit
    status is 1.
    """
    variants, additions = variants or {}, additions or {}
    register(name, schema, variants, additions)
    # Hydra would print errors in its own words and end the process; with this they arrive here
    os.environ["HYDRA_FULL_ERROR"] = "1"
    if not OmegaConf.has_resolver("sweep_folder"):
        add_resolver = OmegaConf.register_new_resolver if IS_HYDRA_1_3 else OmegaConf.register_resolver
        add_resolver("sweep_folder", sweep_folder)
    own, known = take_own_options(schema), known_keys(schema, variants, additions)
    quote_texts()
    choose_own_text(name)

    def task(config: DictConfig) -> float | None:
        config.merge_with(own)
        return with_answers(lambda: run(to_settings(config, known)))

    command = hydra.main(**BEHAVIOUR, config_path=str(CONFIGS), config_name=name)(task)
    try:
        if {"--help", "-h"} & set(sys.argv):
            print(help_text(name, schema))
        elif "--version" in sys.argv:
            print(f"translate {__version__}")
        else:
            command()
    except UserError as error:
        _fail(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        _fail(_user_error(error) or explain(error, known))


def with_answers(work: Callable[[], float | None]) -> float | None:
    """Do the work; end the process with a message and status 1 where the person can mend what went wrong."""
    try:
        return work()
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
    for key in unknown_keys(config):
        raise UserError(unknown_key(key, known))
    try:
        settings = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise UserError(str(error).split("\n")[0]) from None
    return with_home(settings)


def with_home(value: Any) -> Any:
    """Settings with the home folder in place of a leading ~/ or ~NAME/ of every text, as in a shell."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(value, **{f.name: with_home(getattr(value, f.name)) for f in _fields(value)})
    if isinstance(value, dict):
        return {key: with_home(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_home(inner) for inner in value]
    is_path = type(value) is str and re.match(r"~[\w.-]*(/|$)", value)
    return os.path.expanduser(value) if is_path else value


def _fields(value: Any) -> list[dataclasses.Field[Any]]:
    return [field for field in dataclasses.fields(value) if field.init]


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


def sweep_folder(path: str) -> str:
    """Make and mark a sweep's folder; its path. Hydra and Optuna write into it before any trial begins.

    Raises UserError for a folder with files that are not a sweep's.
    """
    if not path:
        raise UserError("run.dir is empty: name a folder for the sweep")
    folder = Path(with_home(path))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"run.dir={path}: that is a file; name a folder for the sweep") from None
    # a table alone, without any trial, is not a sweep's
    patterns = _OF_A_SWEEP if any(folder.glob("trial-*")) else (MARKER, *_OF_HYDRA)
    foreign = foreign_names(folder, patterns)
    if foreign and not is_marked(folder, "sweep"):
        raise UserError(
            f"run.dir={path}: this folder is not a sweep's, and it is not empty: it holds {listing(foreign)}; "
            "choose a new folder"
        )
    mark(folder, "sweep")
    return str(folder)


def _user_error(error: BaseException) -> str:
    """The message of the UserError that caused an error of Hydra's; "" if none did."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, UserError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return ""


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def take_own_options(schema: type[Any]) -> dict[str, str]:
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


def is_given(group: str) -> bool:
    """True if the command line that Hydra has read sets this group or an option in it; False outside a command."""
    if not HydraConfig.initialized():
        return False
    overrides = OverridesParser.create().parse_overrides(list(HydraConfig.get().overrides.task))
    return any(override.key_or_group.partition(".")[0] == group for override in overrides)


def quote_texts() -> None:
    """Put quotes around values on the command line that Hydra's grammar has no place for.

    It refuses file names with umlauts, brackets, "=" or "#", in plain lists as well. What begins a dictionary or a
    quotation, or holds one in a list, stays as it is: there a refusal is of use.
    """
    parser = OverridesParser.create()
    sys.argv[1:] = [_quoted(word) if _is_refused(word, parser) else word for word in sys.argv[1:]]


def _is_refused(word: str, parser: OverridesParser) -> bool:
    _, equals, value = word.partition("=")
    if not equals or word.startswith("-") or value.startswith(("{", "'", '"')):
        return False
    if value.startswith("[") and (not value.endswith("]") or set("'\"{") & set(value) or value.count("[") > 1):
        return False
    try:
        parser.parse_override(word)
    except HydraException:
        return True
    return False


def _quoted(word: str) -> str:
    key, _, value = word.partition("=")
    if not value.startswith("["):
        return f"{key}={_in_quotes(value)}"
    return f"{key}=[{','.join(_in_quotes(item.strip()) for item in value[1:-1].split(','))}]"


def _in_quotes(text: str) -> str:
    return str(QuotedString(text, Quote.single).with_quotes())
