"""Configurations for callers in Python: options as a mapping instead of the words of a command line."""

from __future__ import annotations

import os
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from translate.config.command import Tables, compose, given, register_schemas, to_dataclass
from translate.config.command_line import read_command_line
from translate.config.options import known_options, message_for
from translate.errors import UserError, excerpt
from translate.files import CONFIGS, flatten

_LOCK = threading.Lock()  # Hydra's store of schemas is one for the process


@contextmanager
def configured(
    name: str, schema: type[Any], options: Mapping[str, object], *, choices: Tables, additions: Tables
) -> Iterator[Any]:
    """Context with the configuration of a command, in which is_given() tells of these options.

    options  values by dotted names or nested; lists, numbers, truth values and None as they are in Python

    The other arguments are those of run_command. Raises UserError for unknown options and values of other types.
    """
    known = cache(lambda: known_options(schema, choices, additions))
    words = option_words(options)
    with _LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="ConfigStore config")  # registered by an earlier call
        register_schemas(name, schema, choices, additions)
        line = read_command_line(schema, words, known)
        try:
            config = to_dataclass(compose(name, line.overrides), line.own)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(message_for(error, known())) from None
    with given(line):
        yield config


def option_words(options: Mapping[str, object]) -> list[str]:
    """Words of a command line that set these options. Raises UserError for an option that is given twice."""
    if not isinstance(options, Mapping):
        raise UserError(f"options are {excerpt(repr(options))}, and a mapping is expected: {{'run.dir': 'runs/mine'}}")
    named = Counter(name for key, value in options.items() for name in flatten({key: value}))
    if twice := [name for name, count in named.items() if count > 1]:
        raise UserError(f"{twice[0]} is given twice, by its dotted name and in a mapping: leave one out")
    words = []
    for key, value in flatten(dict(options)).items():
        if not key or key.startswith(("-", "+", "~", "hydra")) or "=" in key:
            raise UserError(f"{key!r} is no name of an option")
        is_group = (CONFIGS / key).is_dir()  # a choice is a word, and so is a folder that an option of that name takes
        words.append(f"{key}={value if is_group and isinstance(value, str | os.PathLike) else _literal(value)}")
    return words


def _literal(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str | os.PathLike):
        return str(QuotedString(str(value), Quote.single).with_quotes())
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_literal(each)}' for key, each in value.items())}}}"
    if isinstance(value, Sequence):
        return f"[{','.join(map(_literal, value))}]"
    raise UserError(f"a value of type {type(value).__name__} cannot be that of an option: {value!r:.100}")
