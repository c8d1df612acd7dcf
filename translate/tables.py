"""Tables as aligned text and as Markdown, and text that Markdown shows as it is.

Columns are aligned by display width: a Chinese character counts two, a combining mark none (tabulate with wcwidth).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from tabulate import tabulate

# Markup wherever it stands in a line. A backslash is easiest to read in the raw file, but Python-Markdown, which
# TensorBoard uses, takes it before fewer characters than GitHub: these are written as HTML entities.
_BACKSLASHED = "\\`*_[]|#>"
_ENTITIES = {character: f"&#{ord(character)};" for character in "<&~"}


def text_table(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Columns two spaces apart; those numbered in `right`, from 0, are right-aligned."""
    columns = max(map(len, rows), default=0)
    return tabulate(
        [[show_unprintable(cell) for cell in row] for row in rows],
        tablefmt="plain",
        disable_numparse=True,
        colalign=["right" if column in right else "left" for column in range(columns)],
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of plain text, which also lines up as text."""
    cells = [[escape_markdown(cell) for cell in row] for row in (header, *rows)]
    return tabulate(cells[1:], headers=cells[0], tablefmt="github", disable_numparse=True)


def escape_markdown(text: str) -> str:
    """Text for the middle of a Markdown line, where a reader sees its characters; unprintable ones are spelled out."""
    return "".join(
        f"\\{character}" if character in _BACKSLASHED else _ENTITIES.get(character, character)
        for character in show_unprintable(text)
    )


def markdown_code(text: str) -> str:
    """Text as Markdown inline code; unprintable characters are spelled out."""
    visible = show_unprintable(text)
    # a fence longer than any row of backticks inside
    fence = "`" * (1 + max(map(len, re.findall("`+", visible)), default=0))
    padding = " " if "`" in visible or not visible.strip() else ""
    return f"{fence}{padding}{visible}{padding}{fence}"


def show_unprintable(text: str) -> str:
    r"""Text on one line: control characters, unusual spaces and line ends as \x0b or \u2028."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
