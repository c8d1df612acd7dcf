"""CSV: translate one column into another, which is filled or appended; all other cells keep their spelling."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from translate.data.formats.language_names import same_language
from translate.data.formats.table_layout import find_delimiter
from translate.documents.document import MAX_BYTES, DocumentOptions, decode
from translate.documents.inline import line_segments
from translate.errors import UserError, excerpt

_SAMPLE_LINES = 1000
_SOURCES = ("source", "src", "text", "sentence", "original")
_TARGETS = ("target", "tgt", "translation")
_NOTE = re.compile("sep=(.)\r?\n")  # declares the delimiter for Excel
_NEW_COLUMN = "translation"


class TableDocument:
    """Cells of the source column without a translation; with overwrite all cells.

    Columns are given by a name in the header, or by a number in a table without one.
    """

    target_language = ""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        text, self._encoding = decode(content, options.name)
        self._options = options
        noted = _NOTE.match(text)
        self._note = noted[0] if noted else ""
        text = text[len(self._note) :]
        self._delimiter = noted[1] if noted else _find_delimiter(text)
        self._rows = [_Row(*pair) for pair in _read_rows(text, self._delimiter, options.name)]
        if not self._rows:
            raise UserError(f"{options.name}: the table has no rows")
        self._header = [cell.strip() for cell in self._rows[0].cells]
        self._has_header = not options.source_column.isdecimal()
        self._source = self._find_source()
        self._target = self._find_target()
        if self._target == self._source and not options.overwrite:
            raise self._error(
                "target_column", "texts and translations in one column (overwrite=true replaces the texts)"
            )
        first = int(self._has_header)
        self._selected = [index for index, row in enumerate(self._rows) if index >= first and self._is_selected(row)]
        self._lines = [line_segments(self._rows[index].cells[self._source]) for index in self._selected]
        self.segments = [line for lines in self._lines for line in lines]

    def _find_source(self) -> int:
        """Index of the source column. Raises UserError if the header does not determine it."""
        wanted = self._options.source_column
        if wanted.isdecimal():
            return self._numbered("source_column", wanted)
        found = self._named(wanted, _SOURCES, self._options.source_language)
        if not found and not wanted and len(self._header) == 1:
            self._has_header = False
            return 0
        if len(found) == 1:
            return found[0]
        count = "several columns" if found else "no column"
        raise self._error("source_column", f"{count} {excerpt(wanted)!r}" if wanted else f"{count} named like a source")

    def _find_target(self) -> int | None:
        """Index of the column for translations; None: a new column is appended."""
        wanted = self._options.target_column
        if wanted.isdecimal():
            return self._numbered("target_column", wanted)
        found = self._named(wanted, _TARGETS, self._options.target_language) if self._has_header else []
        others = [index for index in found if index != self._source]
        return next(iter(others or (found if wanted else [])), None)

    def _named(self, wanted: str, usual: tuple[str, ...], language: str) -> list[int]:
        """Indices of the columns with this name; for "", with a usual name or the name of the language."""
        names = [name.lower() for name in self._header]
        if wanted:
            return [index for index, name in enumerate(names) if name == wanted.lower()]
        return [index for index, name in enumerate(names) if name in usual or same_language(name, language)]

    def _numbered(self, option: str, number: str) -> int:
        if not 1 <= int(number[:9]) <= len(self._header):
            raise self._error(option, f"no column {excerpt(number)}")
        return int(number) - 1

    def _error(self, option: str, problem: str) -> UserError:
        columns = excerpt(", ".join(self._header))
        return UserError(
            f"{self._options.name}: {problem}; its columns are {columns}: set {option}=NAME, or {option}=NUMBER for a "
            "table without a header"
        )

    def _is_selected(self, row: _Row) -> bool:
        """True for a row with a source cell and a translation to fill in, also if it ends before that column."""
        if len(row.cells) <= self._source or not row.cells[self._source].strip():
            return False
        if self._target is None or self._options.overwrite:
            return True
        return not "".join(row.cells[self._target : self._target + 1]).strip()

    def write(self, translations: Sequence[list[str]]) -> bytes:
        pieces = iter(translations)
        texts = {
            index: "".join(next(pieces)[0] for _ in lines)
            for index, lines in zip(self._selected, self._lines, strict=True)
        }
        if self._has_header and self._target is None:
            texts[0] = self._options.target_column or _NEW_COLUMN
        rows = (self._written(row, texts.get(n)) for n, row in enumerate(self._rows))
        return self._encoding.encode("".join([self._note, *rows]))

    def _written(self, row: _Row, text: str | None) -> str:
        """A row with its translation; text=None leaves it unchanged, or appends an empty cell for a new column."""
        if not "".join(row.cells).strip() or (self._target is not None and text is None):
            return row.raw
        cell = self._quoted(text or "", row)
        index = len(self._header) if self._target is None else self._target
        if len(row.cells) <= index:  # a row may be cut short
            return row.body + self._delimiter * (index - len(row.cells) + 1) + cell + row.end
        cells = row.raw_cells(self._delimiter)
        cells[index : index + (self._target is not None)] = [cell]
        return self._delimiter.join(cells) + row.end

    def _quoted(self, text: str, row: _Row) -> str:
        """A cell, quoted if the row's source cell is quoted, or if necessary."""
        cells = row.raw_cells(self._delimiter)
        is_source_quoted = len(row.cells) > self._source and cells[self._source].startswith('"')
        if is_source_quoted or any(character in text for character in f'{self._delimiter}"\r\n'):
            return '"' + text.replace('"', '""') + '"'
        return text


class _Row:
    """Cells of a row, and its text (body) and line end as written."""

    def __init__(self, raw: str, cells: list[str]) -> None:
        self.raw, self.cells = raw, cells
        self.body = raw.rstrip("\r\n") if cells else raw
        self.end = raw[len(self.body) :]

    def raw_cells(self, delimiter: str) -> list[str]:
        """The cells as written, with their quotation marks."""
        d = re.escape(delimiter)
        found = re.findall(rf'(?:^|{d})("(?:[^"]|"")*+"[^{d}]*|[^{d}]*)', self.body)
        if len(found) == len(self.cells):
            return found
        output = io.StringIO()  # unusual quotation: write the row anew
        csv.writer(output, delimiter=delimiter, lineterminator="").writerow(self.cells)
        return re.findall(rf'(?:^|{d})("(?:[^"]|"")*+"|[^{d}]*)', output.getvalue())


def _read_rows(text: str, delimiter: str, name: str) -> Iterator[tuple[str, list[str]]]:
    """Text and cells of each row. Raises UserError for invalid CSV."""
    consumed: list[str] = []

    def lines() -> Iterator[str]:
        # newline="": a cell may hold a line break
        for line in io.StringIO(text, newline=""):
            consumed.append(line)
            yield line

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(MAX_BYTES)
    try:
        for cells in reader:
            yield "".join(consumed), cells
            consumed.clear()
    except csv.Error as error:
        raise UserError(f"{name}, line {reader.line_num}: not a CSV table: {excerpt(error)}") from None
    finally:
        csv.field_size_limit(limit)


def _find_delimiter(text: str) -> str:
    """Delimiter of the table; a comma if it has one column."""
    found = find_delimiter(list(islice(io.StringIO(text, newline=""), _SAMPLE_LINES)))
    return found if len(found) == 1 else ","
