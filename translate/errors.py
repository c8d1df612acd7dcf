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


# as the CPU's allocator, CUDA's and the libraries of CUDA put it; only the caching allocator has a class of its own
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")


def is_out_of_memory(error: Exception) -> bool:
    """True for an error by which Python or PyTorch says that memory does not suffice, on any device."""
    if isinstance(error, RuntimeError):
        return any(text in str(error) for text in _OUT_OF_MEMORY)
    return isinstance(error, MemoryError)


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
