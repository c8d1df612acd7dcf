"""CSV and TSV files, and the pairs in rows of any table.

Layout, header and columns are determined from the beginning of each file, and logged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice

from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.columns import are_names, find_columns
from translate.data.formats.preambles import Cells
from translate.data.formats.rows import BLANK_LINE, Row, as_line, log_once, matching_files, mostly_pairs
from translate.data.formats.table_layout import SAMPLE_ROWS, Layout, describe_layout, find_layout
from translate.errors import UserError, excerpt, shorten
from translate.text import read_ended_lines

_SAMPLE_CHARACTERS = 1 << 23  # in whole lines


def read_table(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of CSV or TSV files, whose delimiter and quotation are determined from their content."""
    for path in matching_files(config):
        sample, is_whole = _sample(path)
        layout = find_layout(sample, path, is_whole=is_whole)
        width = _width(list(islice(layout.rows(iter(sample)), SAMPLE_ROWS)))
        rows = layout.rows(_lines(path))
        yield from mostly_pairs(table_pairs(rows, config, path, describe_layout(layout, sample), width=width))


def read_tsv(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of TSV files without quotation or escapes."""
    for path in matching_files(config):
        rows = Layout("\t", is_quoted=False).rows(_lines(path))
        yield from mostly_pairs(table_pairs(rows, config, path, "columns separated by TAB, without quotation"))


def table_columns(path: str) -> list[str]:
    """Names of the columns in the header of a CSV or TSV; empty without a header."""
    sample, is_whole = _sample(path)
    return header_of(find_layout(sample, path, is_whole=is_whole).rows(iter(sample)))


def tsv_columns(path: str) -> list[str]:
    """Names of the columns in the header of an unquoted TSV; empty without a header."""
    return header_of(Layout("\t", is_quoted=False).rows(_lines(path)))


def header_of(table: Iterator[Cells]) -> list[str]:
    """Names of columns in the first row of a table; none if it is no header."""
    named, below = _header_candidate(list(islice(table, SAMPLE_ROWS)))
    return [name.strip() for name in named.cells] if named.is_header or are_names(named.cells, below) else []


def _header_candidate(head: Sequence[Cells]) -> tuple[Cells, list[list[str]]]:
    """The row that may be the header, and the cells of those below, which help to tell.

    It is the first with two cells that are not blank: a title above has one. Below it, only names make a header.
    """
    rows = [row for row in head if row.cells] or [Cells(1, [])]
    index = next((index for index, row in enumerate(rows) if sum(map(bool, map(str.strip, row.cells))) > 1), 0)
    return rows[index], [] if index else [row.cells for row in rows[1:]]


def table_pairs(
    table: Iterator[Cells], config: CorpusConfig, path: str, description: str, *, width: int | None = None
) -> Iterator[Row]:
    """The pairs in two columns of a table, without its header.

    description  of the table's layout, for the log
    width        maximal number of columns; a longer row has a problem. None: no limit
    """
    head = list(islice(table, SAMPLE_ROWS))
    if not any(row.cells for row in head):
        raise UserError(f"{path}: there are no rows with text")
    named, below = _header_candidate(head)
    sample = [row.cells for row in head if row.cells and row is not named]
    source, target, has_header = _columns(named, sample, below, config, path)
    log_once(f"{path}: {description}; {_describe_choice((source, target), named.cells, config, has_header)}")
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


def _columns(
    named: Cells, sample: Sequence[list[str]], below: Sequence[list[str]], config: CorpusConfig, path: str
) -> tuple[int, int, bool]:
    """Indices of the two columns, from 0, and whether the row that may be the header is one.

    sample  cells of other rows; below: of those that tell if it is the header
    """
    names = [name.strip() for name in named.cells]
    asked = [config.source, config.targets[0]]
    has_header = named.is_header or are_names(names, below)
    if not any(asked):
        width = max(_width([Cells(0, cells) for cells in sample]), len(names))
        known = names + [""] * (width - len(names)) if has_header else [""] * width
        return *find_columns(known, sample if has_header else [named.cells, *sample], config, path), has_header
    if all(column.isdecimal() for column in asked):
        if min(map(int, asked)) < 1:
            raise UserError("columns are counted from 1, as in `cut -f`; found 0")
        source, target = (int(column) - 1 for column in asked)
        # some tables have a header that only numbers the columns
        is_numbered = len(names) > max(source, target) and [names[source], names[target]] == asked
        # format=tsv takes all rows as they are, like `cut -f`
        return source, target, is_numbered or (has_header and config.format is not CorpusFormat.tsv)
    for column in asked:
        if names.count(column) > 1:
            raise UserError(f"{path}, line {named.line}: {names.count(column)} columns are {column!r}: give numbers")
        if column not in names:
            raise UserError(
                f"{path}, line {named.line}: no column {column!r} in the header, which has {excerpt(', '.join(names))}"
            )
    return names.index(asked[0]), names.index(asked[1]), True


def _width(rows: Sequence[Cells]) -> int:
    """The most frequent number of columns."""
    return next((width for width, _ in Counter(len(row.cells) for row in rows if row.cells).most_common(1)), 0)


def _describe_choice(columns: tuple[int, int], first: Sequence[str], config: CorpusConfig, has_header: bool) -> str:
    sides = []
    for side, column in zip(config.describe_sides(), columns, strict=True):
        example = excerpt(shorten(first[column], 60)) if column < len(first) else ""
        sides.append(f"{side} is column {column + 1}, {example!r}" + (" in the header" if has_header else ""))
    return ", ".join(sides)


def _lines(path: str) -> Iterator[str]:
    return (line.text + line.end for line in read_ended_lines(path))


def _sample(path: str) -> tuple[list[str], bool]:
    """The first lines of a file with their line ends; and True if that is the whole file."""
    sample, size = [], 0
    for line in _lines(path):
        sample.append(line)
        size += len(line)
        if size > _SAMPLE_CHARACTERS:
            return sample, False
    return sample, True
