"""Translation of documents that keeps their markup and layout.

Each format is a class that parses a file's bytes, offers its texts as segments, and writes the file with their
translations (document.Document), with lines in the tables FORMS and ENDINGS. Libraries are imported when a document is
read.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from translate.documents.document import Document, DocumentOptions, Form, read_bytes
from translate.documents.plain_text import is_wrapped
from translate.text import STANDARD, Source, is_complete, open_bytes

# format -> module and class
FORMS: dict[Form, tuple[str, str]] = {
    Form.csv: ("csv_table", "TableDocument"),
    Form.docx: ("word", "WordDocument"),
    Form.html: ("web_page", "WebPage"),
    Form.po: ("messages", "CatalogueDocument"),
    Form.srt: ("subtitles", "SubtitleDocument"),
    Form.tmx: ("tmx", "TmxDocument"),
    Form.txt: ("plain_text", "TextDocument"),
    Form.xliff: ("xliff", "XliffDocument"),
}
ENDINGS: dict[str, Form] = {
    ".csv": Form.csv,
    ".docx": Form.docx,
    ".htm": Form.html,
    ".html": Form.html,
    ".po": Form.po,
    ".pot": Form.po,
    ".srt": Form.srt,
    ".tmx": Form.tmx,
    ".txt": Form.txt,
    ".xhtml": Form.html,
    ".xlf": Form.xliff,
    ".xliff": Form.xliff,
}
_COMPRESSED = {".gz", ".xz", ".bz2", ".zip"}
_SAMPLE = 1 << 16  # bytes of a text file that decide whether it is hard-wrapped


def find_form(path: str, requested: Form) -> Form:
    """The format of an input: as requested, or by its file name extension; Form.none to translate lines.

    A .txt file is a document if it is hard-wrapped (plain_text.is_wrapped).
    """
    if requested is not Form.auto:
        return requested
    name = Path(path)
    ending = Path(name.stem).suffix if name.suffix in _COMPRESSED else name.suffix
    form = ENDINGS.get(ending.lower(), Form.none)
    if path == STANDARD or form is Form.none or not is_complete(path):
        return Form.none
    if form is Form.txt:
        with open_bytes(path) as stream:
            sample = stream.read(_SAMPLE)
        # ignore: the last character may be incomplete
        return form if is_wrapped(sample.decode("utf-8", "ignore")) else Form.none
    return form


def read_document(source: Source, form: Form, options: DocumentOptions) -> Document:
    """Read a document. Raises UserError if it is damaged, too large or of another format."""
    module, name = FORMS[form]
    read: Callable[[bytes, DocumentOptions], Document] = getattr(import_module(f"{__name__}.{module}"), name)
    return read(read_bytes(source, is_archive=form is Form.docx), options)
