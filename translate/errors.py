"""Errors that speak to the person who runs a command: their text, checks of values, import of optional packages."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_LARGEST_FLOAT = 1e30

_EXCERPT = 200  # characters of a name or value from a file
_MESSAGE = 4000  # characters of a whole message


class UserError(ValueError):
    """A mistake or condition that the person can mend: the message says where, what was found and what to do.

    Commands print it without a traceback and exit with status 1; any other exception is a bug. Messages quote files
    and command lines: they are at most 4,000 characters long, and hold no control character but line breaks.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(show_controls(message), _MESSAGE))


class DivergedError(UserError):
    """Training has run into numbers that are not finite: with other settings it may go well."""


class FullDiskError(UserError):
    """No room for a file: on the disk, in a quota or under a limit; the command goes on once there is room."""


@contextmanager
def errors_naming(where: object) -> Iterator[None]:
    """Put a file, or the key of a configuration, in front of a UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def excerpt(value: object) -> str:
    """A name or value from a file for the middle of a message: on one line, its middle cut out where it is long."""
    # cut first: a header of 3 MB is not spelled out for 200 characters of it
    return shorten(show_unprintable(shorten(str(value), _EXCERPT)), 2 * _EXCERPT)


def shorten(text: str, length: int) -> str:
    """The text, its middle replaced by an ellipsis where it has more characters."""
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f"{text[:half]} … {text[-half:]}"


def show_unprintable(text: str) -> str:
    r"""Text on one line: control characters, unusual spaces and line ends as \x0b or \u2028."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_controls(text: str) -> str:
    r"""Text whose line breaks stay, with what a terminal would obey or reorder by spelled out, as \x1b or \u202e.

    Also half a surrogate pair, which stands for a byte of a file name that is not UTF-8. Joiners stay, by which
    Persian, Hindi and emoji are spelled.
    """
    if text.isprintable():
        return text
    return "".join(c.encode("unicode_escape").decode() if _is_control(c) else c for c in text)


def _is_control(character: str) -> bool:
    if character in "\n\t\u200c\u200d":
        return False
    # control, format (bidirectional ones among them), surrogate; line and paragraph separator
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def install_command(extra: str) -> str:
    """The command that installs an optional part of this package."""
    return f"pip install 'translate-seq2seq[{extra}]'"


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package. Raises UserError with the command that installs it.

    purpose  what needs the package, such as "engine=ctranslate2"
    """
    try:
        return import_module(module)
    except ImportError as error:  # also of a package that is there and lacks a library of the system
        raise UserError(f"{purpose} needs an extra package ({error}): {install_command(extra)}") from None


def require_at_least(key: str, value: float, least: float) -> None:
    """Raise UserError for a value of an option that is too small, or not a number."""
    if not value >= least:  # also of NaN
        raise UserError(f"{key} ({value}) must be at least {least}")


def require_between(key: str, value: float, least: float, most: float) -> None:
    """Raise UserError for a value of an option outside of [least, most], or not a number."""
    if not least <= value <= most:  # also of NaN
        raise UserError(f"{key} ({value}) must be at least {least} and at most {most}")


def require_share(key: str, value: float) -> None:
    """Raise UserError for a share that is not in [0, 1)."""
    if not 0 <= value < 1:
        raise UserError(f"{key} ({value}) must be at least 0 and below 1")


def require_numbers(config: Any, key: str = "") -> None:
    """Raise UserError for a number in a configuration that no computation can use, by the name of its option.

    Floats must be finite and below 1e30, so that fp32 can hold their products with other values; integers must fit
    into 64 bits. `key` is the option that the configuration belongs to; "" for all options of a command.
    """
    if dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            require_numbers(getattr(config, field.name), f"{key}.{field.name}" if key else field.name)
    elif isinstance(config, dict):
        for name, value in config.items():
            require_numbers(value, f"{key}.{name}")
    elif isinstance(config, list):
        for index, value in enumerate(config):
            require_numbers(value, f"{key}[{index}]")
    elif isinstance(config, float) and not abs(config) <= _LARGEST_FLOAT:  # also NaN
        raise UserError(f"{key} ({config}) must be a finite number, at most {_LARGEST_FLOAT:g}")
    elif isinstance(config, int) and config.bit_length() >= 64:
        # not the number itself, which may have thousands of digits
        raise UserError(f"{key} must be an integer of at most 64 bits, sign included, not of {config.bit_length() + 1}")
