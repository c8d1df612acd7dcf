"""DOCX: paragraphs of a Word document, including tables, headers, footers, notes, comments and text boxes.

All other parts of the file are copied unchanged: styles, pictures, links, and macros, which are never run.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence

from translate.documents.document import MAX_BYTES, DocumentOptions
from translate.documents.inline import Segment
from translate.documents.xml_tree import Element, as_xml_text, lxml_etree, name_of_tag, parse_xml, write_xml
from translate.errors import UserError, excerpt

_PARTS = re.compile(r"word/(?:document|header|footer|footnotes|endnotes|comments|glossary/document)\d*\.xml")
_NAMESPACE = re.compile(r"\{[^}]*/wordprocessingml/(?:2006/)?main\}")
_MAX_PARTS = 20_000
_BREAKS = {"tab", "br", "cr", "ptab"}  # separate segments within a run
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"


class WordDocument:
    """A segment for each paragraph, or part of one between tabs and line breaks; its pieces are runs."""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        self._files = _read_zip(content, options.name)
        self._trees = {
            info.filename: (part, parse_xml(part, f"{options.name}, {info.filename}"))
            for info, part in self._files
            if _PARTS.fullmatch(info.filename)
        }
        if not any(name.startswith("word/document") for name in self._trees):
            raise UserError(f"{options.name}: not a DOCX, since it has no word/document.xml; save it as DOCX")
        self._texts: list[list[list[Element]]] = []  # of each segment and piece
        for _, tree in self._trees.values():
            for paragraph in tree.iter("{*}p"):
                if _is_word(paragraph):
                    self._texts += _segments(paragraph)
        self.segments: list[Segment] = [
            Segment(tuple("".join(each.text for each in texts) for texts in pieces)) for pieces in self._texts
        ]

    def write(self, translations: Sequence[list[str]]) -> bytes:
        for pieces, texts in zip(self._texts, translations, strict=True):
            for elements, text in zip(pieces, texts, strict=True):
                for element in elements:
                    element.text = ""
                elements[0].text = as_xml_text(text)
                elements[0].set(_SPACE, "preserve")
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w") as archive:
            for info, part in self._files:
                if info.filename in self._trees:
                    part = write_xml(self._trees[info.filename][1], part)
                archive.writestr(info, part, compress_type=info.compress_type)
        return output.getvalue()


def _read_zip(content: bytes, name: str) -> list[tuple[zipfile.ZipInfo, bytes]]:
    """All files of an archive, in order. Raises UserError for a damaged or encrypted archive, or a zip bomb."""
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise UserError(f"{name}: encrypted, or a DOC of before 2007; save it as DOCX without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            # zipfile never reads more of a member than its declared size
            if len(infos) > _MAX_PARTS or sum(info.file_size for info in infos) > MAX_BYTES:
                raise UserError(f"{name}: more than {MAX_BYTES:,} bytes or {_MAX_PARTS:,} files when decompressed")
            return [(info, archive.read(info)) for info in infos]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name}: not a DOCX, or a damaged one: {excerpt(error)}") from None


def _segments(paragraph: Element) -> Iterator[list[list[Element]]]:
    """The w:t elements of each segment of a paragraph, grouped into pieces: adjacent runs of equal format are one."""
    pieces: list[list[Element]] = []
    for element in _texts_and_breaks(paragraph):
        if name_of_tag(element) != "t":
            if pieces:
                yield pieces
            pieces = []
        elif element.text and pieces and _continues(pieces[-1][-1], element):
            pieces[-1].append(element)
        elif element.text:
            pieces.append([element])
    if pieces:
        yield pieces


def _texts_and_breaks(paragraph: Element) -> Iterator[Element]:
    """Texts and breaks of a paragraph's runs, in order, except for paragraphs in its text boxes."""
    # a stack instead of recursion: elements may be nested deeper than Python's recursion limit
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        name = name_of_tag(element)
        if not name or name == "p" or name.endswith("Pr"):  # *Pr are properties, which include tab stops
            continue
        if name == "t" or name in _BREAKS:
            if _is_word(element):
                yield element
            continue
        stack += reversed(element)


def _continues(before: Element, text: Element) -> bool:
    """True if Word has split a text without a change of format, as it does to record revisions."""
    run, next_run = before.getparent(), text.getparent()
    if run is next_run:
        return before.getnext() is text
    following = run.getnext()
    while following is not None and name_of_tag(following) in ("proofErr", "lastRenderedPageBreak"):
        following = following.getnext()
    is_last = before.getnext() is None
    is_first = all(name_of_tag(each) == "rPr" for each in text.itersiblings(preceding=True))
    return following is next_run and is_last and is_first and _format(run) == _format(next_run)


def _format(run: Element) -> bytes:
    found = [each for each in run if name_of_tag(each) == "rPr"]
    return b"".join(lxml_etree().tostring(each, with_tail=False) for each in found)


def _is_word(element: Element) -> bool:
    return _NAMESPACE.match(element.tag) is not None
