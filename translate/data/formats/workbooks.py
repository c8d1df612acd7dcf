"""Excel workbooks (.xlsx), read row by row."""

from __future__ import annotations

import logging
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from translate.data.corpus import CorpusConfig
from translate.data.formats.preambles import Cells
from translate.data.formats.rows import Row, log_once, matching_files, mostly_pairs
from translate.data.formats.tables import header_of, table_pairs
from translate.errors import UserError, excerpt
from translate.opening import MAX_RATIO, MAX_SMALL_FILE, naming_errors

_MAX_BYTES = 1 << 30  # unpacked; the shared strings of a workbook are kept in memory
_DECLARATION_BYTES = 1 << 12
_SAMPLE_ROWS = 200
# raised by zipfile, the XML parser and openpyxl for damaged files
_DAMAGE_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, SyntaxError),
    *(ValueError, LookupError, TypeError, AttributeError, ArithmeticError),
)


def read_xlsx(config: CorpusConfig) -> Iterator[Row]:
    """Two columns of the first visible sheet that has two."""
    for path in matching_files(config):
        yield from mostly_pairs(table_pairs(_cells(path), config, path, "an Excel workbook"))


def workbook_columns(path: str) -> list[str]:
    """Names of the columns in the header of a workbook; empty without a header."""
    return header_of(_cells(path))


def _cells(path: str) -> Iterator[Cells]:
    """The rows of one sheet, with their numbers; numbers and dates as text."""
    import openpyxl

    # opened here: openpyxl refuses names without .xlsx
    with naming_errors(path), open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                _require_plausible_size(archive, path)
                _require_no_document_type(archive, path)
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            for sheet in workbook.worksheets:
                sheet.reset_dimensions()  # those in the file may be wrong
            if sheet := _sheet_of_pairs(workbook, path):
                yield from _rows(sheet)
        except UserError:
            raise
        except _DAMAGE_ERRORS as error:
            reason = f"{type(error).__name__}: {excerpt(error)}"
            raise UserError(f"{path}: cannot be read as an Excel workbook: {reason}") from None


def _sheet_of_pairs(workbook: Any, path: str) -> Any:
    """The first sheet with two columns, not a hidden one if others are visible; None if there are no sheets."""
    visible = [sheet for sheet in workbook.worksheets if sheet.sheet_state == "visible"] or workbook.worksheets
    tables = [sheet for sheet in visible if _has_two_columns(sheet)] or visible
    if unread := tables[1:]:
        listing = excerpt(", ".join(sheet.title for sheet in unread))
        message = (
            f"{path}: only the sheet {excerpt(tables[0].title)} is read, not {listing}; save these as CSV to add them"
        )
        log_once(message, level=logging.WARNING)
    return tables[0] if tables else None


def _has_two_columns(sheet: Any) -> bool:
    rows = islice(_rows(sheet), _SAMPLE_ROWS)
    return any(sum(map(bool, map(str.strip, row.cells))) > 1 for row in rows)


def _rows(sheet: Any) -> Iterator[Cells]:
    """The rows of a sheet up to the last one with text: rows with a format alone may follow."""
    last = 0
    for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
        if texts := _texts(values):
            yield from (Cells(blank, []) for blank in range(last + 1, number))
            yield Cells(number, texts)
            last = number


def _texts(values: tuple[Any, ...]) -> list[str]:
    from openpyxl.utils.escape import unescape

    # Excel writes a carriage return as _x000D_
    texts = ["" if value is None else unescape(str(value)) for value in values]
    while texts and not texts[-1]:  # cells with a format and without content
        texts.pop()
    return texts


def _require_plausible_size(archive: zipfile.ZipFile, path: str) -> None:
    """Raise UserError for a workbook that is too large, or far larger than its compressed size."""
    infos = archive.infolist()
    size, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
    if size > _MAX_BYTES or size > max(MAX_RATIO * packed, MAX_SMALL_FILE):
        raise UserError(f"{path}: unpacked, it is {size:,} bytes; save its sheet as CSV")


def _require_no_document_type(archive: zipfile.ZipFile, path: str) -> None:
    """Raise UserError for XML with a document type, which could declare entities."""
    for info in archive.infolist():
        if not info.filename.endswith((".xml", ".rels")):
            continue
        with archive.open(info) as member:
            if b"<!DOCTYPE" in member.read(_DECLARATION_BYTES):
                raise UserError(f"{path}: {excerpt(info.filename)} declares a document type, which workbooks never do")
