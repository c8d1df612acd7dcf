"""CSV: a column is translated into another one, which is added or filled; all other cells stay as they are written."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from translate.documents.document import MAX_BYTES, DocumentOptions, base_language, decode
from translate.documents.inline import line_segments
from translate.errors import UserError, excerpt

_DELIMITERS = ",;\t|"
_SOURCES = ("source", "src", "text", "sentence", "original")
_TARGETS = ("target", "tgt", "translation")
_ADDED = "translation"  # the name of a column that is added


class TableDocument:
    """Cells of the source column whose translation is missing; with overwrite all of them.

    A column is named by the header, or by its number in a table without one.
    """

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        text, self._encoding = decode(content, options.name)
        self._options = options
        self._delimiter = _find_delimiter(text)
        self._rows = [_Row(*pair) for pair in _read_rows(text, self._delimiter, options.name)]
        if not self._rows:
            raise UserError(f"{options.name}: the table has no rows")
        self._header = [cell.strip() for cell in self._rows[0].cells]
        self._has_header = not options.source_column.isdecimal()
        self._source = self._find(options.source_column, self._source_names(), "source_column")
        self._target = self._find_target()
        first = int(self._has_header)
        self._asked = [index for index, row in enumerate(self._rows) if index >= first and self._is_asked(row)]
        self._lines = [line_segments(self._rows[index].cells[self._source]) for index in self._asked]
        self.segments = [line for lines in self._lines for line in lines]

    def _source_names(self) -> tuple[str, ...]:
        return (*_SOURCES, *filter(None, (self._options.source_language, base_language(self._options.source_language))))

    def _find(self, wanted: str, names: tuple[str, ...], option: str) -> int:
        """Index of a column, by its name, its number or a usual name. Raises UserError where there is none."""
        header = [name.lower() for name in self._header]
        if wanted.isdecimal():
            if 1 <= int(wanted[:9]) <= len(header):
                return int(wanted) - 1
            found = []
        else:
            found = [
                index for index, name in enumerate(header) if name == wanted.lower() or (not wanted and name in names)
            ]
        if not wanted and len(header) == 1:
            return 0
        if len(found) != 1:
            what = (
                f"no column {excerpt(wanted)!r}" if wanted else "no column or several with the usual name of a source"
            )
            raise UserError(
                f"{self._options.name}: {what}; its columns are {excerpt(', '.join(self._header))}: set "
                f"{option}=NAME, or {option}=NUMBER for a table without a header"
            )
        return found[0]

    def _find_target(self) -> int | None:
        """Index of the translations' column; None: it is added."""
        header = [name.lower() for name in self._header]
        wanted, language = self._options.target_column.lower(), self._options.target_language
        if wanted.isdecimal():
            return self._find(wanted, (), "target_column")
        if not self._has_header:
            return None
        names = (wanted,) if wanted else (*_TARGETS, *filter(None, (language.lower(), base_language(language))))
        found = [index for index, name in enumerate(header) if name in names and index != self._source]
        return found[0] if found else None

    def _is_asked(self, row: _Row) -> bool:
        """True for a row with a source and room for its translation; False for blank lines and those cut short."""
        if len(row.cells) <= self._source or (self._target is not None and len(row.cells) <= self._target):
            return False
        return self._target is None or self._options.overwrite or not row.cells[self._target].strip()

    def write(self, translations: Sequence[list[str]]) -> bytes:
        pieces = iter(translations)
        texts = {
            index: "".join(next(pieces)[0] for _ in lines)
            for index, lines in zip(self._asked, self._lines, strict=True)
        }
        if self._has_header and self._target is None:
            texts[0] = self._options.target_column or _ADDED
        return self._encoding.encode("".join(self._written(row, texts.get(n)) for n, row in enumerate(self._rows)))

    def _written(self, row: _Row, text: str | None) -> str:
        """A row with a translation; without one as it is, or with an empty cell in a column that is added."""
        if not row.cells or (self._target is not None and text is None):
            return row.raw
        cell = self._quoted(text or "", row)
        if self._target is None:
            return f"{row.body}{self._delimiter}{cell}{row.end}"
        cells = row.raw_cells(self._delimiter)
        cells[self._target] = cell
        return self._delimiter.join(cells) + row.end

    def _quoted(self, text: str, row: _Row) -> str:
        """A cell, in quotation marks if the row's source is, or if it has to be."""
        is_source_quoted = len(row.cells) > self._source and row.raw_cells(self._delimiter)[self._source].startswith(
            '"'
        )
        if is_source_quoted or any(character in text for character in f'{self._delimiter}"\r\n'):
            return '"' + text.replace('"', '""') + '"'
        return text


class _Row:
    """A row's cells, and its text with the end of its line."""

    def __init__(self, raw: str, cells: list[str]) -> None:
        self.raw, self.cells = raw, cells
        self.body = raw.rstrip("\r\n") if cells else raw
        self.end = raw[len(self.body) :]

    def raw_cells(self, delimiter: str) -> list[str]:
        """The cells as they are written, with their quotation marks."""
        d = re.escape(delimiter)
        found = re.findall(rf'(?:^|{d})("(?:[^"]|"")*+"[^{d}]*|[^{d}]*)', self.body)
        if len(found) == len(self.cells):
            return found
        output = io.StringIO()  # quoted in an unusual way
        csv.writer(output, delimiter=delimiter, lineterminator="").writerow(self.cells)
        return re.findall(rf'(?:^|{d})("(?:[^"]|"")*+"|[^{d}]*)', output.getvalue())


def _read_rows(text: str, delimiter: str, name: str) -> Iterator[tuple[str, list[str]]]:
    """The text and the cells of each row."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        # newline="": a cell may hold a line break
        for line in io.StringIO(text, newline=""):
            taken.append(line)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(MAX_BYTES)
    try:
        for cells in reader:
            yield "".join(taken), cells
            taken.clear()
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num}: not a CSV table: {excerpt(error)}") from None
    finally:
        csv.field_size_limit(limit)


def _find_delimiter(text: str) -> str:
    """The character that divides the first rows into the most columns, equally many in each."""

    def columns(delimiter: str) -> int:
        try:
            rows = list(islice(csv.reader(io.StringIO(text[:100_000]), delimiter=delimiter), 20))
        except csv.Error:
            return 0
        counts = {len(row) for row in rows if row}
        return counts.pop() if len(counts) == 1 else 0

    return max(_DELIMITERS, key=columns)
