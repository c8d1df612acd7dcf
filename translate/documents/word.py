"""DOCX: the paragraphs of a Word document, in tables, headers, footers, notes, comments and text boxes as well.

All other parts of the file are copied as they are: styles, pictures, links, and also macros, which nothing here runs.
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
_BREAKS = {"tab", "br", "cr", "ptab"}  # of a run: a text on both sides of one is two segments
_HYPHENS = {"noBreakHyphen": "-", "softHyphen": ""}  # of a run, within a word
# text that has been deleted or moved elsewhere, and the reading above a word
_NOT_READ = {"del", "moveFrom", "rt"}
# Word computes the results of fields again, but for those that have text of the author
_TEXT_FIELDS = {"HYPERLINK", "TOC", "INDEX", "QUOTE", "FORMTEXT"}
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"


class WordDocument:
    """One segment for each paragraph, or part of one between tabs and line breaks; its pieces are runs."""

    def __init__(self, content: bytes, options: DocumentOptions) -> None:
        self._files = _read_zip(content, options.name)
        self._trees = {
            info.filename: (part, parse_xml(part, f"{options.name}, {info.filename}"))
            for info, part in self._files
            if _PARTS.fullmatch(info.filename)
        }
        if not any(name.startswith("word/document") for name in self._trees):
            raise UserError(f"{options.name}: it has no word/document.xml, so it is no DOCX; save it as one")
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


def _read_zip(content: bytes, name: str) -> list[tuple[zipfile.ZipInfo, bytes]]:
    """All files of an archive, in order. Raises UserError for one that is damaged, encrypted or a zip bomb."""
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise UserError(f"{name}: encrypted, or a DOC of before 2007; save it as DOCX without a password")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            if len({info.filename for info in infos}) < len(infos):
                raise UserError(f"{name}: a damaged DOCX: two of its files have one name")
            # zipfile never reads more of a file than the archive says it has
            if len(infos) > _MAX_PARTS or sum(info.file_size for info in infos) > MAX_BYTES:
                raise UserError(f"{name}: more than {MAX_BYTES:,} bytes or {_MAX_PARTS:,} files when decompressed")
            return [(info, archive.read(info)) for info in infos]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{name}: not a DOCX, or a damaged one: {excerpt(error)}") from None


def _segments(paragraph: Element, results: set[Element]) -> Iterator[list[list[Element]]]:
    """The texts of each segment of a paragraph, grouped in pieces: neighbouring runs of equal format are one.

    results  texts of fields, which are in pieces of their own
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
    """Write a text into the first of these elements; the others become empty."""
    for element in elements[1:]:
        if name_of_tag(element) in _HYPHENS:
            element.getparent().remove(element)
        else:
            element.text = ""
    elements[0].text = text
    elements[0].set(_SPACE, "preserve")


def _field_results(paragraph: Element) -> set[Element]:
    """Texts of a paragraph that fields have computed: numbers of pages, references, dates, data of letters."""
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
    """Texts and breaks of a paragraph's runs, in order, without those of paragraphs in its text boxes."""
    # a stack, not recursion: elements may be nested deeper than Python's calls
    stack = list(reversed(paragraph))
    while stack:
        element = stack.pop()
        name = name_of_tag(element)
        if not name or name == "p" or name.endswith("Pr"):  # properties; among them the positions of tabs
            continue
        if name in _NOT_READ and _is_word(element):
            continue
        if name == "t" or name in _BREAKS or name in _HYPHENS:
            if _is_word(element):
                yield element
            continue
        stack += reversed(element)


def _continues(before: Element, text: Element) -> bool:
    """True if Word has divided a text without a change of format, as it does for the history of its editing."""
    run, next_run = before.getparent(), text.getparent()
    if run is next_run:
        return before.getnext() is text
    following = run.getnext()
    while following is not None and name_of_tag(following) in ("proofErr", "lastRenderedPageBreak"):
        following = following.getnext()
    is_last, is_first = (
        before.getnext() is None,
        all(name_of_tag(each) == "rPr" for each in text.itersiblings(preceding=True)),
    )
    return following is next_run and is_last and is_first and _format(run) == _format(next_run)


def _format(run: Element) -> bytes:
    found = [each for each in run if name_of_tag(each) == "rPr"]
    return b"".join(lxml_etree().tostring(each, with_tail=False) for each in found)


def _is_word(element: Element) -> bool:
    return _NAMESPACE.match(element.tag) is not None
