"""Tables of sentence pairs: CSV and TSV as spreadsheets, Kaggle and Tatoeba write them, and sheets of Excel workbooks.

The delimiter, the meaning of quotation marks, the header and the two columns are found in the beginning of each file,
and logged. csv.reader does the rest.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

from translate.data.corpus import CorpusConfig
from translate.data.forms.columns import are_names, find_columns
from translate.data.forms.rows import BLANK_LINE, Row, as_line, log_once, matching_files, mostly_pairs
from translate.errors import UserError, excerpt, shorten
from translate.text import read_ended_lines

_SAMPLE_CHARACTERS, _SAMPLE_ROWS = 1 << 23, 200
_DELIMITERS = {"\t": "TAB", " ||| ": "|||", ";": "semicolon", ",": "comma", "|": "|"}
# of the first rows, the share that must have one number of columns, at least two; commas are in every text
_LEAST_SHARES = {"\t": 0.5, " ||| ": 0.5, ";": 0.7, ",": 0.7, "|": 0.7}


class Cells(NamedTuple):
    """A row of a table with the number of its first line; problem: reason why its cells could not be read."""

    line: int
    cells: list[str]
    problem: str = ""


@dataclass(frozen=True)
class Layout:
    """Characters between cells; whether quotation marks around cells, and CR at the ends of lines, are removed."""

    delimiter: str
    is_quoted: bool
    has_crlf: bool = False

    def rows(self, lines: Iterator[str]) -> Iterator[Cells]:
        """The rows of a table, given its lines with their ends."""
        if self.is_quoted:
            yield from self._quoted_rows(lines)
            return
        for number, line in enumerate(lines, start=1):
            text = line.removesuffix("\r\n" if self.has_crlf else "\n")
            yield Cells(number, text.split(self.delimiter) if text.strip() else [])

    def _quoted_rows(self, lines: Iterator[str]) -> Iterator[Cells]:
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            first = reader.line_num + 1
            try:
                yield Cells(first, next(reader))
            except StopIteration:
                return
            except csv.Error as error:
                # the reader continues with the line after those it has read
                until = f" until line {reader.line_num}" if reader.line_num > first else ""
                yield Cells(first, [], f"quotation marks that do not fit, or a very long cell{until} ({error})")


def read_table(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of tables whose delimiter and quotation are found by their content."""
    for path in matching_files(config):
        sample, is_whole = _sample(path)
        layout = find_layout(sample, path, is_whole=is_whole)
        width = _width(list(islice(layout.rows(iter(sample)), _SAMPLE_ROWS)))
        rows = layout.rows(_lines(path))
        yield from mostly_pairs(pairs(rows, config, path, describe(layout, sample), width=width))


def read_tsv(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of a table in which only TAB and "\\n" count: no quoting, no escapes."""
    for path in matching_files(config):
        rows = Layout("\t", is_quoted=False).rows(_lines(path))
        yield from mostly_pairs(pairs(rows, config, path, "columns divided by TAB, nothing else has a meaning"))


def table_columns(path: str) -> list[str]:
    """Names of the columns in a table's header; none without one."""
    sample, is_whole = _sample(path)
    return header_of(find_layout(sample, path, is_whole=is_whole).rows(iter(sample)))


def tsv_columns(path: str) -> list[str]:
    """Names of the columns in a TSV's header; none without one."""
    return header_of(Layout("\t", is_quoted=False).rows(_lines(path)))


def header_of(table: Iterator[Cells]) -> list[str]:
    """Names of columns in the first row of a table; none if it is no header."""
    named, *below = [row.cells for row in islice(table, _SAMPLE_ROWS) if row.cells] or [[]]
    names = [name.strip() for name in named]
    return names if are_names(names, below) else []


def pairs(
    table: Iterator[Cells], config: CorpusConfig, path: str, description: str, *, width: int | None = None
) -> Iterator[Row]:
    """The pairs in two columns of a table, its header left out.

    description  of the table's form, for the log
    width        number of columns, more than which are a problem of a row; None: any number of them
    """
    head = list(islice(table, _SAMPLE_ROWS))
    head = [row for row in head if "".join(row.cells) != "sep="]  # Excel's note of the delimiter
    named = next((row for row in head if row.cells), Cells(1, []))
    below = [row.cells for row in head if row.cells and row is not named]
    source, target, has_header = _columns(named, below, config, path)
    log_once(f"{path}: {description}; {_describe_choice(source, target, named.cells, has_header)}")
    for row in chain(head, table):
        if row is named and has_header:
            continue
        if problem := _problem(row, source, target, width):
            yield Row(path, row.line, "", "", problem)
        else:
            yield Row(path, row.line, as_line(row.cells[source]), as_line(row.cells[target]))


def _problem(row: Cells, source: int, target: int, width: int | None) -> str:
    if row.problem:
        return row.problem
    if not any(cell.strip() for cell in row.cells):
        return BLANK_LINE
    if len(row.cells) <= max(source, target):
        return f"column {max(source, target) + 1} of {len(row.cells)} is missing"
    if width is not None and len(row.cells) > width:
        return f"{len(row.cells)} columns instead of {width}"
    return ""


def find_layout(sample: Sequence[str], path: str, *, is_whole: bool) -> Layout:
    """Delimiter and quotation of a table, from its first lines with their ends; is_whole: these are all.

    Raises UserError for lines without a delimiter that most of them share.
    """
    delimiter = find_delimiter(sample)
    if not delimiter:
        raise UserError(
            f"{path}: lines of text without columns (no TAB, semicolon or comma that most of them share); if this is "
            "one side of a parallel text, name both files with source= and target= instead of path="
        )
    is_quoted = _has_quotation(sample, is_whole=is_whole) if delimiter == "\t" else len(delimiter) == 1
    return Layout(delimiter, is_quoted, has_crlf=all(line.endswith("\r\n") for line in sample[:-1]))


def find_delimiter(sample: Sequence[str]) -> str:
    """The first delimiter that divides most of the lines (with their ends) into one number of columns; "": none."""
    shares = ((delimiter, _share_of_usual_width(sample, delimiter)) for delimiter in _DELIMITERS)
    return next((delimiter for delimiter, share in shares if share >= _LEAST_SHARES[delimiter]), "")


def _share_of_usual_width(sample: Sequence[str], delimiter: str) -> float:
    layout = Layout(delimiter, is_quoted=len(delimiter) == 1)
    widths = [len(row.cells) for row in islice(layout.rows(iter(sample)), _SAMPLE_ROWS) if row.cells or row.problem]
    usual, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
    return count / len(widths) if usual > 1 else 0.0


def _has_quotation(sample: Sequence[str], *, is_whole: bool) -> bool:
    """True if a program put the quotation marks around the cells of a TSV, as many do around cells with commas.

    Signs of it: doubled marks, line breaks in cells, nearly all cells quoted, or all with a comma and no others.
    They must outnumber ten times what contradicts it: marks inside of other cells, and rows that cannot be read so.
    """
    complete = [line.rstrip("\r\n").split("\t") for line in sample if line.count('"') % 2 == 0]
    cells = [cell for row in complete for cell in row if cell]
    quoted = [cell for cell in cells if len(cell) > 1 and cell[0] == cell[-1] == '"']
    rows = list(Layout("\t", is_quoted=True).rows(iter(sample)))
    if not is_whole:
        rows = rows[:-1]  # cut
    inside = sum('"' in cell.replace('""', "") for cell in cells) - len(quoted)
    against = inside + sum(bool(row.problem) for row in rows)
    signs = sum('""' in cell[1:-1] for cell in quoted) + sum("\n" in cell for row in rows for cell in row.cells)
    if signs or against:
        return signs > 10 * against
    if not quoted:
        return False
    return len(quoted) >= 0.9 * len(cells) or all(("," in cell) == (cell[0] == '"') for cell in cells)


def describe(layout: Layout, sample: Sequence[str]) -> str:
    """The form of a table, for the log."""
    form = f"columns divided by {_DELIMITERS[layout.delimiter]}"
    if layout.is_quoted:
        way_out = " (format=tsv keeps them)" if layout.delimiter == "\t" else ""
        return f"{form}, quotation marks around cells removed{way_out}"
    return form + (", quotation marks are text" if any('"' in line for line in sample) else "")


def _columns(named: Cells, below: Sequence[list[str]], config: CorpusConfig, path: str) -> tuple[int, int, bool]:
    """Indices of the two columns, from 0, and whether the first row is a header."""
    names = [name.strip() for name in named.cells]
    asked = [config.source, config.targets[0]]
    if not any(asked):
        has_header = are_names(names, below)
        width = max(_width([Cells(0, cells) for cells in below]), len(names))
        known = names + [""] * (width - len(names)) if has_header else [""] * width
        return *find_columns(known, below if has_header else [named.cells, *below], config, path), has_header
    if all(column.isdecimal() for column in asked):
        if min(map(int, asked)) < 1:
            raise UserError("columns are counted from 1, as in `cut -f`; found 0")
        source, target = (int(column) - 1 for column in asked)
        # some tables have a header that only numbers the columns
        return source, target, len(names) > max(source, target) and [names[source], names[target]] == asked
    for column in asked:
        if column not in names:
            raise UserError(
                f"{path}, line {named.line}: no column {column!r} in the header, which has {excerpt(', '.join(names))}"
            )
    return names.index(asked[0]), names.index(asked[1]), True


def _width(rows: Sequence[Cells]) -> int:
    """The usual number of columns."""
    return Counter(len(row.cells) for row in rows if row.cells).most_common(1)[0][0] if rows else 0


def _describe_choice(source: int, target: int, first: Sequence[str], has_header: bool) -> str:
    sides = []
    for side, column in (("source", source), ("target", target)):
        example = excerpt(shorten(first[column], 60)) if column < len(first) else ""
        sides.append(f"{side} is column {column + 1}, {example!r}" + (" in the header" if has_header else ""))
    return ", ".join(sides)


def _lines(path: str) -> Iterator[str]:
    return (line.text + line.end for line in read_ended_lines(path))


def _sample(path: str) -> tuple[list[str], bool]:
    """The first lines of a file with their ends, and whether they are all."""
    sample, size = [], 0
    for line in _lines(path):
        sample.append(line)
        size += len(line)
        if size > _SAMPLE_CHARACTERS:
            return sample, False
    return sample, True
