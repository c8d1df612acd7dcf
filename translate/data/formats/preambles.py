"""Lines in front of a table that describe it: the delimiter as Excel notes it, and the header of Anki's exports."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

_EXCEL = re.compile(r'"?sep=([^"\r\n])"?[;,\t]*\r?\n?')
_ANKI = re.compile(
    r"#(separator|html|columns|(?:guid|notetype|deck|tags)(?: column)?|if matches):(.*?)\r?\n?", re.DOTALL
)
_COLUMN = re.compile(r"\s*0*([1-9][0-9]{0,3})\s*")  # its number
_ANKI_DELIMITERS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " ", "colon": ":"}
_BREAK = re.compile(r"<(?:br|/?div|/?p|/?li)\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"</?[A-Za-z][^<>]*>")


class Cells(NamedTuple):
    """A row of a table with the number of its first line; problem: reason why its cells could not be read."""

    line: int
    cells: list[str]
    problem: str = ""
    is_header: bool = False


@dataclass(frozen=True)
class Preamble:
    """Lines in front of a table, and their content.

    num_lines  number of them
    delimiter  "" if they name none
    is_quoted  cells are quoted where they need it
    is_html    cells are HTML
    names      of the columns, with the delimiter between them; "" if they are not named
    other      indices of columns that hold no text
    """

    num_lines: int = 0
    delimiter: str = ""
    is_quoted: bool = False
    is_html: bool = False
    names: str = ""
    other: tuple[int, ...] = ()

    def complete(self, rows: Iterator[Cells]) -> Iterator[Cells]:
        """The rows below these lines, with the header and line numbers of the file; HTML becomes text."""
        if self.names:
            yield Cells(1, self.names.split(self.delimiter), is_header=True)
        for row in rows:
            cells = [_text_of(cell) for cell in row.cells] if self.is_html else row.cells
            for index in self.other:
                cells[index : index + 1] = [""] if index < len(cells) else []
            yield Cells(row.line + self.num_lines, cells, row.problem)


def find_preamble(lines: Sequence[str]) -> Preamble:
    """The preamble of a table, given its first lines with their ends."""
    if lines and (found := _EXCEL.fullmatch(lines[0])):
        return Preamble(num_lines=1, delimiter=found[1])
    found_lines = list(takewhile(bool, map(_ANKI.fullmatch, lines)))
    settings = {found[1]: found[2] for found in found_lines if found}
    if settings.keys().isdisjoint(("separator", "html")):  # which all exports begin with
        return Preamble()
    named = settings.get("separator", "")
    delimiter = _ANKI_DELIMITERS.get(named.lower(), named if len(named) == 1 and named != '"' else "")
    other = (_COLUMN.fullmatch(value) for key, value in settings.items() if key.endswith(" column"))
    return Preamble(
        num_lines=len(found_lines),
        delimiter=delimiter,
        is_quoted=True,
        is_html=settings.get("html", "").strip().lower() == "true",
        names=settings.get("columns", "") if delimiter else "",
        other=tuple(int(found[1]) - 1 for found in other if found),
    )


def _text_of(cell: str) -> str:
    return html.unescape(_TAG.sub("", _BREAK.sub(" ", cell))) if "<" in cell or "&" in cell else cell
