"""Aligned tables and sentences that fit the width of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from wcwidth import wcswidth

from translate.console import text_table
from translate.errors import show_unprintable

LEAST_NAME = 12  # columns that a name keeps in a narrow terminal
_GAP = 2  # between columns
_ELLIPSIS = "…"
Rows = list[list[str]]


def table(rows: Rows, width: int | None, *, right: Sequence[int] = ()) -> str:
    """Aligned text; where it is wider than the terminal, names are shortened and the last column is wrapped."""
    rows = [[show_unprintable(cell) for cell in row] for row in rows]
    if width is None or width_of(rows) <= width:
        return text_table(rows, right=right)
    # names are shortened, since figures cannot be
    others = width_of([row[1:] for row in rows]) + _GAP
    longest = max(wcswidth(row[0]) for row in rows)
    names = shortened_names([row[0] for row in rows], max(LEAST_NAME, min(longest, width - others)))
    rows = [[name, *row[1:]] for name, row in zip(names, rows, strict=True)]
    if width_of(rows) > width:
        rows = last_wrapped(rows, width)
    return text_table(rows, right=right)


def width_of(rows: Rows) -> int:
    columns = max(map(len, rows), default=0)
    widths = [max((wcswidth(row[column]) for row in rows if column < len(row)), default=0) for column in range(columns)]
    return sum(widths) + _GAP * max(columns - 1, 0)


def last_wrapped(rows: Rows, width: int) -> Rows:
    """Rows whose last cell continues on rows of its own."""
    room = max(LEAST_NAME, width - width_of([row[:-1] for row in rows]) - _GAP)
    wrapped = []
    for row in rows:
        first, *further = textwrap.wrap(row[-1], room) or [""]
        wrapped += [[*row[:-1], first], *([""] * (len(row) - 1) + [line] for line in further)]
    return wrapped


def shortened_names(names: Sequence[str], width: int) -> list[str]:
    """Names of at most so many columns, without their middle, or else their end, so that they still differ."""
    for shorten in (shortened, beginning, _end):
        short = [shorten(name, width) for name in names]
        if len(set(short)) == len(set(names)):
            return short
    return [shortened(name, width) for name in names]


def shortened(text: str, width: int) -> str:
    """Text with its middle left out, so that it takes at most so many columns."""
    if wcswidth(text) <= width:
        return text
    half = max(1, (width - 1) // 2)
    start, end = text, text
    while wcswidth(start) > half:
        start = start[:-1]
    while wcswidth(end) > width - 1 - half:
        end = end[1:]
    return f"{start}{_ELLIPSIS}{end}"


def _end(text: str, width: int) -> str:
    if wcswidth(text) <= width:
        return text
    while wcswidth(text) > width - 1:
        text = text[1:]
    return f"{_ELLIPSIS}{text}"


def wrapped(text: str, width: int | None) -> str:
    text = show_unprintable(text)
    return text if width is None else textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def beginning(text: str, width: int) -> str:
    """The beginning of a text, in at most so many columns."""
    if wcswidth(text) <= width:
        return text
    while wcswidth(text) > max(width, LEAST_NAME) - 1:
        # wide characters take two columns: half of the excess at a time never removes too much
        text = text[: max(1, len(text) - max(1, (wcswidth(text) - width) // 2))]
    return f"{text}{_ELLIPSIS}"
