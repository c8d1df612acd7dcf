"""Errors for the user of a command: their text, checks of option values, import of optional packages."""

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
    """An error that the user can fix: the message names the option or file, the value found and a way out.

    Commands print it without a traceback and exit with status 1; any other exception is a bug. Messages quote files and
    command lines, so they are limited to 4,000 characters, and control characters except line breaks are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(show_controls(message), _MESSAGE))


class DivergedError(UserError):
    """Training has diverged; it may succeed with other settings."""


class FullDiskError(UserError):
    """No space for a file: full disk, quota or limit for file sizes. The command can be repeated with more space."""


@contextmanager
def errors_naming(where: object) -> Iterator[None]:
    """Prefix UserErrors with the name of a file or the key of a configuration."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def excerpt(value: object) -> str:
    """A name or value from a file, for a message: on one line, with the middle of a long text left out."""
    # shorten first, since escaping a header of 3 MB takes long
    return shorten(show_unprintable(shorten(str(value), _EXCERPT)), 2 * _EXCERPT)


def shorten(text: str, length: int) -> str:
    """The text with its middle replaced by an ellipsis, if it is longer than `length` characters."""
    if len(text) <= length:
        return text
    half = (length - 3) // 2
    return f"{text[:half]} … {text[-half:]}"


def show_unprintable(text: str) -> str:
    r"""Escape control characters, unusual spaces and line ends, as \x0b or \u2028: the text is then one line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def show_controls(text: str) -> str:
    r"""Escape characters that control a terminal or reorder text, as \x1b or \u202e; line breaks stay.

    Lone surrogates, which stand for invalid bytes of file names, are escaped too. Joiners stay, since Persian, Hindi
    and emoji need them.
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
    """Command that installs an extra of this package."""
    return f"pip install 'translate-seq2seq[{extra}]'"


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module of an optional package. Raises UserError with the command that installs it.

    purpose  what needs the package, such as "engine=ctranslate2"
    """
    try:
        return import_module(module)
    except ImportError as error:  # the package or one of its system libraries is missing
        raise UserError(f"{purpose} needs an extra package ({error}): {install_command(extra)}") from None


def require_at_least(key: str, value: float, least: float) -> None:
    """Raise UserError if the value of an option is too small or NaN."""
    if not value >= least:  # also for NaN
        raise UserError(f"{key} ({value}) must be at least {least}")


def require_between(key: str, value: float, least: float, most: float) -> None:
    """Raise UserError if the value of an option is outside [least, most] or NaN."""
    if not least <= value <= most:  # also for NaN
        raise UserError(f"{key} ({value}) must be at least {least} and at most {most}")


def require_share(key: str, value: float) -> None:
    """Raise UserError for a share that is not in [0, 1)."""
    if not 0 <= value < 1:
        raise UserError(f"{key} ({value}) must be at least 0 and below 1")


def require_numbers(config: Any, key: str = "") -> None:
    """Raise UserError for numbers in a configuration that are not finite or too large.

    Floats must be below 1e30, so that their products with other values fit into fp32; integers must fit into 64 bits.
    `key` is the option that the configuration belongs to; "": all options of a command.
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
        # without the number itself, which may have thousands of digits
        raise UserError(f"{key} must be an integer of at most 64 bits, sign included, not of {config.bit_length() + 1}")
