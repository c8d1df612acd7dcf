"""Errors that speak to the person who runs a command, and the import of optional packages."""

from __future__ import annotations

import math
from importlib import import_module
from types import ModuleType


class UserError(ValueError):
    """A mistake or condition that the person can mend: the message says where, what was found and what to do.

    Commands print it without a traceback and exit with status 1; any other exception is a bug.
    """


class DivergedError(UserError):
    """Training has run into numbers that are not finite: with other settings it may go well."""


class FullDiskError(UserError):
    """No room for a file: on the disk, in a quota or under a limit; the command goes on once there is room."""


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


def require_above(key: str, value: float, bound: float) -> None:
    """Raise UserError for a value of an option that is not a finite number above a bound."""
    if not (value > bound and math.isfinite(value)):
        raise UserError(f"{key} ({value}) must be a number above {bound}")


def require_share(key: str, value: float) -> None:
    """Raise UserError for a share that is not in [0, 1)."""
    if not 0 <= value < 1:
        raise UserError(f"{key} ({value}) must be at least 0 and below 1")
