"""Errors that speak to the person who runs a command."""


class UserError(ValueError):
    """Something the person can mend: the message says where, what was found and what to do.

    Commands print it without a traceback and exit with status 1; any other exception is a bug.
    """


class DivergedError(UserError):
    """Training has run into numbers that are not finite: with other settings it may go well."""
