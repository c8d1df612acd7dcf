"""Layout of CSV and TSV files: delimiter, quotation and preamble, determined from the first lines of each file."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise

from translate.data.formats.preambles import Cells, Preamble, find_preamble
from translate.errors import UserError

SAMPLE_ROWS = 200  # that the layout and the columns of a table are determined from
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
        rows = islice(Layout(delimiter, is_quoted, skips_spaces=skips_spaces).rows(iter(sample)), SAMPLE_ROWS)
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


def describe_layout(layout: Layout, sample: Sequence[str]) -> str:
    """Description of a table's layout, for the log."""
    description = f"columns separated by {_DELIMITERS.get(layout.delimiter, layout.delimiter)}"
    description += ", HTML converted to text" if layout.preamble.is_html else ""
    if layout.is_quoted:
        hint = " (format=tsv keeps them)" if layout.delimiter == "\t" else ""
        return f"{description}, quotation marks around cells removed{hint}"
    return description + (", quotation marks kept as text" if any('"' in line for line in sample) else "")
