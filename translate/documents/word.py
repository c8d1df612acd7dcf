"""DOCX: paragraphs of a Word document, including tables, headers, footers, notes, comments and text boxes.

All other parts of the file are copied unchanged: styles, pictures, links, and macros, which are never run.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence

from translate.documents.document import DocumentOptions
from translate.documents.inline import Segment
from translate.documents.xml_tree import Element, as_xml_text, lxml_etree, name_of_tag, parse_xml, write_xml
from translate.errors import UserError, excerpt

_PARTS = re.compile(r"word/(?:document|header|footer|footnotes|endnotes|comments|glossary/document)\d*\.xml")
_NAMESPACE = re.compile(r"\{[^}]*/wordprocessingml/(?:2006/)?main\}")
_MAX_PARTS = 20_000
_BREAKS = {"tab", "br", "cr", "ptab"}  # separate segments within a run
_HYPHENS = {"noBreakHyphen": "-", "softHyphen": ""}  # elements within a word -> their text
# text that was deleted or moved elsewhere, and ruby text
_NOT_READ = {"del", "moveFrom", "rt"}
# fields whose results are text of the author; Word computes all others anew
_TEXT_FIELDS = {"HYPERLINK", "TOC", "INDEX", "QUOTE", "FORMTEXT"}
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"


class WordDocument:
    """A segment for each paragraph, or part of one between tabs and line breaks; its pieces are runs."""

    target_language = ""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        self._files = _read_zip(content, options.name, options.max_bytes)
        self._trees = {
            info.filename: (part, parse_xml(part, f"{options.name}, {info.filename}"))
            for info, part in self._files
            if _PARTS.fullmatch(info.filename)
        }
        if not any(name.startswith("word/document") for name in self._trees):
            raise UserError(f"{options.name}: not a DOCX, since it has no word/document.xml; save it as DOCX")
        self._texts: list[list[list[Element]]] = []  # of each segment and piece
        self.segments: list[Segment] = []
        for _, tree in self._trees.values():
            for paragraph in tree.iter("{*}p"):
                if _is_word(paragraph):
                    results = _field_results(paragraph)
                    for pieces in _segments(paragraph, results):
                        texts = tuple("".join(map(_text, elements)) for elements in pieces)
                        kept = frozenset(n for n, elements in enumerate(pieces) if elements[0] in results)
                        self._texts.append(pieces)
                        self.segments.append(Segment(texts, kept))

    def write(self, translations: Sequence[list[str]]) -> bytes:
        for pieces, segment, texts in zip(self._texts, self.segments, translations, strict=True):
            for elements, before, text in zip(pieces, segment.pieces, texts, strict=True):
                if text != before:
                    _replace(elements, as_xml_text(text))
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w") as archive:
            for info, part in self._files:
                if info.filename in self._trees:
                    part = write_xml(self._trees[info.filename][1], part)
                archive.writestr(info, part, compress_type=info.compress_type)
        return output.getvalue()


def _read_zip(content: bytes, name: str, max_bytes: int) -> list[tuple[zipfile.ZipInfo, bytes]]:
    """All files of an archive, in order. Raises UserError for a damaged or encrypted archive, or a zip bomb."""
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise UserError(f"{name}: encrypted, or a DOC of before 2007; save it as DOCX without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if len({info.filename for info in infos}) < len(infos):
                raise UserError(f"{name}: a damaged DOCX: two of its files have one name")
            # zipfile never reads more of a member than its declared size
            if len(infos) > _MAX_PARTS or sum(info.file_size for info in infos) > max_bytes:
                raise UserError(f"{name}: more than {max_bytes:,} bytes or {_MAX_PARTS:,} files when decompressed")
            return [(info, archive.read(info)) for info in infos]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name}: not a DOCX, or a damaged one: {excerpt(error)}") from None


def _segments(paragraph: Element, results: set[Element]) -> Iterator[list[list[Element]]]:
    """The texts of each segment of a paragraph, grouped into pieces: adjacent runs of equal format are one.

    results  texts of fields, which are separate pieces
    """
    pieces: list[list[Element]] = []
    for element in _texts_and_breaks(paragraph):
        if name_of_tag(element) in _BREAKS:
            if pieces:
                yield pieces
            pieces = []
        elif name_of_tag(element) == "t" and not element.text:
            continue
        elif pieces and (element in results) == (pieces[-1][-1] in results) and _continues(pieces[-1][-1], element):
            pieces[-1].append(element)
        elif name_of_tag(element) == "t":  # a hyphen has a word in front of it
            pieces.append([element])
    if pieces:
        yield pieces


def _text(element: Element) -> str:
    return _HYPHENS.get(name_of_tag(element), element.text or "")


def _replace(elements: list[Element], text: str) -> None:
    """Write a text into the first of these elements, and empty the others."""
    for element in elements[1:]:
        if name_of_tag(element) in _HYPHENS:
            element.getparent().remove(element)
        else:
            element.text = ""
    elements[0].text = text
    elements[0].set(_SPACE, "preserve")


def _field_results(paragraph: Element) -> set[Element]:
    """Texts in a paragraph that are results of fields: page numbers, references, dates, mail-merge data."""
    results: set[Element] = set()
    fields: list[list[str]] = []  # open ones: the instruction, then "separate"
    for element in paragraph.iter():
        name = name_of_tag(element)
        if name == "fldSimple" and _is_computed(_attribute(element, "instr")):
            results.update(element.iter("{*}t"))
        elif name == "instrText" and fields:
            fields[-1][0] += element.text or ""
        elif name == "fldChar":
            kind = _attribute(element, "fldCharType")
            if kind == "begin":
                fields.append([""])
            elif fields and kind == "separate":
                fields[-1].append(kind)
            elif fields and kind == "end":
                fields.pop()
        elif name == "t" and any(len(field) > 1 and _is_computed(field[0]) for field in fields):
            results.add(element)
    return results


def _is_computed(instruction: str) -> bool:
    words = instruction.split()
    return bool(words) and words[0].upper() not in _TEXT_FIELDS


def _attribute(element: Element, name: str) -> str:
    return next((str(value) for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def _texts_and_breaks(paragraph: Element) -> Iterator[Element]:
    """Texts and breaks of a paragraph's runs, in order, except for paragraphs in its text boxes."""
    # a stack instead of recursion: elements may be nested deeper than Python's recursion limit
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        name = name_of_tag(element)
        if not name or name == "p" or name.endswith("Pr"):  # *Pr are properties, which include tab stops
            continue
        if name in _NOT_READ and _is_word(element):
            continue
        if name == "t" or name in _BREAKS or name in _HYPHENS:
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
