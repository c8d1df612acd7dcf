"""CSV and TSV files, and the pairs in rows of any table.

Delimiter, quotation, header and columns are determined from the beginning of each file, and logged; csv.reader parses
quoted cells.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, pairwise

from translate.data.corpus import CorpusConfig, CorpusFormat
from translate.data.formats.columns import are_names, find_columns
from translate.data.formats.preambles import Cells, Preamble, find_preamble
from translate.data.formats.rows import BLANK_LINE, Row, as_line, log_once, matching_files, mostly_pairs
from translate.errors import UserError, excerpt, shorten
from translate.text import read_ended_lines

_SAMPLE_CHARACTERS, _SAMPLE_ROWS = 1 << 23, 200
_DELIMITERS = {"\t": "TAB", " ||| ": "|||", ";": "semicolon", ",": "comma", "|": "|"}
# share of the first rows that must have the same number of columns, at least two; commas also occur in text
_LEAST_SHARES = {"\t": 0.5, " ||| ": 0.5, ";": 0.7, ",": 0.7, "|": 0.7}


@dataclass(frozen=True)
class Layout:
    """The delimiter of a table, and what is removed with it.

    is_quoted     quotation marks around cells
    has_crlf      CR at the ends of lines
    skips_spaces  spaces before cells and their quotation marks
    preamble      lines in front
    """

    delimiter: str
    is_quoted: bool
    has_crlf: bool = False
    skips_spaces: bool = False
    preamble: Preamble = field(default_factory=Preamble)

    def rows(self, lines: Iterator[str]) -> Iterator[Cells]:
        """The rows of a table, given its lines with their ends."""
        lines = islice(lines, self.preamble.num_lines, None)
        rows = self._quoted_rows(lines) if self.is_quoted else self._plain_rows(lines)
        return self.preamble.complete(rows) if self.preamble.num_lines else rows

    def _plain_rows(self, lines: Iterator[str]) -> Iterator[Cells]:
        for number, line in enumerate(lines, start=1):
            text = line.removesuffix("\r\n" if self.has_crlf else "\n")
            yield Cells(number, text.split(self.delimiter) if text.strip() else [])

    def _quoted_rows(self, lines: Iterator[str]) -> Iterator[Cells]:
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True, skipinitialspace=self.skips_spaces)
        while True:
            first = reader.line_num + 1
            try:
                yield Cells(first, next(reader))
            except StopIteration:
                return
            except csv.Error as error:
                # the reader continues after the lines that it has consumed
                until = f" until line {reader.line_num}" if reader.line_num > first else ""
                yield Cells(first, [], f"unbalanced quotation marks, or a very long cell{until} ({error})")


def read_table(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of CSV or TSV files, whose delimiter and quotation are determined from their content."""
    for path in matching_files(config):
        sample, is_whole = _sample(path)
        layout = find_layout(sample, path, is_whole=is_whole)
        width = _width(list(islice(layout.rows(iter(sample)), _SAMPLE_ROWS)))
        rows = layout.rows(_lines(path))
        yield from mostly_pairs(pairs(rows, config, path, describe(layout, sample), width=width))


def read_tsv(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of TSV files without quotation or escapes."""
    for path in matching_files(config):
        rows = Layout("\t", is_quoted=False).rows(_lines(path))
        yield from mostly_pairs(pairs(rows, config, path, "columns separated by TAB, without quotation"))


def table_columns(path: str) -> list[str]:
    """Names of the columns in the header of a CSV or TSV; empty without a header."""
    sample, is_whole = _sample(path)
    return header_of(find_layout(sample, path, is_whole=is_whole).rows(iter(sample)))


def tsv_columns(path: str) -> list[str]:
    """Names of the columns in the header of an unquoted TSV; empty without a header."""
    return header_of(Layout("\t", is_quoted=False).rows(_lines(path)))


def header_of(table: Iterator[Cells]) -> list[str]:
    """Names of columns in the first row of a table; none if it is no header."""
    named, below = _header_candidate(list(islice(table, _SAMPLE_ROWS)))
    return [name.strip() for name in named.cells] if named.is_header or are_names(named.cells, below) else []


def _header_candidate(head: Sequence[Cells]) -> tuple[Cells, list[list[str]]]:
    """The row that may be the header, and the cells of those below, which help to tell.

    It is the first with two cells that are not blank: a title above has one. Below it, only names make a header.
    """
    rows = [row for row in head if row.cells] or [Cells(1, [])]
    index = next((index for index, row in enumerate(rows) if sum(map(bool, map(str.strip, row.cells))) > 1), 0)
    return rows[index], [] if index else [row.cells for row in rows[1:]]


def pairs(
    table: Iterator[Cells], config: CorpusConfig, path: str, description: str, *, width: int | None = None
) -> Iterator[Row]:
    """The pairs in two columns of a table, without its header.

    description  of the table's layout, for the log
    width        maximal number of columns; a longer row has a problem. None: no limit
    """
    head = list(islice(table, _SAMPLE_ROWS))
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


def find_layout(sample: Sequence[str], path: str, *, is_whole: bool) -> Layout:
    """Delimiter and quotation of a table.

    sample    its first lines, with their line ends
    is_whole  the sample is the whole table

    Raises UserError if most lines share no delimiter.
    """
    preamble = find_preamble(sample)
    sample = sample[preamble.num_lines :]
    delimiter = preamble.delimiter or find_delimiter(sample) or find_delimiter(sample, skips_spaces=True)
    if not delimiter and len(sample) == 1 and "\r" in sample[0].rstrip("\r\n"):
        raise UserError(f"{path}: its lines end in CR alone, not in \\n; convert it first: tr '\\r' '\\n'")
    if not delimiter:
        raise UserError(
            f"{path}: lines of text without columns (most lines share no TAB, semicolon or comma); if this is one side "
            "of a parallel text, name both files with source= and target= instead of path="
        )
    is_quoted = len(delimiter) == 1
    if delimiter == "\t" and not preamble.is_quoted:
        is_quoted = _has_quotation(sample, is_whole=is_whole)
    return Layout(
        delimiter,
        is_quoted,
        has_crlf=all(line.endswith("\r\n") for line in sample if line.endswith("\n")),
        # "a", "b": otherwise the second cell begins with a space, and ends at a comma inside of it
        skips_spaces=_share_of_usual_width(sample, delimiter, skips_spaces=True)
        > _share_of_usual_width(sample, delimiter),
        preamble=preamble,
    )


def find_delimiter(sample: Sequence[str], *, skips_spaces: bool = False) -> str:
    """The first delimiter that divides most of the lines (with their ends) into one number of columns; "": none.

    skips_spaces  also where spaces are between a delimiter and a quotation mark
    """
    shares = ((delimiter, _share_of_usual_width(sample, delimiter, skips_spaces)) for delimiter in _DELIMITERS)
    return next((delimiter for delimiter, share in shares if share >= _LEAST_SHARES[delimiter]), "")


def _share_of_usual_width(sample: Sequence[str], delimiter: str, skips_spaces: bool = False) -> float:
    shares = [0.0]
    # in text that no program has written as a table, quotation marks may be anywhere, and TABs divide it all the same
    for is_quoted in (True, False) if delimiter == "\t" else (len(delimiter) == 1,):
        rows = islice(Layout(delimiter, is_quoted, skips_spaces=skips_spaces).rows(iter(sample)), _SAMPLE_ROWS)
        widths = [len(row.cells) for row in rows if row.cells or row.problem]
        usual, count = Counter(widths).most_common(1)[0] if widths else (0, 0)
        shares += [count / len(widths)] if usual > 1 else []
    return max(shares)


def _has_quotation(sample: Sequence[str], *, is_whole: bool) -> bool:
    """True if quotation marks around cells of a TSV were added by a program, and are not part of the text.

    Evidence for it: doubled marks, line breaks in cells, nearly all cells quoted, or exactly those with a comma. It
    must outnumber the evidence against it tenfold: marks inside unquoted cells, and rows that cannot be parsed.
    """
    rows = list(Layout("\t", is_quoted=True).rows(iter(sample)))
    if not is_whole:
        rows = rows[:-1]  # cut
    # marks that are text hold together cells that are none: a TAB is between them
    held = [cell for row in rows for cell in row.cells if "\n" in cell]
    whole = [cell for cell in held if "\t" not in cell]
    one_line = sample if len(whole) < len(held) else _lines_of_one_row(sample, rows)
    complete = [line.rstrip("\r\n").split("\t") for line in one_line if line.count('"') % 2 == 0]
    cells = [cell for row in complete for cell in row if cell]
    quoted = [cell for cell in cells if len(cell) > 1 and cell[0] == cell[-1] == '"']
    inside = sum('"' in cell.replace('""', "") for cell in cells) - len(quoted)
    against = inside + sum(bool(row.problem) for row in rows) + len(held) - len(whole)
    signs = sum('""' in cell[1:-1] for cell in quoted) + len(whole)
    if signs or against:
        return signs > 10 * against
    if not quoted:
        return False
    return len(quoted) >= 0.9 * len(cells) or all(("," in cell) == (cell[0] == '"') for cell in cells)


def _lines_of_one_row(sample: Sequence[str], rows: Sequence[Cells]) -> list[str]:
    """The lines that are a row each, given all rows and their first lines."""
    starts = [*(row.line for row in rows), len(sample) + 1]
    return [sample[start - 1] for start, following in pairwise(starts) if following - start == 1]


def describe(layout: Layout, sample: Sequence[str]) -> str:
    """Description of a table's layout, for the log."""
    description = f"columns separated by {_DELIMITERS.get(layout.delimiter, layout.delimiter)}"
    description += ", HTML converted to text" if layout.preamble.is_html else ""
    if layout.is_quoted:
        hint = " (format=tsv keeps them)" if layout.delimiter == "\t" else ""
        return f"{description}, quotation marks around cells removed{hint}"
    return description + (", quotation marks kept as text" if any('"' in line for line in sample) else "")


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
