"""Parse the words of a command line into flags, options for Hydra, and options hidden from it."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from translate.config.options import (
    CONFIGS,
    config_dir,
    is_refused_value,
    may_be_choice,
    quoted,
    rename_former,
    unknown_choice,
    unknown_flag,
)
from translate.errors import UserError

Names = Callable[[], list[str]]  # all option names of a command
_MANY_DIGITS = re.compile("[0-9]{4000}")


@dataclass(frozen=True)
class CommandLine:
    """A parsed command line.

    overrides   options for Hydra to compose
    own         options hidden from Hydra: names of groups of choices, and words that are no options; text, or a list
    config_dir  folder of further YAML files; "": none
    """

    overrides: list[str] = field(default_factory=list)
    own: dict[str, Any] = field(default_factory=dict)
    help: bool = False
    version: bool = False
    multirun: bool = False
    config_dir: str = ""

    def names(self) -> list[str]:
        """Names of the options that are set."""
        return [word.partition("=")[0].lstrip("+~") for word in self.overrides]


def read_command_line(schema: type[Any], words: Sequence[str], known: Names) -> CommandLine:
    """Parse a command line. Raises UserError for unknown flags and choices, invalid words and a missing folder.

    known  all option names of the command, for hints
    """
    for word in words:
        if word.encode(errors="replace").decode() != word:  # Python decodes invalid bytes to lone surrogates
            encoding = sys.getfilesystemencoding()
            hint = "" if encoding == "utf-8" else f"; the locale has {encoding}: set PYTHONUTF8=1"
            raise UserError(f"{word!a}: options and file names must be UTF-8{hint}")
        if _MANY_DIGITS.search(word):  # Python refuses to convert longer numbers
            raise UserError(f"{word.partition('=')[0]}: a number with thousands of digits")
    flags, options = _split(words, known)
    plain = [word for word in options if _is_path(schema, word)]
    own: dict[str, str | list[str]] = {**_own_options(schema, options)}
    overrides = [word for word in options if word not in plain and word.partition("=")[0] not in own]
    if plain:
        own[schema.POSITIONAL] = plain
        if given := [word for word in overrides if word.partition("=")[0] == schema.POSITIONAL]:
            raise UserError(f"{given[0]} beside {plain[0]}: name all in one way")
    for word in overrides:
        key, equals, value = word.partition("=")
        if equals and not key.strip("+~ "):
            raise UserError(f"{word}: there is no option before the equals sign")
        if (CONFIGS / key).is_dir() and not may_be_choice(word):  # Hydra would fail with an internal error
            raise UserError(unknown_choice(key, value, flags.get("--config-dir", "")))
    prefixes = ("hydra.", "hydra/")  # of options of earlier versions
    renamed = (rename_former(word) if word.lstrip("+~").startswith(prefixes) else word for word in overrides)
    return CommandLine(
        overrides=[quoted(word) if is_refused_value(word) else word for word in renamed if word is not None],
        own=own,
        help="--help" in flags,
        version="--version" in flags,
        multirun="--multirun" in flags,
        config_dir=flags.get("--config-dir", ""),
    )


def _split(words: Sequence[str], known: Names) -> tuple[dict[str, str], list[str]]:
    """Split words into flags with their values, and options."""
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


def _is_path(schema: type[Any], word: str) -> bool:
    """True for a word that is no option but a path, in a command that has a field for these (POSITIONAL)."""
    name, equals, _ = word.partition("=")
    return hasattr(schema, "POSITIONAL") and ("/" in name or (not equals and not word.startswith(("+", "~"))))


def _own_options(schema: type[Any], options: Sequence[str]) -> dict[str, Any]:
    """Options with the name of a group: model= is a choice for the train command, and a folder for the others."""
    # only if the schema has a field of text, or of one or several, of that name; a group configures a dataclass field
    texts = {each.name for each in dataclasses.fields(schema) if each.type in ("str", str, "Any")}
    pairs = dict(word.split("=", 1) for word in options if "=" in word)
    return {key: _own_value(key, value) for key, value in pairs.items() if key in texts and (CONFIGS / key).is_dir()}


def _own_value(key: str, value: str) -> Any:
    """The list that [FIRST,SECOND] means; any other value as it is."""
    if not (value.startswith("[") and value.endswith("]")):
        return value
    return OverridesParser.create().parse_override(f"{key}={value}").value()
